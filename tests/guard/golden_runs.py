"""Forty guarded runs of an analytic model, and what came out of them, recorded: a change of the guard's structure must not change its numbers.

``python tests/guard/golden_runs.py`` records anew; only for a change that is meant to change numbers, and said so.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from k_diffusion import sampling

from lib_stability.guard import norms
from lib_stability.guard.damping import Damping
from lib_stability.guard.guard import UNKNOWN_NEGATIVE, Guard
from lib_stability.guard.options import Options
from lib_stability.guard.probe import Probe, virtual
from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.guard.rewording import Rewording, Version

FILE = Path(__file__).parent / "golden.npz"
SHAPE = (4, 8, 8)
#: One batch: an ordinary prompt, one whose picture is memorized for all of its words, one whose picture hangs on its first word.
KINDS = ("ordinary", "conjunction", "trigger")
SAMPLERS = {
    "Euler": sampling.sample_euler,
    "Euler a": sampling.sample_euler_ancestral,
    "Heun": sampling.sample_heun,
    "DPM++ 2M": sampling.sample_dpmpp_2m,
    "DPM2 a": sampling.sample_dpm_2_ancestral,
}
WORDS = 4


def _noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Model:
    """Posterior means in closed form: a Gaussian for every prompt, a narrow one around its picture for a memorized one."""

    def __init__(self, kinds: tuple[str, ...], guidance: float, negative: bool, watcher=None) -> None:
        self.kinds, self.guidance, self.watcher = kinds, guidance, watcher
        self.means = torch.stack([0.4 * _noise(100 + i, *SHAPE) for i in range(len(kinds))])
        self.pictures = torch.stack([1.2 * _noise(200 + i, *SHAPE) for i in range(len(kinds))])
        self.away = 0.3 * _noise(300, *SHAPE) if negative else torch.zeros(SHAPE)
        self.calls = 0

    def conditional(self, x: torch.Tensor, sigma: torch.Tensor, missing: int | None = None) -> torch.Tensor:
        level = norms.per_sample(sigma.square(), x)
        share = 0.5 / (0.5 + level)
        found = self.means + share * (x - self.means)
        if missing is not None:  # without one of its words a prompt asks for a little less
            found = found - 0.1 * (missing + 1) / WORDS * self.means
        hangs = [(kind == "conjunction" and missing is None) or (kind == "trigger" and missing != 0) for kind in self.kinds]
        return torch.where(norms.per_sample(torch.tensor(hangs), x), self.pictures + 0.05 / (0.05 + level) * (x - self.pictures), found)

    def unconditional(self, x: torch.Tensor, sigma: torch.Tensor, mean: torch.Tensor | float = 0.0) -> torch.Tensor:
        return mean + (x - mean) / (1 + norms.per_sample(sigma.square(), x))

    def guided(self, conditional: torch.Tensor, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.lerp(self.unconditional(x, sigma, self.away), conditional, self.guidance)

    def virtual(self, x: torch.Tensor, sigma: torch.Tensor, missing: int | None = None) -> torch.Tensor:
        return virtual(self.unconditional(x, sigma), self.conditional(x, sigma, missing))

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        denoised = self.guided(self.conditional(x, sigma), x, sigma)
        return denoised if self.watcher is None else self.watcher(self, x, denoised, sigma)

    def rewording(self) -> Rewording:
        def predict(x, sigma, numbers, with_virtual):
            found = torch.stack([self.conditional(x, sigma, number)[image] for image, number in enumerate(numbers)])
            virtual_ones = virtual(self.unconditional(x, sigma), found) if with_virtual else None
            return Version(self.guided(found, x, sigma), virtual_ones)

        return Rewording([WORDS] * len(self.kinds), predict)


def sample(model: Model, sampler: str, steps: int, seed: int) -> torch.Tensor:
    sigmas = sampling.get_sigmas_karras(steps, 0.03, 14.6)
    torch.manual_seed(seed)
    return SAMPLERS[sampler](model, _noise(seed, len(model.kinds), *SHAPE) * sigmas[0], sigmas, disable=True)


@cache
def region(of_probe: bool = False) -> StabilityRegion:
    """Fitted to ordinary prompts of this model, guidance 1 to 12, four samplers in turn."""
    runs = []
    for number in range(48):
        seen: list[tuple] = []

        def watch(model, x, denoised, sigma, seen=seen):
            measured = norms.measure(x, model.virtual(x, sigma) if of_probe else denoised, sigma)
            seen.append((float(sigma[0]), float(measured.rate[0]), float(measured.clean[0])))
            return denoised

        guidance = 7.5 if of_probe else 1 + 11 * number / 47
        model = Model(("ordinary",), guidance, False, watch)
        model.means = model.means * (0.8 + 0.4 * ((number * 7) % 48) / 48)
        sample(model, list(SAMPLERS)[number % 4], 12, 9_000 + number)
        sigma, rate, clean = np.array(seen).T
        runs.append(Trajectory(sigma, guidance, rate, clean))
    return StabilityRegion(score="smaller").fit(runs, looks=range if of_probe else None)


def settings() -> dict[str, dict]:
    """The runs by name."""
    found = {}
    policies = ("reword", "directional", "radial")
    for sampler in SAMPLERS:
        found[f"report {sampler}"] = dict(sampler=sampler, mode="report")
        found[f"stop {sampler}"] = dict(sampler=sampler, mode="stop")
        for policy in policies:
            found[f"damp {policy} {sampler}"] = dict(sampler=sampler, mode="damp", policy=policy)
    for policy in policies:
        for guidance in (1.0, 7.5):
            found[f"probe {policy} w={guidance}"] = dict(mode="damp", policy=policy, guidance=guidance, probe="auto", negative=True)
    for mode in ("report", "stop"):
        found[f"probe {mode}"] = dict(mode=mode, probe="always", negative=True)
    found["both detectors"] = dict(mode="damp", policy="reword", probe="always")
    found["mapped"] = dict(mode="damp", policy="directional", locate=True)
    found["mapped probe"] = dict(mode="report", probe="auto", negative=True, locate=True)
    found["scales as a tensor"] = dict(mode="damp", policy="reword", scales=True)
    found["late release"] = dict(mode="damp", policy="directional", damping=dict(release=0.9, strength=1.3, margin=-1.0))
    found["narrow margin"] = dict(mode="damp", policy="radial", damping=dict(margin=1.0))
    found["two samplers"] = dict(mode="damp", policy="reword", sampler="Heun", steps=7)
    return found


def run(
    sampler="Euler", mode="report", policy="reword", guidance=7.5, probe=None, negative=False, locate=False, scales=False, damping=None, steps=12
):
    """One run: final latents ``(3, 4, 8, 8)``, scores per evaluation, verdicts and maps."""
    model = Model(KINDS, guidance, negative)
    options = Options(mode=mode, sensitivity="paper", damping=Damping(policy=policy, **(damping or {})), locate=locate)
    looking = Probe(region(True), model.virtual, probe, evaluations=2, expected=steps) if probe else None
    guard = Guard(region(), options, looking, doubt=UNKNOWN_NEGATIVE if negative else "", rewording=model.rewording())
    scale = torch.full((len(KINDS),), guidance) if scales else guidance
    model.watcher = lambda _, x, denoised, sigma: guard.step(x, denoised, sigma, scale)
    latents = sample(model, sampler, steps, 77)
    assert guard.error is None, guard.error
    blank = torch.full((len(KINDS),), float("nan"))
    scores = torch.stack([torch.stack([blank if r is None else r.z.score for r in (one.watched, one.probed)]) for one in guard.readings])
    verdicts = [
        (v.verdict, v.detector, v.reason, str([v.flagged_at, v.evaluations, v.damped, v.stopped_at]), f"{v.score or 0:.4g} {v.threshold or 0:.4g}")
        for v in guard.report()
    ]
    maps = [np.zeros((8, 8), np.float32) if one is None else np.asarray(one, np.float32) for one in guard.maps()]
    return {
        "latents": latents.numpy().astype(np.float32),
        "scores": scores.numpy().astype(np.float32),
        "verdicts": np.array(verdicts),
        "maps": np.stack(maps),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savez_compressed(FILE, **{f"{name}/{key}": value for name, given in settings().items() for key, value in run(**given).items()})
    print(f"{len(settings())} runs in {FILE.stat().st_size} bytes")
