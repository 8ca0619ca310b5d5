"""Versions of the user's profiles: what is replaced is kept in the folder "older" beside them; :func:`.own_profiles.back` puts it in force again.

File names are made here, of the profile's name and the time; the newest :data:`MOST` of a name are kept.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from ..validation import ValidationError
from . import storage
from .naming import file_name
from .profiles import Profile

FOLDER, MOST = "older", 20


def _stem(name: str) -> str:
    return file_name(" ".join(name.split())).removesuffix(".json")


def versions(name: str, folder: Path) -> list[tuple[Path, Profile]]:
    """The kept versions of the profile called `name`, the latest first; what can no longer be read is passed over."""
    found = []
    for path in sorted((folder / FOLDER).glob(f"{_stem(name)}.*.json"), reverse=True):
        try:
            found.append((path, storage.read(path)))
        except (OSError, ValidationError):
            continue
    return found


def keep(path: Path, name: str) -> None:
    """Copy the file that is about to be replaced, readable or not, to the versions of the profile called `name`."""
    there = sorted((path.parent / FOLDER).glob(f"{_stem(name)}.*.json"))
    # A clock that was put back must not make it the oldest, which goes first.
    now = max(time.time_ns(), *(_time(one) + 1 for one in there), 0)
    target = path.parent / FOLDER / f"{_stem(name)}.{now:020}.json"
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)
    for old in [*there, target][:-MOST]:
        old.unlink(missing_ok=True)


def _time(kept: Path) -> int:
    """The time in the name of a kept version, 0 where it has another."""
    text = kept.name.split(".")[-2]
    return int(text) if len(text) == 20 and text.isdecimal() and text < "9" * 20 else 0


def put(profile: Profile, path: Path) -> None:
    """Write a profile over whatever is there, which is kept."""
    if path.is_file():
        keep(path, profile.name)
    storage.write(profile, path)


def forget(name: str, folder: Path) -> int:
    """Delete the kept versions of a profile; returns how many there were."""
    found = list((folder / FOLDER).glob(f"{_stem(name)}.*.json"))
    for path in found:
        path.unlink(missing_ok=True)
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()
    return len(found)
