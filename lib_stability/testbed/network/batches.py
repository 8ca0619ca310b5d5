"""Many captions sampled in batches, each under a guard of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ...guard.guard import Guard
from .model import Testbed
from .sample import GuidedDenoiser, Samples, sample

SIZE = 48


class Batch(NamedTuple):
    """One finished batch; `guard` is None where nothing watched it."""

    samples: Samples
    guard: Guard | None
    count: int


def batches(
    bed: Testbed,
    captions: Sequence[str],
    seeds: Sequence[int],
    negatives: Sequence[str],
    guard_for: Callable[[GuidedDenoiser], Guard] | None = None,
    size: int = SIZE,
    **options,
) -> Iterator[Batch]:
    """Sample `captions` in order; `options` go to :func:`.sample.sample`, `guard_for` makes the guard of each batch from its denoiser."""
    for first in range(0, len(captions), size):
        part = slice(first, first + size)
        guards: list[Guard] = []

        def attach(model: GuidedDenoiser, guards: list[Guard] = guards) -> Guard:
            guards.append(guard_for(model))
            return guards[0]

        done = sample(bed, captions[part], seeds[part], negatives=negatives[part], watch=attach if guard_for else None, **options)
        yield Batch(done, guards[0] if guards else None, len(captions[part]))
