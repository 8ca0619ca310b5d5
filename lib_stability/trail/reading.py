"""The one parser of infotext for whatever shows a verdict: audit, page and badges.

The hosts read parameters from the last line alone. But extensions write lines behind them (sd-dynamic-prompts its ``Template:``), or values with raw
newlines among them, and a prompt may hold a whole infotext of another picture. So all that could be parameters is read, and where it disagrees the
graver verdict counts: nobody's text makes a flagged picture stable. What stands in quotes is a value, whatever it says. Time is linear in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

from ..guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG, Verdict
from .infotext import FEWEST, KEY_PATTERN, PASS_PREFIXES, RESULTS, Settings, parse_text, read_passes, result_key, split_prompts

#: Every host's parameters begin so.
_START = re.compile(r"^Steps: ?\d{1,9},", re.MULTILINE)
#: What sd-dynamic-prompts writes behind them: text of the user's, up to the end.
_TEMPLATE = re.compile(r"^(?:Negative )?Template:", re.MULTILINE)
#: As the host's, but newlines part two values as well as commas do; a line that begins with no key goes on with the value before.
_BLANK = r"[^\S\n]*"
_QUOTED = rf'"(?:\\.|[^\\"])*"(?={_BLANK}(?:[,\n]|\Z))'
_BARE = rf"[^,\n]*(?:\n(?!{_BLANK}{KEY_PATTERN}:)[^,\n]*)*"
_VALUE = re.compile(rf"(?:\A|[,\n]){_BLANK}({KEY_PATTERN}):{_BLANK}({_QUOTED}|{_BARE})", re.DOTALL)
#: More parameters than any text holds that was not made to hide some.
_MOST = 64
_VERDICT = re.compile(RESULTS["verdict"].pattern, re.ASCII)
_WEIGHT = {STABLE: 1, NOT_JUDGED: 2, MILD: 3, STRONG: 4}
_TWICE = "the text says more than one verdict, the graver counts"
_TOO_MANY = "the text holds so many parameters that only a flag in them is believed"


class Reading(NamedTuple):
    """What an infotext says: its parts, the guard's settings, the verdict of each pass or None, and what makes no sense in it."""

    prompt: str
    negative: str
    params: dict[str, str]
    settings: Settings
    first: Verdict | None
    hires: Verdict | None
    inner: Verdict | None
    problems: list[str]

    @property
    def passes(self) -> list[Verdict]:
        """The verdicts that there are."""
        return [one for one in (self.first, self.hires, self.inner) if one is not None]


class _Block(NamedTuple):
    """One run of parameters: where it starts, and whether a user's template follows it."""

    start: int
    params: dict[str, str]
    template: bool
    twice: bool


def verdicts_of(text: str) -> Reading:
    """Read an infotext; never raises.

    Parameters
    ----------
    text : str
        As a host or an extension of its has written it, or anything else.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    blocks = _blocks(text)
    if not blocks:
        prompt, negative, params = parse_text(text)
        problems: list[str] = []
        return Reading(prompt, negative, params, *read_passes(params, problems), problems)
    if len(blocks) > _MOST:
        return _flags_alone(text, blocks)
    chosen = _read(text, blocks[0])
    for before, block in pairwise(blocks):
        chosen = _graver(chosen, _read(text, block), before.template)
    return chosen


def verdicts_of_all(texts: Sequence[str]) -> Reading:
    """Read the infotexts of one picture, at least one: the last counts, as for the host, unless an earlier one says something graver."""
    return reduce(lambda before, after: _graver(before, after, False), map(verdicts_of, texts))


def _flags_alone(text: str, blocks: list[_Block]) -> Reading:
    """Of more parameters than anybody writes: nobody hides a flag among them."""
    found: list[Verdict | None] = []
    for key in _OF_PASS:
        flags = [block for block in blocks if _VERDICT.fullmatch(block.params.get(key, "")) and _weight(block.params[key]) >= _WEIGHT[MILD]]
        gravest = max(flags, key=lambda block: _weight(block.params[key]), default=None)
        found.append(None if gravest is None else read_passes(gravest.params)[1 + len(found)])
    return Reading(*split_prompts(text[: blocks[0].start]), {}, Settings(), *found, [_TOO_MANY])


def _blocks(text: str) -> list[_Block]:
    """Everything in a text that could be its parameters, in order."""
    starts = [found.start() for found in _START.finditer(text)]
    parts: list[tuple[int, int]] = []
    for start, end in zip(starts, [*starts[1:], len(text)]):
        if len(_params(text[start:end])[0]) >= FEWEST:
            parts.append((start, end))
        elif parts:  # it begins like parameters in the midst of a value
            parts[-1] = (parts[-1][0], end)
    return [_block(text, start, end) for start, end in parts]


def _block(text: str, start: int, end: int) -> _Block:
    template = _TEMPLATE.search(text, start, end)
    params, twice = _params(text[start : template.start() if template else end])
    return _Block(start, params, template is not None, twice)


def _params(text: str) -> tuple[dict[str, str], bool]:
    """Parameters by key, the first of each, and whether a verdict was said twice: of those the gravest."""
    found: dict[str, str] = {}
    twice = False
    for key, value in _pairs(text):
        if key not in found:
            found[key] = value
        elif key in _OF_PASS and value != found[key]:
            twice = True
            if _weight(value) > _weight(found[key]):
                for other in _OF_PASS[key]:
                    found.pop(other, None)
                found[key] = value
    return found, twice


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for key, value in _VALUE.findall(text):
        value = value.strip()
        if value.startswith('"'):
            with suppress(ValueError):  # not JSON: it stays as it stands
                value = json.loads(value, strict=False)
        yield key.strip(), value


#: The key of each pass's verdict, and all keys about that pass.
_OF_PASS = {result_key("verdict", which): [result_key(name, which) for name in RESULTS] for which in range(len(PASS_PREFIXES))}


def _weight(value: str) -> int:
    return next((weight for word, weight in _WEIGHT.items() if value.startswith(word)), 0)


def _read(text: str, block: _Block) -> Reading:
    problems = [_TWICE] if block.twice else []
    return Reading(*split_prompts(text[: block.start]), block.params, *read_passes(block.params, problems), problems)


def _graver(before: Reading, after: Reading, in_template: bool) -> Reading:
    """Of two runs of parameters the later, as for the host, unless the earlier says something graver.

    Behind a template the later one is the user's text, and can only make things graver. But a prompt may hold a template, too, and the earlier is the
    user's then: either can be, so "stable" is what both say.
    """
    base, other = (before, after) if in_template else (after, before)
    passes, differs = [], False
    for mine, theirs in ((base.first, other.first), (base.hires, other.hires), (base.inner, other.inner)):
        # Nothing judged at all is no verdict, which another picture's "stable" must not become.
        graver = theirs is not None and _WEIGHT[theirs.verdict] > (_WEIGHT[mine.verdict] if mine else _WEIGHT[STABLE])
        believed = mine if mine is None or mine.verdict != STABLE or not in_template or theirs is not None else None
        passes.append(theirs if graver else believed)
        differs = differs or graver
    settings = base.settings if base.settings.enabled else other.settings if differs else base.settings
    first, hires, inner = passes
    problems = [*base.problems, *([_TWICE] if differs else [])]
    return base._replace(settings=settings, first=first, hires=hires, inner=inner, problems=problems)
