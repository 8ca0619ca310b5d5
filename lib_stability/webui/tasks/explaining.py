"""Which words of a prompt carry what the checkpoint has memorized: its score on pure noise without each of them in turn, and the smallest change
after which it is stable.

A word's share is the part of the score that goes with it. Where several words carry a picture together, each of them alone takes all of it along;
where a picture is carried twice, by a name and by its description, none of them does, and the rewording leaves out more.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...guard.verdict import MILD, STABLE, STRONG
from ...profile import reference
from ...sentences import Sentence
from ...trail import shares_report
from ...validation import Field
from ...wording import parts, stages, without
from . import json_options, scanning
from .background import Task

#: Captions of one task, and words (beyond these: stretches of neighbouring words) that are left out one at a time.
CAPTIONS, WORDS = 64, 75
#: Of how many words all pairs are tried where no single one will do, and rewordings that are tried once more on other seeds.
PAIRED, CONFIRMED = 6, 3
#: Why there is nothing to leave out.
ONE_WORD, NO_PART = (Sentence(shares_report.TEXTS[name]) for name in ("one word", "no part"))
#: Words that a rewording leaves out.
Removed = frozenset[int]


@dataclass(frozen=True)
class Options(scanning.Options):
    """As of a scan; words of `negative_prompt` are left in the prompt, as damping leaves them."""

    negative_prompt: str = ""

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        found = super().parse(body)
        if len(found.captions) > CAPTIONS:
            Field(None, "captions").fail(f"has to be a list of at most {CAPTIONS} texts")
        negative = json_options.text(json_options.fields(body, cls.__dataclass_fields__), "negative_prompt", reference.MAX_LENGTH)
        return replace(found, negative_prompt=negative)


def task(options: Options) -> Task:
    """The work of an explanation, not started yet."""
    return Task("explanation", lambda running: run(options, running))


class _Scans:
    """Several scans one after the other, as one piece of work: stands in the place of the task."""

    def __init__(self, running: Task) -> None:
        self.running, self.stop = running, running.stop
        self._before = 0

    def __call__(self, options: scanning.Options) -> dict:
        found = scanning.run(options, self)
        self._before += len(options.captions) * options.seeds
        return found

    def progress(self, done: int, total: int, note: str = "") -> None:
        """How far the scan under way is."""
        self.running.progress(self._before + done, self._before + total, note)


class _Scores:
    """Rows of a scan by text, each text evaluated once; `again` has them on as many other seeds."""

    def __init__(self, options: Options, scans: _Scans, again: _Scores | None = None) -> None:
        self.options, self.scans, self.again = options, scans, again
        self.rows: dict[str, dict] = {}
        self.about: dict = {}

    def __call__(self, texts: Sequence[str]) -> list[dict]:
        new = tuple(dict.fromkeys(text for text in texts if text not in self.rows))
        if new:
            found = self.scans(replace(self.options, captions=new))
            self.about = self.about or {name: value for name, value in found.items() if name != "rows"}
            self.rows |= {row["caption"]: row for row in found["rows"]}
        return [self.rows[text] for text in texts]


def run(options: Options, running: Task) -> dict:
    """Evaluate and compare; returns what the API shows."""
    scans, others = _Scans(running), replace(options, first_seed=(options.first_seed + options.seeds) % 2**32)
    scores = _Scores(options, scans, again=_Scores(others, scans))
    prompts = [_Prompt(caption, options.negative_prompt) for caption in options.captions]
    # All at once: batches are full so.
    scores([text for one in prompts for text in (one.caption, *one.singles())])
    return {**scores.about, "rows": [_explained(one, scores) for one in prompts]}


class _Prompt:
    """A prompt and the parts that may be left out of it."""

    def __init__(self, caption: str, negative: str) -> None:
        self.caption, self.negative = caption, negative
        self.parts = parts(caption, WORDS, negative)

    def lacking(self, removed: Removed) -> str:
        return without(self.caption, sorted(span for number in removed for span in self.parts[number])).text

    def words(self, removed: Removed) -> list[str]:
        return [" ".join(self.caption[start:end] for start, end in self.parts[number]) for number in sorted(removed)]

    def singles(self) -> list[str]:
        return [self.lacking(frozenset({number})) for number in range(len(self.parts))]

    def groups(self) -> list[list[Removed]]:
        """Larger and larger groups of neighbours, those that damping tries."""
        found = []
        for stage in stages(self.caption, WORDS, self.negative)[1:]:
            edges = list(itertools.accumulate((len(one.words) for one in stage), initial=0))
            at = list(itertools.accumulate((len(part) for part in self.parts), initial=0))
            found.append([frozenset(n for n, word in enumerate(at[:-1]) if low <= word < high) for low, high in itertools.pairwise(edges)])
        return found


def _explained(prompt: _Prompt, scores: _Scores) -> dict:
    (whole,) = scores([prompt.caption])
    told = {name: whole[name] for name in ("caption", "verdict", "median", "threshold", "networks", "reason") if name in whole}
    if whole["median"] is None or not prompt.parts:
        note = "" if whole["median"] is None else ONE_WORD
        return {**told, "words": [], "suggestion": None, "note": note}
    rows = scores(prompt.singles())
    shares = [_share(whole["median"], row["median"]) for row in rows]
    words = [
        {"text": prompt.words(frozenset({n}))[0], "spans": [list(span) for span in part], "share": share, "median": row["median"]}
        for n, (part, share, row) in enumerate(zip(prompt.parts, shares, rows))
    ]
    if whole["verdict"] not in (MILD, STRONG):
        return {**told, "words": words, "suggestion": None, "note": ""}
    removed = _smallest(prompt, shares, scores)
    if removed is None:
        return {**told, "words": words, "suggestion": None, "note": NO_PART}
    text = prompt.lacking(removed)
    suggestion = {"text": text, "without": prompt.words(removed), "median": scores([text])[0]["median"]}
    return {**told, "words": words, "suggestion": suggestion, "note": ""}


def _share(whole: float, lacking: float | None) -> float | None:
    """The part of a score that is gone; None where what is left could not be judged."""
    if lacking is None:
        return None
    return round(min(max((whole - lacking) / whole, 0.0), 1.0), 4) if whole > 0 else 0.0


def _smallest(prompt: _Prompt, shares: Sequence[float | None], scores: _Scores) -> Removed | None:
    """The fewest words without which a prompt is stable, also on other seeds; None where none were found."""
    tried = _stable([frozenset({n}) for n in range(len(prompt.parts))], prompt, scores)
    found = _confirmed(tried, prompt, scores)
    if found is None and len(prompt.parts) > 2:
        first = sorted(range(len(prompt.parts)), key=lambda n: -(shares[n] or 0.0))[:PAIRED]
        found = _confirmed(_stable([frozenset(pair) for pair in itertools.combinations(first, 2)], prompt, scores), prompt, scores)
    if found is not None:
        return found
    for groups in prompt.groups():
        smaller = (_shrunk(one, shares, prompt, scores) for one in _stable(groups, prompt, scores))
        found = _confirmed(smaller, prompt, scores)
        if found is not None:
            return found
    return None


def _stable(choices: Sequence[Removed], prompt: _Prompt, scores: _Scores) -> list[Removed]:
    """Those whose rest is stable, the lowest score first."""
    rows = scores([prompt.lacking(one) for one in choices])
    found = [(row["median"], number) for number, row in enumerate(rows) if row["verdict"] == STABLE]
    return [choices[number] for _, number in sorted(found)]


def _confirmed(choices: Iterable[Removed], prompt: _Prompt, scores: _Scores) -> Removed | None:
    """The first that is stable on other seeds too: the best of many on one set of seeds may be so by chance."""
    for one in itertools.islice(choices, CONFIRMED):
        if scores.again([prompt.lacking(one)])[0]["verdict"] == STABLE:
            return one
    return None


def _shrunk(removed: Removed, shares: Sequence[float | None], prompt: _Prompt, scores: _Scores) -> Removed:
    """Words put back one at a time, those with the least share first, as long as the prompt stays stable."""
    for number in sorted(removed, key=lambda n: shares[n] or 0.0):
        fewer = removed - {number}
        if fewer and _stable([fewer], prompt, scores):
            removed = fewer
    return removed
