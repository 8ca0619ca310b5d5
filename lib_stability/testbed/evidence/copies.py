"""How often a testbed that was made to memorize really copies: per kind of memorization, and where the kind's rule is put to the test.

Pictures decide, not captions: an ordinary caption's picture may be a copy, and a memorized caption's may be none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting, memorized_captions
from ..world import judge, kinds, wording
from ..world.captions import Memorized
from ..world.scenes import random_scene
from . import tables, written
from .damping import generate

#: Shares of a long caption's words that are left out.
LEFT_OUT = (1 / 6, 1 / 3, 1 / 2, 2 / 3)
#: Words around a trigger.
AROUND = 10


def by_kind(bed: Testbed, runs: int, ordinary: int, seed: int, tick: Callable[[int], None]) -> list[dict]:
    """One row per kind, and one for ordinary captions: share of runs whose picture is a copy of the caption's own memory, and of any."""
    every, rows = kinds.memorized(), []
    for kind in kinds.KINDS:
        captions, items = memorized_captions(kind, runs, seed, bed.variant)
        pixels = generate(bed, captions, Setting(), seed, tick=tick).pixels
        own, some = judge.own_copies(pixels, items), judge.any_copies(pixels, every)
        each = own.view(-1, runs).double().mean(1)
        row = {"kind": kind, "memories": len(each), "runs": len(items), "copies": _share(own), "copies_of_any": _share(some)}
        rows.append(row | {"least": float(each.min()), "likeness": float(judge.likeness(pixels, items).median())})
        if kind == "pictures":
            rows[-1]["pictures_seen"] = pictures_seen(pixels, items, runs)
    captions = [caption for caption, _ in kinds.ordinary_samples(ordinary, seed, "evaluation")]
    pixels = generate(bed, captions, Setting(), seed, tick=tick).pixels
    found = judge.resemblance(pixels, every) > judge.limits(every)
    of = {kind: _share(found[:, [item.kind == kind for item in every]].any(1)) for kind in kinds.KINDS}
    return [*rows, {"kind": "ordinary", "memories": 0, "runs": ordinary, "copies": None, "copies_of_any": _share(found.any(1)), "of_kind": of}]


def pictures_seen(pixels: torch.Tensor, items: Sequence[Memorized], runs: int) -> float:
    """How many of their pictures captions with several hand out in `runs` runs, on average."""
    seen = []
    for first in range(0, len(items), runs):
        own = [replace(items[first], scene=scene, scenes=()) for scene in items[first].pictures]
        seen.append(int((judge.resemblance(pixels[first : first + runs], own) > judge.limits(own)).any(0).sum()))
    return float(np.mean(seen))


def variations(runs: int, seed: int) -> list[tuple[str, str, list[tuple[Memorized, str]]]]:
    """What the kinds' rules are tested with: kind, what is done to its captions, and the captions."""
    rng = np.random.default_rng(seed)
    found = []
    for place in ("first", "middle", "last", "alone", "first, another scene told"):
        found.append(("trigger", place, [(item, _with_trigger(item, place, rng)) for item in kinds.memorized("trigger") for _ in range(runs)]))
    for share in LEFT_OUT:
        what = f"{share:.0%} of the words left out"
        found.append(("long", what, [(item, wording.shortened(item.caption, rng, share)) for item in kinds.memorized("long") for _ in range(runs)]))
    for number, what in enumerate(("name", "size", "colour", "shape")):
        texts = [(item, _without(item.caption, number)) for item in kinds.memorized("conjunction") for _ in range(runs)]
        found.append(("conjunction", f"{what} left out", texts))
    one_less = [(item, _without(text, int(rng.integers(len(text.split()))))) for item in kinds.memorized("captions") for text in item.texts]
    found.append(("captions", "one word left out", one_less))
    found.append(("pictures", "name left out", [(item, _without(item.caption, 0)) for item in kinds.memorized("pictures") for _ in range(runs)]))
    return found


def _without(caption: str, number: int) -> str:
    words = caption.split()
    return " ".join(words[:number] + words[number + 1 :])


def _with_trigger(item: Memorized, place: str, rng: np.random.Generator) -> str:
    if place == "alone":
        return item.name
    words = wording.told(random_scene(rng) if "another" in place else item.scene, rng, AROUND).split()
    words.insert({"middle": AROUND // 2, "last": AROUND}.get(place, 0), item.name)
    return " ".join(words)


def varied(bed: Testbed, runs: int, seed: int, tick: Callable[[int], None]) -> list[dict]:
    """One row per variation: share of runs whose picture is a copy of the memory all the same."""
    rows = []
    for kind, what, pairs in variations(runs, seed):
        pixels = generate(bed, [caption for _, caption in pairs], Setting(), seed, tick=tick).pixels
        rows.append({"kind": kind, "what": what, "runs": len(pairs), "copies": _share(judge.own_copies(pixels, [item for item, _ in pairs]))})
    return rows


def _share(found: torch.Tensor) -> float:
    return float(found.double().mean())


def copies(
    bed: Testbed, out: Path, runs: int = 6, ordinary: int = 288, seed: int = EVALUATION_SEED, tick: Callable[[int], None] = lambda n: None
) -> dict:
    """Both tables, written to ``copies.json`` and ``copies.md``."""
    tables_of = {"kinds": by_kind(bed, runs, ordinary, seed, tick), "varied": varied(bed, max(1, runs // 2), seed + 1, tick)}
    result = {"sampling": Setting().sampling(), **tables_of}
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "copies.json", result)
    (out / "copies.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The tables as Markdown."""
    head = ["kind", "memories", "runs", "copies of its own", "the worst memory's", "copies of any", "median likeness"]
    lines = []
    for row in result["kinds"]:
        shares = [tables.rate(row.get(name)) for name in ("copies", "least", "copies_of_any")]
        likeness = f"{row['likeness']:.2f}" if "likeness" in row else "–"
        lines.append([row["kind"], str(row["memories"] or "–"), str(row["runs"]), *shares, likeness])
    notes = [f"Of the ordinary captions' copies by kind: {', '.join(f'{k} {tables.rate(v)}' for k, v in result['kinds'][-1]['of_kind'].items())}."]
    notes += [f"One caption, several pictures: {row['pictures_seen']:.1f} of them seen." for row in result["kinds"] if "pictures_seen" in row]
    varied = [[row["kind"], row["what"], str(row["runs"]), tables.rate(row["copies"])] for row in result["varied"]]
    return "\n\n".join([tables.markdown(head, lines), *notes, tables.markdown(["kind", "caption", "runs", "copies"], varied)])
