"""One sampling run seen by all detectors at once: they share its evaluations, and what each computes beyond them is timed and counted apart."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...guard.guard import UNKNOWN_NEGATIVE, Guard
from ...guard.norms import rms
from ...guard.options import Options
from ...guard.probe import Probe, virtual
from ...profile.profiles import Profile
from ..network import finished
from ..network.batches import SIZE, batches
from ..network.model import EOS, Testbed, tokenize
from ..network.sample import GuidedDenoiser, evaluations_of
from ..network.setting import Setting, negatives_for
from ..world import judge
from . import asthana, broken_memories, jeon, ren, wen

#: First evaluations at which the empty prompt is evaluated where the negative prompt is another one; the guard's probe wants its own.
EMPTY = 3


@dataclass
class Runs:
    """What was seen of runs: arrays ``(runs, evaluations)`` (NaN where nothing was looked at), per image the seconds of plain sampling and the
    seconds and model evaluations of each part beyond it, and which runs hand out a memorized picture ``(runs,)``."""

    values: dict[str, np.ndarray]
    plain: float
    seconds: dict[str, float]
    rows: dict[str, float]
    copies: np.ndarray

    def only(self, mask: np.ndarray) -> Runs:
        """Those runs of which `mask` ``(runs,)`` says so; costs stay those of all."""
        return replace(self, values={name: found[mask] for name, found in self.values.items()}, copies=self.copies[mask])


class Observer:
    """Stands where a guard would stand, changes nothing, and lets every detector look.

    Parameters
    ----------
    model : GuidedDenoiser
    bed : Testbed
    captions : list of str
        Of this batch.
    setting : Setting
    profile : Profile
        The guard's.
    tap : ren.Tap
        Hooked into the U-Net.
    timesteps : sequence of int
        At which :mod:`.asthana`'s cosine is taken.
    """

    def __init__(self, model: GuidedDenoiser, bed: Testbed, captions: list[str], setting: Setting, profile: Profile, tap: ren.Tap, timesteps):
        self.model, self.bed, self.tap, self.timesteps = model, bed, tap, timesteps
        self.count = evaluations_of(setting.sampler, setting.steps)
        self.late = int(np.ceil((1 - ren.LATE) * self.count))
        self.ends = (tokenize(captions)[:, 1:] == EOS).int().argmax(1) + 1
        self.values: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.seconds, self.rows = defaultdict(float), defaultdict(float)
        self.latents: list[torch.Tensor] = []
        self.seen: list[torch.Tensor] = []
        self.index, self._empty = 0, None
        self.watch = Guard(profile.watch, Options("report"), doubt="" if model.empty_negative else UNKNOWN_NEGATIVE)
        look = Probe(profile.probe, lambda x, sigma: virtual(self._empty, model.predictions[0]), "always", expected=self.count)
        self.looks = look.looks
        self.probe = Guard(profile.watch, Options("report"), look, doubt="the probe alone")
        tap.take()
        tap.on, tap.rows = True, len(captions)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def step(self, x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: float | torch.Tensor) -> torch.Tensor:
        """Look at one evaluation; returns `denoised` as it is."""
        attention, index = self.tap.take(), self.index
        conditional, unconditional = self.model.predictions
        blank = torch.full((len(x),), float("nan"))
        self._empty = unconditional if self.model.empty_negative else None
        if self._empty is None and (index < EMPTY or index in self.looks):
            with self.timed(f"empty {index}"):
                self._empty = self.model.denoiser(x, sigma, context=self.model.empty)
            self.rows[f"empty {index}"] = 1
        for name, guard in (("watch", self.watch), ("probe", self.probe)):
            with self.timed(name):
                guard.step(x, denoised, sigma, guidance)
            reading = guard.readings[-1]
            judged = reading.watched if name == "watch" else reading.probed
            self.values[name].append(blank if judged is None else judged.z.score)
        with self.timed("broken memories"):
            z = broken_memories.preserving(x, sigma)
            self.latents.append(z)
            for name, tensor in (("latent", z), ("clean", denoised)):
                self.values[name].append(tensor.flatten(1).norm(dim=1))
        self.values["sigma"].append(sigma)
        with self.timed("wen"):
            self.values["wen"].append(wen.difference(conditional, unconditional) / sigma)
        self.values["wen empty"].append(blank if self._empty is None else wen.difference(conditional, self._empty) / sigma)
        with self.timed("overshoot"):
            self.values["guided"].append(rms(denoised))
            self.values["conditional"].append(rms(conditional))
        if index == 0:
            self._first(x, sigma, conditional)
        part = "ren late" if index else "ren first"
        with self.timed(part):
            self._attention(attention)
        self.seconds[part] += self.tap.seconds
        self.tap.seconds = 0.0
        self.index += 1
        self.tap.on = self.late <= self.index < self.count
        return denoised

    def _first(self, x: torch.Tensor, sigma: torch.Tensor, conditional: torch.Tensor) -> None:
        contexts, level = torch.cat([self.model.conditional, self.model.empty]), (1 + sigma.square()).sqrt().view(-1, 1, 1, 1)
        noise_level = sigma.view(-1, 1, 1, 1) / level
        with self.timed("jeon"):
            t = self.model.denoiser.sigma_to_t(sigma)

            def score(z: torch.Tensor) -> torch.Tensor:
                both = self.bed.unet(torch.cat([z, z]), torch.cat([t, t]), contexts).sample.chunk(2)
                return (both[1] - both[0]) / noise_level

            # eps_u - eps_c, from the clean predictions.
            direction = (conditional - self._empty) / sigma.view(-1, 1, 1, 1) / noise_level
            self.values["jeon"].append(jeon.sharpness(score, x / level, direction))
        self.rows["jeon"] = jeon.EVALUATIONS
        for timestep in self.timesteps:
            with self.timed(f"asthana {timestep}"):
                z = x / sigma.view(-1, 1, 1, 1)  # the initial noise itself
                both = self.model.denoiser.get_eps(torch.cat([z, z]), torch.full((2 * len(z),), float(timestep)), contexts)
                self.values[f"alignment {timestep}"].append(asthana.alignment(*both.chunk(2)))
            self.rows[f"asthana {timestep}"] = asthana.EVALUATIONS

    def _attention(self, attention: torch.Tensor | None) -> None:
        if attention is None:
            return
        mean = attention.mean(0)
        if self.index == 0:
            for layer, one in enumerate(attention):
                self.values[f"ren {layer}"].append(ren.entropy(one))
            self.padding = ren.padding_entropy(mean, self.ends)
        else:
            self.seen.append(ren.entropy(mean) + ren.padding_entropy(mean, self.ends))
        if self.index == self.count - 1:
            self.values["ren late"].append(torch.stack(self.seen).mean(0) - self.padding)

    def finish(self, latents: torch.Tensor) -> dict[str, np.ndarray]:
        """All values as arrays ``(runs, evaluations)``, or ``(runs, 1)`` for what is taken once."""
        with self.timed("broken memories"):
            self.values["update"] = list(broken_memories.update_norms(torch.stack([*self.latents, latents])))
        return {name: torch.stack(found, 1).double().numpy() for name, found in self.values.items()}


def observe(
    bed: Testbed, profile: Profile, captions: list[str], setting: Setting, seed: int, timesteps=(asthana.TIMESTEP,), tick: Callable = lambda n: None
) -> Runs:
    """Sample `captions`, one run each with seeds from `seed` on, under every detector's eyes."""
    values, copies, seconds, rows = defaultdict(list), [], defaultdict(float), {}
    negatives, seeds = negatives_for(setting.negative, len(captions), seed), range(seed, seed + len(captions))
    start, done = time.perf_counter(), 0
    with ren.tapped(bed.unet) as tap:
        firsts = iter(range(0, len(captions), SIZE))

        def attach(model: GuidedDenoiser) -> Observer:
            first = next(firsts)
            return Observer(model, bed, captions[first : first + SIZE], setting, profile, tap, timesteps)

        for batch in batches(bed, captions, seeds, negatives, attach, SIZE, **setting.sampling()):
            for name, found in batch.guard.finish(batch.samples.latents).items():
                values[name].append(found)
            with batch.guard.timed("judging"):
                pixels = finished.pictures(bed, batch.samples.latents)
                copies.append(judge.any_copies(pixels, bed.variant.memorized()).numpy())
            for name, spent in batch.guard.seconds.items():
                seconds[name] += spent
            rows.update(batch.guard.rows)
            done += batch.count
            tick(batch.count)
    total = time.perf_counter() - start
    each = {name: spent / done for name, spent in seconds.items()}
    seen = {name: np.concatenate(found) for name, found in values.items()}
    return Runs(seen, total / done - sum(each.values()), each, dict(rows), np.concatenate(copies))


def merged(first: Runs, second: Runs) -> Runs:
    """Costs of two sets of runs of the same setting, averaged; values are not kept."""
    counts = [len(runs.values["sigma"]) for runs in (first, second)]

    def mean(one: float, other: float) -> float:
        return (counts[0] * one + counts[1] * other) / sum(counts)

    seconds = {name: mean(first.seconds[name], second.seconds[name]) for name in first.seconds}
    return Runs({}, mean(first.plain, second.plain), seconds, {**second.rows, **first.rows}, np.concatenate([first.copies, second.copies]))


def references(runs: Runs) -> dict[str, np.ndarray]:
    """What :class:`.broken_memories.Tables` is fitted to."""
    return {name: runs.values[name] for name in ("sigma", *broken_memories.STATISTICS)}
