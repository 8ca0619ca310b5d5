"""The user's own profiles on disk: import, export, delete, go back. File names are made by :mod:`.naming`."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import chain, count
from pathlib import Path

from ..sentences import Sentence
from ..validation import ValidationError
from . import older, private, profiles, storage
from .naming import file_name

#: Why something cannot be done.
TEXTS = {
    "taken": "{file}.name: {name} is the name of a bundled profile",
    "none": "no profile is named {name}",
    "bundled": "{name} is bundled and cannot be deleted",
    "nothing older": "{name} has no older versions",
    "one older": "{name} has 1 older version",
    "older": "{name} has {count} older versions",
}


def find(name: str, folder: Path) -> list[Path]:
    """The files in `folder` that hold a profile called `name`, whatever the number of spaces between its words."""
    found, name = [], " ".join(name.split())
    for path, _ in storage.listed([folder])[0]:
        try:
            if storage.read(path).name == name:
                found.append(path)
        except (OSError, ValidationError):
            continue
    return found


def place(name: str, folder: Path, usual: str) -> Path:
    """The file for a profile called `name`: the one that holds it, else `usual`, or one beside that where another profile lies there."""
    there = find(name, folder)
    beside = (folder / f"{usual.removesuffix('.json')}-{number}.json" for number in count(2))
    return there[-1] if there else next(filter(_free, chain([folder / usual], beside)))


def _free(path: Path) -> bool:
    """Whether a file may be written there: nothing is there, or what nobody can read, which is kept in its older versions."""
    if not path.is_file():
        return not os.path.lexists(path)
    try:
        storage.read(path)
    except (OSError, ValidationError):
        return True
    return False


def offered(path: Path, bundled: Path = storage.BUNDLED) -> profiles.Profile:
    """The profile in a file that is to be imported.

    Raises
    ------
    ValidationError
        It is no profile, or has the name of a bundled one.
    """
    profile = storage.read(path)
    if find(profile.name, bundled):
        raise ValidationError(Sentence(TEXTS["taken"], file=path.name, name=repr(profile.name)))
    # What thresholds cost is reckoned from the scores again, whatever the file says.
    return replace(profile, origin="imported", provenance={**profile.provenance, "origin": "imported"})


def bring(path: Path, folder: Path, bundled: Path = storage.BUNDLED) -> tuple[str, Path]:
    """Import a profile file; one of the same name in `folder` is replaced and kept, see :mod:`.older`.

    Raises
    ------
    ValidationError
        See :func:`offered`.
    """
    profile = offered(path, bundled)
    target = place(profile.name, folder, file_name(profile.name))
    if not target.exists() or not _holds(target, profile):
        older.put(profile, target)
    return profile.name, target


def _holds(path: Path, profile: profiles.Profile) -> bool:
    try:
        return same(profile, storage.read(path))
    except (OSError, ValidationError):
        return False


def same(one: profiles.Profile, other: profiles.Profile) -> bool:
    """Whether two files say the same, wherever they come from."""
    return _content(one) == _content(other)


def _content(profile: profiles.Profile) -> dict:
    return replace(profile, provenance={key: value for key, value in profile.provenance.items() if key != "origin"}).to_json()


def hand_out(name: str, target: Path, folders: list[Path], measured_by: str = "", hardware: str = "") -> None:
    """Export the profile called `name` to a file, without what is nobody else's business, see :mod:`.private`.

    Raises
    ------
    ValueError
        There is none.
    """
    found = [path for folder in folders for path in find(name, folder)]
    if not found:
        raise ValueError(Sentence(TEXTS["none"], name=repr(name)))
    # Where it comes from is for whoever imports it to say.
    storage.write(private.public(storage.read(found[-1]), measured_by, hardware), target)


def delete(name: str, folder: Path, bundled: Path = storage.BUNDLED) -> list[Path]:
    """Delete the profile called `name` and its kept versions from the user's folder.

    Raises
    ------
    ValueError
        There is none, or only a bundled one.
    """
    found = find(name, folder)
    if not found:
        raise ValueError(Sentence(TEXTS["bundled" if find(name, bundled) else "none"], name=repr(name)))
    for path in found:
        path.unlink(missing_ok=True)
    older.forget(name, folder)
    return found


def back(name: str, folder: Path, number: int = 1) -> profiles.Profile:
    """Put a kept version of the profile called `name` in force again, the latest or the `number`-th; the one that it replaces is kept in turn.

    Raises
    ------
    ValueError
        There is none.
    """
    found = older.versions(name, folder)
    if not 1 <= number <= len(found):
        raise ValueError(
            Sentence(TEXTS[("nothing older", "one older")[len(found)] if len(found) < 2 else "older"], name=repr(name), count=len(found))
        )
    chosen, profile = found[number - 1]
    older.put(profile, place(name, folder, file_name(profile.name)))
    chosen.unlink(missing_ok=True)
    return profile
