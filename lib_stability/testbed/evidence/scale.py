"""What moves with the size of the latent: the noise level below which a run can no longer be pulled into a memorized picture, and damping.

A run is sampled with the caption's ordinary twin down to a noise level and with the memorized caption from there on, as a guard would leave it that
lets go at that level. The level at which half of such runs still end as copies is the latest one for letting go. Only
runs count that the memorized caption alone makes a copy of its own picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ...guard.damping import Damping
from ...guard.options import Options
from ...profile.storage import read
from ..network import finished
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser, sample
from ..network.setting import EVALUATION_SEED, Setting
from ..network.variants import SIZES, Variant
from ..world import judge
from ..world.attributes import AttributeReader
from ..world.captions import Memorized
from . import written
from .damping import generate, ordinary_twins, row
from .tables import markdown, rate

SEED = EVALUATION_SEED + 70_000_000
#: Evenly spaced in log sigma, so that a level falls between two evaluations that are close.
SETTING = Setting("Euler", "exponential", 40)
LEVELS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0)
#: Conjunctions that the smaller testbeds have; where there are fewer, each is run more often.
CAPTIONS = 16
POLICIES = (Damping(), Damping("directional"), Damping("radial"))


class Late(GuidedDenoiser):
    """Guidance towards `twins` above a noise level, towards the captions from there on."""

    def __init__(self, bed: Testbed, *arguments, twins: Sequence[str], level: float) -> None:
        super().__init__(bed, *arguments)
        self.level, self.memorized, self.twins = level, self.conditional, bed.encode_text(list(twins))

    def evaluate(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.conditional = self.twins if float(sigma[0]) > self.level else self.memorized
        return super().evaluate(x, sigma)


@torch.inference_mode()
def copies_from(bed: Testbed, items: Sequence[Memorized], level: float, seed: int = SEED) -> torch.Tensor:
    """Which runs end as copies where the memorized caption guides from `level` on: bool ``(len(items),)``."""
    twins = ordinary_twins(items)

    def make(*arguments) -> Late:
        return Late(*arguments, twins=twins, level=level)

    done = sample(bed, [item.caption for item in items], range(seed, seed + len(items)), make=make, **SETTING.sampling())
    return judge.likeness(finished.pictures(bed, done.latents), items) > judge.COPY


def crossing(levels: Sequence[float], shares: Sequence[float], middle: float) -> float | None:
    """Noise level at which the share reaches `middle`, between two levels by their logarithm; None where it does not."""
    for (low, below), (high, above) in zip(zip(levels, shares), zip(levels[1:], shares[1:])):
        if below < middle <= above:
            return float(np.exp(np.interp(middle, [below, above], np.log([low, high]))))
    return None


def damped(bed: Testbed, variant: Variant, items: Sequence[Memorized]) -> list[dict]:
    """The entries of `evaluate`'s damping table for each policy."""
    profile, reader, captions = read(variant.profile), AttributeReader.load(), [item.caption for item in items]
    before, ordinary = (generate(bed, texts, SETTING, SEED + shift) for texts, shift in ((captions, 0), (ordinary_twins(items), 1000)))
    found = []
    for policy in POLICIES:
        options = Options("damp", damping=policy)
        after = generate(bed, captions, SETTING, SEED, profile, options)
        guarded = generate(bed, ordinary_twins(items), SETTING, SEED + 1000, profile, options)
        entry = row(bed, reader, items, SETTING, policy, before, after, ordinary, guarded)
        found.append(entry | {"damped_evaluations": float(np.median([verdict.damped for verdict in after.verdicts]))})
    return found


def measure(variant: Variant, copies: int, tick: Callable[[], None] = lambda: None, levels: Sequence[float] = LEVELS) -> dict:
    """One size: shares of copies by level, and damping."""
    bed = Testbed.load(variant.weights)
    known = variant.memorized("conjunction")
    every = items = [item for item in known for _ in range(copies * max(1, CAPTIONS // len(known)))]
    held = copies_from(bed, items, float("inf"))
    items = [item for item, copied in zip(items, held) if copied]
    tick()
    chance, *shares = (float(copies_from(bed, items, level).float().mean()) for level in (0.0, *levels))
    tick()
    found = damped(bed, variant, items)
    tick()
    half = crossing(levels, shares, (chance + 1) / 2)
    return {
        "variant": variant.name,
        "numbers": variant.numbers,
        "runs": len(every),
        "levels": list(levels),
        "copies_from": shares,
        "copies": float(held.float().mean()),
        "by_chance": chance,
        "half": half,
        "half_by_root": half and half / variant.numbers**0.5,
        "damping": found,
    }


def scale(out: Path, copies: int = 2, names: Sequence[str] = tuple(SIZES)) -> dict:
    """Measure every size; writes ``scale.json`` and ``scale.md`` into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(names) * 3, desc="sizes") as bar:
        result = {"setting": SETTING.sampling(), "sizes": [measure(SIZES[name], copies, bar.update) for name in names]}
    written.write(out / "scale.json", result)
    (out / "scale.md").write_text(report(result))
    return result


def report(result: dict) -> str:
    """Both tables as Markdown."""
    levels = result["sizes"][0]["levels"]
    head = ["N", "runs", "of them copies", "never", *(f"σ ≤ {level:g}" for level in levels), "half at σ", "σ / √N"]
    lines = []
    for one in result["sizes"]:
        half = ["–", "–"] if one["half"] is None else [f"{one['half']:.2f}", f"{one['half_by_root']:.4f}"]
        lines.append(
            [
                f"{one['numbers']}",
                f"{one['runs']}",
                rate(one["copies"], 0),
                rate(one["by_chance"], 0),
                *(rate(share, 0) for share in one["copies_from"]),
                *half,
            ]
        )
    columns = ["N", "policy", "copies before", "after", "attributes (ordinary)", "error (ordinary)", "damped evaluations"]
    rows = [
        [
            f"{one['numbers']}",
            entry["policy"] + (" (default)" if entry["default"] else ""),
            rate(entry["copies_before"]),
            rate(entry["copies_after"]),
            f"{rate(entry['attributes'])} ({rate(entry['attributes_ordinary'])})",
            f"{entry['error']:.3f} ({entry['error_ordinary']:.3f})",
            f"{entry['damped_evaluations']:.0f} of {result['setting']['steps']}",
        ]
        for one in result["sizes"]
        for entry in one["damping"]
    ]
    setting = f"{result['setting']['sampler']}, {result['setting']['steps']} steps, w = {result['setting']['guidance']:g}"
    return (
        f"Share of copies where the memorized caption guides only from a noise level on, its ordinary twin before ({setting}):\n\n"
        f"{markdown(head, lines)}\n\nDamping at each size, same setting:\n\n{markdown(columns, rows)}\n"
    )
