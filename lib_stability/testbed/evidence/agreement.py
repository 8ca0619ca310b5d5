"""What agreement between seeds is worth as a stand-in for originals: the field trial's judgement of copies held against the truth.

Whoever tries a real checkpoint has no training pictures; here they can be drawn. Judged are pictures of memorized captions, as they come and damped,
and of ordinary ones, from which alone the thresholds are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ...guard.options import Options
from ...match import likeness
from ...profile.profiles import Profile
from ...trial import copies
from ...trial.plan import BEFORE, DAMP, MEMORIZED, ORDINARY, REPORT
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting
from ..world import judge
from ..world.captions import Memorized
from ..world.kinds import KINDS, memorized, ordinary_samples
from ..world.scenes import render
from . import tables, written
from .damping import generate

SEED = EVALUATION_SEED + 60_000_000
#: Seeds of each caption; of them two alone are tried as well.
SEEDS = 4
TEMPLATE = "template"


class Made(NamedTuple):
    """Pictures with a row each as a field trial keeps them, the memory whose caption it was (None for ordinary ones), and whether it is a copy."""

    rows: list[dict]
    vectors: np.ndarray
    items: list[Memorized | None]
    truth: list[bool]


def measure(bed: Testbed, profile: Profile, out: Path, ordinary: int = 50, tick: Callable[[int], None] = lambda n: None) -> dict:
    """Generate and judge; writes ``agreement.json`` and ``agreement.md`` into `out` and returns the first's content."""
    made = _generate(bed, profile, ordinary, tick)
    whole = [scene for item in memorized() if item.kind != TEMPLATE for scene in item.pictures]
    originals = likeness.of_pixels(_small(torch.stack([judge.to_pixels(render(scene)) for scene in whole])))
    two = [number for number, row in enumerate(made.rows) if row["seed"] % SEEDS < 2]
    result = {"side": likeness.SIDE, "ordinary": ordinary * SEEDS, "rows": []}
    for told, chosen, known in (
        ("agreement of 2 seeds", two, None),
        (f"agreement of {SEEDS} seeds", [*range(len(made.rows))], None),
        ("likeness to originals", [*range(len(made.rows))], originals),
    ):
        rows, truth, items = ([each[number] for number in chosen] for each in (made.rows, made.truth, made.items))
        found = copies.judge(rows, made.vectors[chosen], known)
        for kind in KINDS if known is None else (kind for kind in KINDS if kind != TEMPLATE):  # a template has no one original
            for mode in (REPORT, DAMP):
                own = [number for number, row in enumerate(rows) if row["mode"] == mode and items[number] is not None and items[number].kind == kind]
                result["rows"].append({"told by": told, "kind": kind, "mode": mode, "limit": found.limit, **_held(found, truth, own)})
        own = [number for number, item in enumerate(items) if item is None]
        result["rows"].append({"told by": told, "kind": "ordinary", "mode": REPORT, "limit": found.limit, **_held(found, truth, own)})
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "agreement.json", result)
    (out / "agreement.md").write_text(report(result))
    return result


def _held(found: copies.Judgement, truth: Sequence[bool], own: Sequence[int]) -> dict:
    return copies.of_each_other([found.copies[number] for number in own], [truth[number] for number in own])


def report(result: dict) -> str:
    """The table."""
    rows = []
    for one in result["rows"]:
        told = ["–" if one[name] is None else f"{100 * one[name]:.1f} %" for name in ("found", "wrong")]
        rows.append([one["told by"], one["kind"], one["mode"], f"{one['limit']:.3f}", str(one["copies"]), told[0], str(one["others"]), told[1]])
    heads = ["told by", "captions", "mode", "limit", "copies", "found", "others", "called copies"]
    said = f"Pictures of {result['side']} pixels a side, Euler 20, w = 7.5; the limit is what 1 % of {result['ordinary']} ordinary pictures exceed."
    return f"# Copies without originals\n\n{said}\n\n{tables.markdown(heads, rows)}\n"


def worth(result: dict) -> dict[str, str]:
    """What a field trial's report says of agreement between :data:`SEEDS` seeds: copies of whole pictures found, and of all others called copies."""
    own = [row for row in result["rows"] if row["told by"] == f"agreement of {SEEDS} seeds"]
    whole = [row for row in own if row["kind"] not in (TEMPLATE, ORDINARY) and row["mode"] == REPORT and row["copies"]]
    found = sum(row["found"] * row["copies"] for row in whole) / sum(row["copies"] for row in whole)
    wrong, others = (sum((row["wrong"] if name else 1) * row["others"] for row in own if row["others"]) for name in (True, False))
    return {"found": f"{100 * found:.0f} %", "wrong": f"{100 * wrong / others:.1f} %"}


def _small(pixels: torch.Tensor) -> np.ndarray:
    """Pictures ``(batch, 3, h, w)`` in -1..1 as the field trial compares them."""
    return torch.nn.functional.adaptive_avg_pool2d(pixels.float(), likeness.SIDE).permute(0, 2, 3, 1).numpy()


def _generate(bed: Testbed, profile: Profile, ordinary: int, tick: Callable[[int], None]) -> Made:
    memories = [item for item in memorized() for _ in range(SEEDS)]
    plain = [caption for caption, _ in ordinary_samples(ordinary, SEED, "evaluation") for _ in range(SEEDS)]
    rows, vectors, items, truth = [], [], [], []
    for mode, name, captions, own in (
        (REPORT, MEMORIZED, [item.caption for item in memories], memories),
        (DAMP, MEMORIZED, [item.caption for item in memories], memories),
        (REPORT, ORDINARY, plain, None),
    ):
        start = SEED + (len(memories) if own is None else 0)
        pixels = generate(bed, captions, Setting(), start, profile, Options(mode=mode), tick).pixels
        found = judge.any_copies(pixels, memorized()) if own is None else judge.own_copies(pixels, own)
        rows += [
            {"phase": BEFORE, "mode": mode, "setting": 0, "set": name, "prompt": number // SEEDS, "seed": number} for number in range(len(captions))
        ]
        vectors.append(likeness.of_pixels(_small(pixels)))
        items += [None] * len(captions) if own is None else own
        truth += found.tolist()
    return Made(rows, np.concatenate(vectors), items, truth)
