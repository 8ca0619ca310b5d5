"""Profiles on disk: where they lie, reading what nobody vouches for, writing so that nobody sees half of it."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from ..sentences import reason
from ..validation import ValidationError
from .profiles import ORIGINS, Profile

log = logging.getLogger(__name__)
MAX_BYTES = 4_000_000
BUNDLED = Path(__file__).resolve().parents[2] / "regions"
#: Where calibrated profiles go: beside the bundled ones, but not tracked, so that an update of the extension leaves them alone.
USER_FOLDER = BUNDLED.parent / "user-profiles"


def read(path: Path) -> Profile:
    """Read one profile file.

    Raises
    ------
    ValidationError
        Naming the file, and the field where it got that far.
    """
    raw = _bytes(path)
    if len(raw) > MAX_BYTES:
        raise ValidationError(f"{path.name}: larger than {MAX_BYTES} bytes")
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValidationError(f"{path.name}: not JSON ({error})") from None
    profile = Profile.from_json(data, path.name)
    return replace(profile, origin=_origin(profile, path))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _origin(profile: Profile, path: Path) -> str:
    """What the folder says goes before what the file does."""
    if path.parent.resolve() == BUNDLED:
        return ORIGINS[0]
    stated = profile.provenance.get("origin")
    # Calibrations of older versions say nothing, but have named their file after themselves.
    return stated if stated in ORIGINS[1:] else ORIGINS[1] if path.name == f"{profile.name}.json" else ORIGINS[2]


def _bytes(path: Path) -> bytes:
    """The content of a file, one byte more than a profile may have at most. What is no file is not waited for."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValidationError(f"{path.name}: not a file")
        return file.read(MAX_BYTES + 1)


def write(profile: Profile, path: Path) -> None:
    """Write a profile so that a reader never sees half of it: to a temporary file in the same folder, then renamed."""
    text = json.dumps(profile.to_json(), indent=1, allow_nan=False) + "\n"
    # Lists of numbers on one line; a text never holds a raw newline, so none is touched.
    text = re.sub(r"\[\n\s*([-+\d.eE,\s]+?)\n\s*\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def try_to_write(folder: Path) -> None:
    """Make sure that a profile could be written to a folder, before the work that makes one. It leaves nothing behind.

    Raises
    ------
    OSError
        It could not.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    trial = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"{}")
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)
            for one in new:
                one.rmdir()


def listed(folders: Iterable[Path]) -> tuple[list[tuple[Path, os.stat_result]], list[str]]:
    """The profile files of the folders, in their order, and messages about what bears the name of one and is none: a dangling link, a pipe."""
    found, odd = [], []
    for folder in folders:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.endswith(".schema.json"))
        except FileNotFoundError:
            continue
        except OSError as error:
            odd.append(f"{folder}: {error.strerror}")
            continue
        for name in names:
            path = Path(folder) / name
            try:
                status = path.stat()
            except OSError as error:
                odd.append(f"{name}: {error.strerror}")
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((path, status))
            else:
                odd.append(f"{name}: not a file")
    return found, odd


def load_all(folders: Iterable[Path]) -> tuple[list[Profile], list[str]]:
    """All readable profiles of the folders, in their order, and the messages about those refused. Raises for none of them.

    Parameters
    ----------
    folders : iterable of Path
        Every ``*.json`` directly in them is read but schemas; a folder that does not exist has none.

    Returns
    -------
    list of Profile, list of str

    Examples
    --------
    >>> from lib_stability import load_profiles
    >>> from lib_stability.profile.storage import BUNDLED
    >>> profiles, refused = load_profiles([BUNDLED])
    >>> sorted(profile.name for profile in profiles if profile.kind == "prior"), refused
    (['Generic prior', 'Generic prior v', 'SD 1.x prior'], [])
    """
    paths, refused = listed(folders)
    found = []
    for path, _ in paths:
        try:
            found.append(read(path))
        except (OSError, ValidationError) as error:
            refused.append(reason(error))
    for message in refused:
        log.warning("Memorization Guard: profile refused: %s", message)
    return found, refused
