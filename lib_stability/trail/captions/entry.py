"""Captions as they are found, and as they are scanned: equal ones together, counted, plain text made into a prompt that says the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...wording import tags, without_tags

#: Captions and characters of one that a web UI takes.
MOST, LONGEST = 20_000, 2000
#: What a prompt means by brackets, and by two words in capitals.
_BRACKETS = re.compile(r"(?<!\\)((?:\\\\)*)([()\[\]])")
_JOINTS = re.compile(r"\b(AND|BREAK)\b")


@dataclass(frozen=True)
class Found:
    """One caption where it stands.

    Parameters
    ----------
    text : str
    picture : Path or None
        Its training picture, which need not be there.
    times : int
        How often a training round shows it.
    is_prompt : bool
        Whether its brackets are those of a prompt.
    """

    text: str
    picture: Path | None = None
    times: int = 1
    is_prompt: bool = False


@dataclass
class Caption:
    """A caption to be scanned: the text that stands for it, the prompt that says the same, its pictures, and how often training shows it."""

    text: str
    prompt: str
    pictures: list[Path] = field(default_factory=list)
    count: int = 0


def escaped(text: str) -> str:
    """A plain text as a prompt of the web UIs: brackets weigh nothing, nothing is joined. Tags of networks stay tags."""
    plain = _JOINTS.sub(lambda found: found[1].lower(), _BRACKETS.sub(r"\1\\\2", without_tags(text)))
    return " ".join([" ".join(plain.split()), *tags(text)]).strip()


def together(found: Iterable[Found], problems: list[str]) -> list[Caption]:
    """Equal captions as one, in the order of the first; what no web UI would take is described in `problems`."""
    known: dict[str, Caption] = {}
    for one in found:
        text = " ".join(one.text.split())
        prompt = text if one.is_prompt else escaped(text)
        if not text:
            continue
        where = f" ({one.picture.name})" if one.picture else ""
        if len(prompt) > LONGEST:
            problems.append(f"{text[:60]}…{where}: longer than {LONGEST} characters, left out")
            continue
        if any(not letter.isprintable() for letter in prompt):
            problems.append(f"{plain(text[:60])!r}{where}: holds a control character, left out")
            continue
        if prompt not in known and len(known) == MOST:
            problems.append(f"more than {MOST} captions, the rest is left out")
            break
        caption = known.setdefault(prompt, Caption(text, prompt))
        caption.count += max(one.times, 1)
        if one.picture and one.picture not in caption.pictures:
            caption.pictures.append(one.picture)
    return list(known.values())


def plain(text: str) -> str:
    """For a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
