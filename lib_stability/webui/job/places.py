"""Where the user's profiles and the ledger live: below the extension, or a folder that its owner has chosen.

Containers, notebooks and network drives may keep nothing below the extension, or let nothing be written there. The environment variable
:data:`VARIABLE` counts first; the option of the page counts only where the host does not take the people at its page for strangers, since whoever
chooses the folder chooses which profiles judge.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...profile.storage import USER_FOLDER
from ..host import host, visitors

OPTION, VARIABLE = "memorization_guard_folder", "MEMORIZATION_GUARD_FOLDER"
#: Below the extension, untracked, so that an update leaves them alone.
DEFAULT = USER_FOLDER.parent


def home() -> Path:
    """The folder that both lie in. One that is not absolute, or is a whole disk, does not count."""
    chosen = [os.environ.get(VARIABLE), None if visitors.strangers() else getattr(host.opts(), OPTION, None)]
    for text in chosen:
        path = Path(text.strip()).expanduser() if isinstance(text, str) and text.strip() and "\0" not in text else None
        if path is not None and path.is_absolute() and path != path.parent:
            return path
    return DEFAULT


def profiles() -> Path:
    """The folder of the user's profiles."""
    return home() / USER_FOLDER.name


def ledger() -> Path:
    """The folder of the ledger."""
    return home() / "ledger"
