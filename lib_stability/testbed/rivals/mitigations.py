"""The mitigations of the comparison: ours and the rivals', as published, and what tuning may choose from instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from ...guard.damping import Damping
from ...guard.guard import Guard
from ...guard.options import Options
from ...guard.probe import Probe
from ..world import judge
from ..world.attributes import AttributeReader
from ..world.captions import Memorized
from .base import Context, LowerGuidance, Mitigation
from .broken_damping import BrokenMemories
from .jain import Dynamic, DynamicOpposite, Static, StaticOpposite
from .sail import Initialisation
from .somepalli import AddedWords, ReplacedWords
from .wen_embedding import Embedding


@dataclass(frozen=True)
class Ours(Mitigation):
    """The guard with one way of damping, at its default sensitivity."""

    damping: Damping = Damping()
    trigger = "own"
    ours = True

    @property
    def name(self) -> str:
        return f"Guard, {self.damping.policy}"

    def parameters(self) -> dict[str, Any]:
        found = {name: value for name, value in asdict(self.damping).items() if name != "policy"}
        found["margin"] = self.damping.limit
        return found

    def attach(self, model, context: Context) -> Guard:
        profile = context.profile
        rewording = model.rewording() if self.damping.policy == "reword" else None
        look = Probe(profile.probe, model.virtual, expected=model.expected)
        return Guard(profile.watch, Options("damp", damping=self.damping), look, rewording=rewording)


#: Our policies as they ship; one more is one more entry.
OURS = (Damping(), Damping("directional"), Damping("radial"))
#: What tuning may choose from, by policy; a policy that is not named here keeps its defaults.
OUR_GRIDS: dict[str, list[Damping]] = {
    "directional": [Damping("directional", strength, margin) for strength, margin in product((1.5, 2.0, 3.0), (1.0, None, 3.0))],
    "radial": [Damping("radial", margin=margin) for margin in (2.0, 4.0)],
}
#: Each rival as published, and the grid of its tuning.
RIVALS: list[tuple[Mitigation, list[Mitigation]]] = [
    (BrokenMemories(), [BrokenMemories(mild, share=share) for mild, share in product((1.5, 3.0), (0.2, 1.0))]),
    (Static(), [Static(transition) for transition in (800, 650, 500, 350, 200)]),
    (StaticOpposite(), [StaticOpposite(t, w) for t, w in product((800, 650, 500, 350), (-2.0, -1.0))]),
    (Dynamic(), [Dynamic(before) for before in (0.0, 1.0)]),
    (DynamicOpposite(), [DynamicOpposite(before) for before in (-1.0, -2.0, -4.0)]),
    (Embedding(), [Embedding(target, iterations) for target, iterations in ((5.0, 10), (3.0, 10), (2.0, 10), (2.0, 25), (1.0, 25))]),
    (Initialisation(), [Initialisation(8.2, rate=0.1), Initialisation(7.4, rate=0.1)]),
    (AddedWords(), [AddedWords(words) for words in (1, 2, 4, 8)]),
    (ReplacedWords(), [ReplacedWords(words) for words in (1, 2, 3)]),
    (LowerGuidance(), [LowerGuidance(scale) for scale in (5.0, 4.0, 3.0, 2.0, 1.5, 1.0)]),
]


def entries() -> list[tuple[Mitigation, list[Mitigation]]]:
    """Ours, then the rivals: each with its defaults and its grid."""
    return [(Ours(damping), [Ours(one) for one in OUR_GRIDS.get(damping.policy, [])]) for damping in OURS] + RIVALS


@dataclass(frozen=True)
class Judged:
    """Pictures of memorized captions, judged: shares of copies and of right attributes, and what tuning maximises."""

    copies: float
    attributes: float

    @property
    def score(self) -> float:
        return self.attributes - self.copies

    @classmethod
    def of(cls, reader: AttributeReader, pixels: torch.Tensor, items: Sequence[Memorized], memories: Sequence[Memorized]) -> Judged:
        """Of pictures whose captions are those of `items`; a copy is one of any of `memories`."""
        right = judge.attributes_right(reader, pixels, items)
        return cls(float(judge.any_copies(pixels, memories).float().mean()), float(np.mean(list(right.values()))))


def choose(published: Mitigation, grid: Sequence[Mitigation], judged: Callable[[Mitigation], Judged]) -> tuple[Mitigation, list[dict]]:
    """The candidate with the largest ``attributes - copies``, the published one among equals; and what was tried."""
    tried = [(one, judged(one)) for one in dict.fromkeys([published, *grid])]
    best = max(tried, key=lambda pair: pair[1].score)[0]
    return best, [{"method": one.name, **one.parameters(), "copies": found.copies, "attributes": found.attributes} for one, found in tried]


def dominating(row: dict, rivals: Sequence[dict]) -> list[dict]:
    """The rivals with both fewer copies and better attributes than `row`, and by how much."""
    return [
        {
            "method": other["method"],
            "variant": other["variant"],
            "trigger": other["trigger"],
            "fewer_copies": row["copies"] - other["copies"],
            "better_attributes": other["attributes"] - row["attributes"],
        }
        for other in rivals
        if other["copies"] < row["copies"] and other["attributes"] > row["attributes"]
    ]
