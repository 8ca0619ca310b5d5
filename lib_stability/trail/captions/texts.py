"""Captions in text files: one a line, a prompt file with options, infotexts, or the caption of the picture beside."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from ..infotext import NEGATIVE, parse_text
from .entry import Found

#: Bytes of a list at most.
MOST_BYTES = 256 * 1024 * 1024
#: The beginning of the parameters in an infotext.
_PARAMETERS = re.compile(r"^Steps: \d+, ", re.MULTILINE)
#: A line of the host's "Prompts from file": options, the prompt among them.
_OPTIONS = re.compile(r"^--[a-z_]+ ", re.MULTILINE)


def read(path: Path) -> str:
    """The text of a file.

    Raises
    ------
    ValueError
        Too large, or neither UTF-8 nor UTF-16.
    """
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes")
    data = path.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        if b"\n" not in data:
            raise ValueError("not UTF-8") from None
    return data.decode("utf-8", "replace")  # the lines that hold what makes no sense are named one by one


def beside(path: Path) -> str:
    """The caption of a picture's text file: its first line that says something, as trainers read it."""
    return next((line.strip() for line in read(path).splitlines() if line.strip()), "")


def listed(text: str, name: str, problems: list[str]) -> Iterator[Found]:
    """The captions of a list."""
    if _PARAMETERS.search(text):
        yield from _infotexts(text)
    elif _OPTIONS.search(text):
        yield from _with_options(text, name, problems)
    else:
        for number, line in _lines(text):
            if "\ufffd" in line:
                problems.append(f"{name}, line {number}: not UTF-8, left out")
            else:
                yield Found(line)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        said = line.strip().removeprefix("\ufeff")
        if said and not said.startswith("#"):
            yield number, said


def _infotexts(text: str) -> Iterator[Found]:
    """Prompts of infotexts one below the other, each of which ends with its parameters."""
    block: list[str] = []
    for line in text.split("\n"):
        block.append(line)
        if _PARAMETERS.match(line):
            yield Found(parse_text("\n".join(block).strip())[0], is_prompt=True)
            block = []


def _with_options(text: str, name: str, problems: list[str]) -> Iterator[Found]:
    """The prompts of a prompt file; a line without options is a prompt as a whole."""
    for number, line in _lines(text):
        if not line.startswith("--"):
            yield Found(line, is_prompt=True)
            continue
        try:
            words = shlex.split(line)
            prompt = words[words.index("--prompt") + 1]
        except (ValueError, IndexError):
            problems.append(f"{name}, line {number}: has no --prompt that can be read, left out")
            continue
        yield Found(prompt, is_prompt=True)


def of_picture(infotext: str | None) -> Found | None:
    """The prompt that a generated picture carries in itself."""
    if not infotext or not _PARAMETERS.search(infotext):
        return None
    prompt = parse_text(infotext)[0].partition(f"\n{NEGATIVE}")[0]
    return Found(prompt, is_prompt=True) if prompt else None
