"""A folder of training pictures: kohya's ``10_name``, captions beside the pictures, lists among them; or one list."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..containers import Unreadable
from ..imagetext import read_text
from . import tables, texts
from .entry import Caption, Found, together

#: Endings of a caption beside its picture, the first that is there counts.
BESIDE = (".txt", ".caption", ".wd14")
#: Kohya's folders: how often a round shows its pictures, and the words of those that have no caption.
_REPEATS = re.compile(r"(\d{1,5})_(.*)")


def read(path: Path, prompts: bool = False) -> tuple[list[Caption], list[str]]:
    """Captions of a folder or of a list, and what was passed over.

    Parameters
    ----------
    path : Path
    prompts : bool
        Plain captions are prompts, whose brackets weigh words.

    Raises
    ------
    ValueError
        There is no caption at all.
    OSError
        There is no such file.
    """
    problems: list[str] = []
    path = Path(path)
    found = _folder(path, problems) if path.is_dir() else _list(path, problems)
    captions = together((Found(*_fields(one), is_prompt=one.is_prompt or prompts) for one in found), problems)
    if not captions:
        raise ValueError(f"{path.name or path}: holds no caption" + (f" ({problems[0]})" if problems else ""))
    return captions, problems


def _fields(one: Found) -> tuple:
    return one.text, one.picture, one.times


def _list(path: Path, problems: list[str]) -> Iterator[Found]:
    """Captions of a file that is no picture."""
    if path.suffix.lower() == ".parquet":
        yield from tables.parquet(path, problems)
        return
    try:
        text = texts.read(path)
    except ValueError as error:
        problems.append(f"{path.name}: {error}, left out")
        return
    found = tables.read(path, text, problems)
    yield from texts.listed(text, path.name, problems) if found is None else found


def _folder(root: Path, problems: list[str]) -> Iterator[Found]:
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        where, names = Path(folder), sorted(names)
        pictures = [name for name in names if name.lower().endswith(tables.ENDINGS)]
        stems = {Path(name).stem for name in pictures}
        lists = [where / name for name in names if _may_be_list(name) and Path(name).stem not in stems]
        listed = [one for path in lists for one in _list(path, problems)]
        yield from listed
        told = {one.picture for one in listed if one.picture}
        yield from _pictures(where, [name for name in pictures if where / name not in told], problems)


def _may_be_list(name: str) -> bool:
    return name.lower().endswith((*tables.KINDS, ".txt")) and not name.startswith(".")


def _pictures(where: Path, names: list[str], problems: list[str]) -> Iterator[Found]:
    kohya = _REPEATS.fullmatch(where.name)
    times, words = (int(kohya[1]), kohya[2].replace("_", " ").strip()) if kohya else (1, "")
    for name in names:
        picture = where / name
        try:
            caption = next((texts.beside(path) for path in map(picture.with_suffix, BESIDE) if path.is_file()), "")
        except (OSError, ValueError) as error:
            problems.append(f"{picture.stem}: its caption cannot be read ({error}), left out")
            continue
        tabled = [] if caption else [one.text for one in _json_beside(picture)]
        if tabled:
            yield from (Found(text, picture, times) for text in tabled)
            continue
        inside = None if caption else _inside(picture)
        if caption or words or inside:
            yield Found(caption or words, picture, times) if caption or words else Found(inside.text, picture, times, True)
        else:
            problems.append(f"{name}: has no caption, left out")


def _json_beside(picture: Path) -> list[Found]:
    """What a picture's own JSON file says; that it says no caption is no fault."""
    path = picture.with_suffix(".json")
    return list(_list(path, [])) if path.is_file() else []


def _inside(picture: Path) -> Found | None:
    """The prompt in a picture's own infotext."""
    with suppress(Unreadable, OSError):
        return texts.of_picture(read_text(picture))
    return None
