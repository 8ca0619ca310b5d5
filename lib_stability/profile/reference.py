"""Ordinary reference prompts: what a region of any checkpoint is fitted to, unless its user brings a list.

A region is only as wide as the prompts it was fitted to. These vary subject, place, style, light, medium, length, language and the way of prompting,
and hold nothing that a model could have memorized. A part of them is written by hand, the rest made by a small grammar.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from . import reference_words as words

#: Most prompts that a file may hold, and that :func:`prompts` makes; most characters of one line.
MAX_PROMPTS, MAX_LENGTH = 20_000, 2000
#: Bytes of a line in a file: its characters in UTF-8, and some for the line end and white space around them.
MAX_LINE = 4 * MAX_LENGTH + 64
#: Share of hand-written prompts as long as there are any left.
HAND_WRITTEN_SHARE = 0.25


class _Draw:
    """Random choices by :meth:`random.Random.random` alone: the one method whose values Python keeps the same across versions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, count: int) -> int:
        return int(self._random.random() * count)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def one(self, values):
        return values[self.below(len(values))]

    def some(self, values, low: int, high: int) -> list:
        """From `low` to `high` different values, in random order."""
        left = list(values)
        return [left.pop(self.below(len(left))) for _ in range(low + self.below(high - low + 1))]

    def shuffled(self, values) -> list:
        return self.some(values, len(values), len(values))


def _a(noun: str) -> str:
    vowel = noun.startswith("hour") or (noun[0] in "aeiou" and not noun.startswith("one"))
    return f"{'an' if vowel else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


# -- what is in the picture --------------------------------------------------------------------------------------------------------------


def _person(draw: _Draw) -> str:
    looks = f" {draw.one(words.PEOPLE_LOOKS)}" if draw.chance(0.5) else ""
    return f"{_a(draw.one(words.PEOPLE))}{looks} {draw.one(words.PEOPLE_ACTIONS)}"


def _animal(draw: _Draw) -> str:
    looks = f"{draw.one(words.ANIMAL_LOOKS)} " if draw.chance(0.5) else ""
    return f"{_a(looks + draw.one(words.ANIMALS))} {draw.one(words.ANIMAL_ACTIONS)}"


def _thing(draw: _Draw) -> str:
    return f"{_a(f'{draw.one(words.THING_LOOKS)} {draw.one(words.THINGS)}')} {draw.one(words.THING_PLACES)}"


def _somewhere(draw: _Draw) -> str:
    return f"{_a(draw.one((words.LANDSCAPES, words.BUILDINGS, words.INTERIORS)[draw.below(3)]))} {draw.one(words.WEATHERS)}"


def _vehicle(draw: _Draw) -> str:
    return f"{_a(draw.one(words.VEHICLES))} near {_a(draw.one(words.LANDSCAPES + words.BUILDINGS))}"


def _fantasy(draw: _Draw) -> str:
    subject = draw.one(words.FANTASY)
    return f"{subject if subject.startswith('tiny people') else _a(subject)} {draw.one(words.WEATHERS)}"


def _pattern(draw: _Draw) -> str:
    return f"{draw.one(words.PATTERNS)} in {draw.one(words.PALETTES)}"


_SUBJECTS = (_person, _person, _animal, _animal, _thing, _thing, _somewhere, _somewhere, _vehicle, _fantasy, _pattern)
_NOUNS = words.PEOPLE + words.ANIMALS + words.THINGS + words.VEHICLES + words.LANDSCAPES + words.BUILDINGS + words.INTERIORS + words.FANTASY


def _subject(draw: _Draw) -> str:
    return draw.one(_SUBJECTS)(draw)


# -- how it is asked for -----------------------------------------------------------------------------------------------------------------


def _short(draw: _Draw) -> str:
    noun = draw.one(_NOUNS)
    return draw.one(
        (
            f"{draw.one(words.STYLES)} {noun}",
            f"{draw.one(words.MOODS)} {noun}",
            f"{noun} {draw.one(words.WEATHERS)}",
            f"{noun} {draw.one(words.MEDIA)}",
        )
    )


def _caption(draw: _Draw) -> str:
    return draw.one((_subject(draw), f"{_a(draw.one(words.MEDIA))} of {_subject(draw)}", f"{_subject(draw)}, {draw.one(words.LIGHTS)}"))


def _pair(draw: _Draw) -> str:
    first, second = draw.some(words.PEOPLE + words.ANIMALS, 2, 2)
    return f"{_a(first)} and {_a(second)} {draw.one(words.PLACES)}{f', {draw.one(words.MEDIA)}' if draw.chance(0.4) else ''}"


def _tagged(draw: _Draw) -> str:
    """A subject, then comma-separated wishes."""
    wishes = words.LIGHTS, words.MEDIA, words.STYLES, words.MOODS, words.PALETTES, words.CAMERAS, words.QUALITIES
    parts = [draw.one(group) for group in draw.some(wishes, 1, 6)]
    return ", ".join([_subject(draw), *parts, *draw.some(words.QUALITIES, 0, 2)])


def _keywords(draw: _Draw) -> str:
    """Nothing but keywords."""
    groups = words.LANDSCAPES + words.BUILDINGS + words.INTERIORS, words.WEATHERS, words.LIGHTS, words.PALETTES, words.CAMERAS
    return ", ".join([draw.one(_NOUNS), *(draw.one(group) for group in draw.some(groups, 2, 5)), draw.one(words.MEDIA)])


def _style_first(draw: _Draw) -> str:
    return f"{draw.one(words.STYLES)} {draw.one(words.MEDIA)}, {_subject(draw)}, {', '.join(draw.some(words.QUALITIES + words.PALETTES, 1, 3))}"


def _request(draw: _Draw) -> str:
    return f"{draw.one(words.ASKS)} {_subject(draw)}{f' as {_a(draw.one(words.MEDIA))}' if draw.chance(0.5) else ''}"


def _sentences(draw: _Draw) -> str:
    """A description in plain sentences."""
    opening = f"{_capital(_a(draw.one(words.MEDIA)))} that shows {_subject(draw)}."
    if draw.chance(0.5):
        opening = f"{_capital(_subject(draw))}, while {draw.one(words.DETAILS)}."
    closing = (
        f"{_capital(draw.one(words.DETAILS))}, and {draw.one(words.DETAILS)}.",
        f"In the background you can see {_a(draw.one(words.LANDSCAPES + words.BUILDINGS))} {draw.one(words.WEATHERS)}.",
        f"The mood is {draw.one(words.MOODS)} and the picture is kept in {draw.one(words.PALETTES)}.",
        f"Next to it there is {_a(draw.one(words.THINGS))}.",
        f"It could be {_a(draw.one(words.STYLES))} {draw.one(words.MEDIA)}.",
    )
    return " ".join([opening, *draw.some(closing, 0, 3)])


def _anime(draw: _Draw) -> str:
    """Tags as on image boards, with spaces or underscores."""
    subject = draw.one(words.TAG_SUBJECTS)
    groups = [(words.TAG_PLACES, 1, 3), (words.TAG_STYLES, 0, 2)]
    if subject[0] in "12m" or subject.startswith("old"):
        groups = [(words.TAG_HAIR, 1, 2), (words.TAG_EYES, 0, 2), (words.TAG_CLOTHES, 1, 3), (words.TAG_POSES, 1, 2), *groups]
    tags = [subject, *(tag for group, low, high in groups for tag in draw.some(group, low, high))]
    tags += draw.some(("best quality", "masterpiece", "highres", "absurdres"), 0, 2)
    return ", ".join(tag.replace(" ", "_") for tag in tags) if draw.chance(0.25) else ", ".join(tags)


def _translated(draw: _Draw) -> str:
    language = draw.one(tuple(words.LANGUAGES))
    subjects, places, wishes = words.LANGUAGES[language]
    # Chinese and Japanese have no spaces that would set phrases apart.
    glue = ", " if language in ("Chinese", "Japanese") else " "
    return ", ".join([f"{draw.one(subjects)}{glue}{draw.one(places)}", *draw.some(wishes, 0, 3)])


#: Ways of prompting, with their weights.
_WAYS: tuple[Callable[[_Draw], str], ...] = (
    *(_short, _caption, _pair, _keywords, _style_first, _request) * 2,
    *(_tagged, _sentences) * 3,
    _anime,
    _anime,
    _translated,
)


def _sequence(seed: int) -> Iterator[str]:
    """Prompts without end, hand-written ones mixed in; repetitions are possible."""
    draw = _Draw(seed)
    by_hand = draw.shuffled(words.HAND_WRITTEN)
    while True:
        yield by_hand.pop() if by_hand and draw.chance(HAND_WRITTEN_SHARE) else draw.one(_WAYS)(draw)


def prompts(count: int, seed: int = 0) -> list[str]:
    """The first `count` of an endless sequence of distinct ordinary prompts, the same for a seed on every machine.

    Raises
    ------
    ValueError
        A count that is negative or above :data:`MAX_PROMPTS`.
    """
    if not 0 <= count <= MAX_PROMPTS:
        raise ValueError(f"prompts: {count} is not from 0 to {MAX_PROMPTS}")
    found: dict[str, str] = {}
    for prompt in _sequence(seed):
        if len(found) == count:
            break
        found.setdefault(prompt.lower(), prompt)
    return list(found.values())


def read_prompts(path: Path | str) -> list[str]:
    """Prompts of a text file: UTF-8, one a line; blank lines and lines that start with ``#`` are skipped, repetitions dropped.

    Raises
    ------
    ValueError
        In one line, naming file and line: not UTF-8, a control character, a line or a list that is too long, no prompt at all.
    OSError
        The file cannot be read.
    """
    path = Path(path)
    found: dict[str, None] = {}
    with path.open("rb") as file:
        # Not more of a line than its characters can take, so that a wrong file costs neither time nor memory.
        for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
            where = f"{path.name}, line {number}"
            prompt = _prompt_of(raw, where)
            if prompt and not prompt.startswith("#"):
                found.setdefault(prompt)
            if len(found) > MAX_PROMPTS:
                raise ValueError(f"{where}: more than {MAX_PROMPTS} prompts")
    if not found:
        raise ValueError(f"{path.name}: holds no prompt")
    return list(found)


def _prompt_of(raw: bytes, where: str) -> str:
    cut = len(raw) == MAX_LINE
    try:
        line = raw.decode("utf-8", "replace" if cut else "strict").removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise ValueError(f"{where}: not UTF-8") from None
    if cut or len(line) > MAX_LENGTH:
        raise ValueError(f"{where}: longer than {MAX_LENGTH} characters")
    if any(ord(letter) < 32 and letter != "\t" for letter in line):
        raise ValueError(f"{where}: holds a control character")
    return line
