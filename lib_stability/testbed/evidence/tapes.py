"""Tapes: what could be measured at every evaluation of many runs, and whether each picture is a copy.

A tape is sampled once and judged by any statistic afterwards, so that scores are compared on the same runs and a new one costs no sampling.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...guard.norms import Norms, measure, per_sample, rms
from ..network import finished
from ..network.batches import SIZE
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser, sample
from ..network.setting import Setting, memorized_captions, negatives_for
from ..world import judge

#: What a caption is that is of no kind of memorization.
ORDINARY = "ordinary"
#: What a tape holds of every evaluation.
COLUMNS = ("sigma", "guidance", "rate", "clean", "virtual_rate", "virtual_clean", "difference", "turn")


@dataclass
class Tape:
    """Runs of one setting.

    Attributes
    ----------
    columns : dict of float32 arrays ``(runs, evaluations)``
        By the names of :data:`COLUMNS`: norms of the guided and of the virtual prediction, see :func:`.norms.measure`; `difference` is
        ``RMS(D_c - D_empty) / sigma``, `turn` the RMS of its change since the evaluation before (NaN at the first); both NaN for a distilled model.
    kinds : array of str ``(runs,)``
        What the caption was: one of the variant's kinds, or :data:`ORDINARY`.
    copies : bool array ``(runs,)``
        Whether the finished picture is a copy of anything memorized, whatever its caption.
    """

    columns: dict[str, np.ndarray]
    kinds: np.ndarray
    copies: np.ndarray

    def save(self, path: Path, about: dict) -> None:
        """Write it, compressed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, kinds=self.kinds, copies=self.copies, about=json.dumps(about), **self.columns)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Tape:
        """Read what :meth:`save` wrote."""
        with np.load(path) as found:
            return cls({name: found[name] for name in COLUMNS}, found["kinds"], found["copies"])


class _Watcher:
    """Stands where a guard would stand and keeps all of :data:`COLUMNS` of one batch."""

    def __init__(self, model: GuidedDenoiser) -> None:
        self.model, self.rows, self._before = model, [], None
        self._parameterisation = model.bed.variant.parameterisation

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor) -> torch.Tensor:
        guided: Norms = measure(x, denoised, sigma, self._parameterisation)
        virtual = self.model.virtual(x, sigma)
        conditional, empty = self.model.predictions[0], self.model.empty_prediction
        difference = torch.full_like(x, float("nan")) if empty is None else (conditional - empty) / per_sample(sigma, x)
        turn = torch.full_like(sigma, float("nan")) if self._before is None else rms(difference - self._before)
        self._before = difference
        scale = guidance if isinstance(guidance, torch.Tensor) else torch.full_like(sigma, guidance)
        self.rows.append(torch.stack([sigma, scale, *guided, *measure(x, virtual, sigma, self._parameterisation), rms(difference), turn]))
        return denoised


def record(
    bed: Testbed,
    captions: Sequence[str],
    setting: Setting,
    seed: int,
    guidance: torch.Tensor | None = None,
    tick: Callable[[int], None] = lambda n: None,
) -> tuple[dict[str, np.ndarray], torch.Tensor]:
    """Sample captions; returns :data:`COLUMNS` and the pictures. `guidance`, one scale a run, stands before the setting's."""
    columns, pixels = [], []
    negatives, options = negatives_for(setting.negative, len(captions), seed, bed.variant.world), setting.sampling()
    for first in range(0, len(captions), SIZE):
        part = slice(first, min(first + SIZE, len(captions)))
        watchers: list[_Watcher] = []

        def watch(model: GuidedDenoiser, watchers: list[_Watcher] = watchers) -> _Watcher:
            watchers.append(_Watcher(model))
            return watchers[0]

        own = options if guidance is None else options | {"guidance": guidance[part]}
        done = sample(bed, captions[part], range(seed + part.start, seed + part.stop), negatives=negatives[part], watch=watch, **own)
        columns.append(torch.stack(watchers[0].rows, 2).numpy())
        pixels.append(finished.pictures(bed, done.latents))
        tick(part.stop - part.start)
    table = np.concatenate(columns, 1)
    return dict(zip(COLUMNS, table)), torch.cat(pixels)


def tape(bed: Testbed, setting: Setting, copies: int, ordinary: int, seed: int, tick: Callable[[int], None] = lambda n: None) -> Tape:
    """Every memory `copies` times (a caption of its own each time, where its kind has them) and `ordinary` captions of the evaluation's half."""
    texts, names = [], []
    for number, kind in enumerate(bed.variant.kinds):
        captions, _ = memorized_captions(kind, copies, seed + number, bed.variant)
        texts, names = texts + captions, names + [kind] * len(captions)
    texts += [caption for caption, _ in bed.variant.world.ordinary_samples(ordinary, seed, "evaluation")]
    names += [ORDINARY] * ordinary
    return taken(bed, texts, names, setting, seed, tick)


def taken(
    bed: Testbed, captions: Sequence[str], names: Sequence[str], setting: Setting, seed: int, tick: Callable[[int], None] = lambda n: None
) -> Tape:
    """Runs of these captions, which are of the kinds `names`."""
    columns, pixels = record(bed, captions, setting, seed, tick=tick)
    return Tape(columns, np.array(names), judge.any_copies(pixels, bed.variant.memorized()).numpy())


def kept(path: Path | None, make: Callable[[], Tape], about: dict) -> Tape:
    """The tape that lies at `path`; where none does it is made, and kept there. Without a path nothing is kept."""
    if path is not None and path.exists():
        return Tape.load(path)
    made = make()
    if path is not None:
        made.save(path, about)
    return made


def name_of(setting: Setting) -> str:
    """A file's name; settings that differ in who judges them have the same."""
    values = (setting.sampler, setting.schedule, setting.steps, f"{setting.guidance:g}", setting.negative)
    return "-".join(map(str, values)).replace(" ", "_")
