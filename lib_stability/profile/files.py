"""The user's own profiles on disk: import, export, delete. File names are made here, never taken from a profile or a person."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..validation import ValidationError
from . import profiles


def file_name(name: str) -> str:
    """The file of a profile called `name`: readable, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    return f"{plain or 'profile'}.{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"


def find(name: str, folder: Path) -> list[Path]:
    """The files in `folder` that hold a profile called `name`, whatever the number of spaces between its words."""
    found, name = [], " ".join(name.split())
    for path in sorted(folder.glob("*.json")):
        try:
            if profiles.read(path).name == name:
                found.append(path)
        except (OSError, ValidationError):
            continue
    return found


def bring(path: Path, folder: Path, bundled: Path = profiles.BUNDLED) -> tuple[str, Path]:
    """Import a profile file; one of the same name in `folder` is replaced.

    Raises
    ------
    ValidationError
        It is no profile, or has the name of a bundled one.
    """
    profile = profiles.read(path)
    if find(profile.name, bundled):
        raise ValidationError(f"{path.name}.name: {profile.name!r} is the name of a bundled profile")
    before = find(profile.name, folder)
    target = before[-1] if before else folder / file_name(profile.name)
    profiles.write(profile, target)
    return profile.name, target


def hand_out(name: str, target: Path, folders: list[Path]) -> None:
    """Export the profile called `name` to a file.

    Raises
    ------
    ValueError
        There is none.
    """
    found = [path for folder in folders for path in find(name, folder)]
    if not found:
        raise ValueError(f"no profile is named {name!r}")
    profiles.write(profiles.read(found[-1]), target)


def delete(name: str, folder: Path, bundled: Path = profiles.BUNDLED) -> list[Path]:
    """Delete the profile called `name` from the user's folder.

    Raises
    ------
    ValueError
        There is none, or only a bundled one.
    """
    found = find(name, folder)
    if not found:
        raise ValueError(f"{name!r} is bundled and cannot be deleted" if find(name, bundled) else f"no profile is named {name!r}")
    for path in found:
        path.unlink(missing_ok=True)
    return found
