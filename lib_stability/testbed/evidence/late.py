"""Flags that come late, on purpose: what damping still does from a noise level on, and what sampling again makes of it.

What the detectors find before an evaluation they say at that one; from there on a guard judges, damps and samples again as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ...guard.evaluation import Evaluation
from ...guard.guard import Guard
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting, memorized_captions
from ..world import judge
from ..world.attributes import AttributeReader
from . import tables, written
from .damping import Pictures, generate

SEED = EVALUATION_SEED + 90_000_000
SETTING = Setting()
#: Evaluations (from 1) of 20 up to which nothing is said: sigma 2.1, 1.05 and .6 follow.
QUIET = (8, 12, 15)


class Late(Guard):
    """A guard that keeps its flags to itself until an evaluation; one that goes on from another begins at once."""

    quiet = 0

    def __init__(self, *arguments, **more) -> None:
        super().__init__(*arguments, **more)
        if any(more.get("recalled") or ()):
            return
        for detector in self.detectors:
            detector.judge = self._hushed(detector.judge)

    def _hushed(self, judged: Callable) -> Callable:
        known: list[torch.Tensor] = []

        def judge(evaluation: Evaluation):
            found = judged(evaluation)
            if found is None:
                return None
            if len(self.readings) < self.quiet:
                known.append(found.unstable)
                return found._replace(unstable=torch.zeros_like(found.unstable))
            late = torch.stack([found.unstable, *known]).any(0)
            known.clear()
            return found._replace(unstable=late)

        return judge


def row(bed: Testbed, reader: AttributeReader, profile: Profile, quiet: int, tick: Callable[[int], None] = lambda n: None) -> dict:
    """One level: copies and attributes of every kind's memorized captions, sampled once and with sampling again."""
    items = [item for number, kind in enumerate(bed.variant.kinds) for item in memorized_captions(kind, 1, SEED + number, bed.variant)[1]]
    captions, make, memories = [item.caption for item in items], type("From", (Late,), {"quiet": quiet}), bed.variant.memorized()
    arguments = (bed, captions, SETTING, SEED, profile, Options("damp"), tick)
    once, twice = generate(*arguments, once=True, make=make), generate(*arguments, make=make)
    plain = generate(bed, captions, SETTING, SEED, tick=tick)
    copied = judge.any_copies(plain.pixels, memories)

    def told(pictures: Pictures) -> dict:
        right = judge.attributes_right(reader, pictures.pixels[copied], [item for item, one in zip(items, copied) if one])
        return {
            "copies": float(judge.any_copies(pictures.pixels, memories)[copied].float().mean()),
            "attributes": sum(right.values()) / len(right),
            "rows_ratio": pictures.rows / plain.rows,
        }

    return {
        "flagged_from": quiet + 1,
        "runs": int(copied.sum()),
        "flagged": sum(one.flagged for one, is_copy in zip(once.verdicts, copied) if is_copy) / int(copied.sum()),
        "too_late": sum(one.failed for one, is_copy in zip(once.verdicts, copied) if is_copy) / int(copied.sum()),
        "once": told(once),
        "again": told(twice),
    }


def measure(bed: Testbed, profile: Profile, out: Path, levels: Sequence[int] = QUIET, tick: Callable[[int], None] = lambda n: None) -> dict:
    """All levels; writes ``late.json`` and ``late.md`` into `out`."""
    reader = AttributeReader.load()
    result = {"profile": profile.name, "setting": SETTING.sampling(), "rows": [row(bed, reader, profile, quiet, tick) for quiet in levels]}
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "late.json", result)
    (out / "late.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The rows as Markdown."""
    head = ["flagged from evaluation", "runs that are copies", "flagged", "found to be too late", "copies: once, again"]
    head += ["attributes: once, again", "rows: once, again"]
    lines = []
    for one in result["rows"]:
        first, second = one["once"], one["again"]
        pairs = [f"{first[name]:.2f}, {second[name]:.2f}" for name in ("copies", "attributes", "rows_ratio")]
        lines.append(
            [f"{one['flagged_from']} of {result['setting']['steps']}", str(one["runs"]), f"{one['flagged']:.2f}", f"{one['too_late']:.2f}", *pairs]
        )
    return tables.markdown(head, lines)
