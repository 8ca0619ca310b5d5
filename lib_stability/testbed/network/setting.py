"""How runs of the testbed are sampled in the evidence: one setting of sampler, schedule, steps, guidance and negative prompt, and their captions."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..world import kinds
from ..world.captions import Memorized
from .variants import MAIN, Variant

#: First seed of the evaluation; calibration has its own range, see :data:`.calibrate.SEED`.
EVALUATION_SEED = 5_000_000
NEGATIVES = ("none", "word", "words", "caption", "fixed")


@dataclass(frozen=True)
class Setting:
    """One row of the detection table. `negative` names the kind of negative prompt, see :func:`negatives_for`."""

    sampler: str = "Euler"
    schedule: str = "uniform"
    steps: int = 20
    guidance: float = 7.5
    negative: str = "none"
    probe: bool = False

    def sampling(self) -> dict:
        """The part of it that :func:`.sample.sample` takes, but for the negative prompts."""
        return {"sampler": self.sampler, "schedule": self.schedule, "steps": self.steps, "guidance": self.guidance}


def usual(variant: Variant) -> Setting:
    """The setting that a variant is shown at."""
    if variant.few:
        return Setting("Euler", "linear", 4, 1.0)
    return Setting("Euler", "simple", 20, 3.5) if variant.flow else Setting()


def negatives_for(kind: str, count: int, seed: int, world: ModuleType = kinds) -> list[str]:
    """Negative prompts: none, one word each, two or three words each, a whole ordinary caption of a world each, or one caption for all runs."""
    if kind == "none":
        return [""] * count
    if kind == "fixed":
        return ["small black square tiles"] * count
    captions = [caption for caption, _ in world.ordinary_samples(count, seed, "evaluation")]
    rng = np.random.default_rng(seed)
    if kind == "caption":
        return captions
    length = {"word": lambda: 1, "words": lambda: int(rng.integers(2, 4))}[kind]
    return [" ".join(rng.permutation(caption.split())[: length()]) for caption in captions]


def memorized_captions(kind: str, copies: int, seed: int, variant: Variant = MAIN) -> tuple[list[str], list[Memorized]]:
    """Captions of memorized pictures, each `copies` times (where they vary a new one each time), and what they memorized."""
    rng = np.random.default_rng(seed)
    drawn = [variant.world.draw(item, rng) for item in variant.memorized(kind) for _ in range(copies)]
    return [item.caption for item in drawn], drawn
