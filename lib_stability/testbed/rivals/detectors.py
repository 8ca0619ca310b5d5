"""The detectors of the comparison: names, scores after each evaluation, and which timed parts they pay for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...guard.probe import looks
from ..network.sample import evaluations_of
from ..network.setting import Setting
from . import asthana, overshoot, ren, wen
from .broken_memories import Tables

GUARD = "Guard"
Values = dict[str, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What the papers leave to the model at hand; the defaults are as published, or as assumed where nothing is."""

    timestep: int = asthana.TIMESTEP
    cosine_weight: float = asthana.COSINE_WEIGHT
    layer: int = ren.PUBLISHED_LAYER
    sign: int = 1
    reference: str = "unit"
    window: int = 1


@dataclass(frozen=True)
class Detector:
    """One detector.

    Attributes
    ----------
    name, variant : str
        Variant is "as published", "tuned", "assumed", or what else sets it apart.
    score : callable
        Values of runs to scores after each evaluation, ``(runs, evaluations)``: NaN where it has none yet, or does not judge.
    parts : tuple of str
        Timed parts that it needs.
    """

    name: str
    variant: str
    score: Callable[[Values], np.ndarray]
    parts: tuple[str, ...]

    @property
    def label(self) -> str:
        return f"{self.name}, {self.variant}" if self.variant else self.name


def held(first: np.ndarray, evaluations: int) -> np.ndarray:
    """A score ``(runs, 1)`` or ``(runs,)`` known from the first evaluation on."""
    return np.repeat(first.reshape(-1, 1), evaluations, 1)


def largest(scores: np.ndarray) -> np.ndarray:
    """Largest score so far; NaN where nothing was judged yet."""
    found = np.maximum.accumulate(np.where(np.isnan(scores), -np.inf, scores), 1)
    return np.where(np.isfinite(found), found, np.nan)


def _count(values: Values) -> int:
    return values["sigma"].shape[1]


def alignment(choice: Choice) -> Callable[[Values], np.ndarray]:
    """Score of :mod:`.asthana`."""

    def score(values: Values) -> np.ndarray:
        found = asthana.combine(values["wen empty"][:, 0], values[f"alignment {choice.timestep}"][:, 0], choice.cosine_weight)
        return held(found, _count(values))

    return score


def attention(choice: Choice) -> Callable[[Values], np.ndarray]:
    """Score E of :mod:`.ren`."""
    return lambda values: held(choice.sign * values[f"ren {choice.layer}"], _count(values))


def overestimation(choice: Choice) -> Callable[[Values], np.ndarray]:
    """Score of :mod:`.overshoot`."""
    return lambda values: overshoot.score(values["guided"], values["conditional"], choice.reference, choice.window)


def _late(values: Values) -> np.ndarray:
    found = np.full_like(values["sigma"], np.nan)
    found[:, -1] = values["ren late"][:, 0]
    return found


def rivals(tables: dict[str, Tables], tuned: Choice) -> list[Detector]:
    """Every rival, as published and as tuned; `tables` are those of Broken Memories by scheduler."""
    plain = Choice()

    def described(choice: Choice, *names: str) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {getattr(choice, name)}" for name in names)

    found = [Detector("Broken Memories", f"{name} table", table.score, ("broken memories",)) for name, table in tables.items()]
    found += [
        Detector("Wen, first step", "prediction at hand", lambda v: held(v["wen"][:, 0], _count(v)), ("wen",)),
        Detector("Wen, mean of steps", "prediction at hand", lambda v: wen.running_mean(v["wen"]), ("wen",)),
        Detector("Wen, first step", "empty prompt", lambda v: held(v["wen empty"][:, 0], _count(v)), ("wen", "empty 0")),
        Detector("Jeon, sharpness", "as published", lambda v: held(v["jeon"], _count(v)), ("jeon", "empty 0")),
    ]
    for choice, word in ((plain, "as published"), (tuned, "tuned")):
        variant = f"{word}: {described(choice, 'timestep', 'cosine_weight')}"
        found.append(Detector("Asthana, anisotropy", variant, alignment(choice), ("wen", f"asthana {choice.timestep}", "empty 0")))
    for choice, word in ((plain, "as published"), (tuned, "tuned")):
        found.append(Detector("Ren, entropy E", f"{word}: {described(choice, 'layer', 'sign')}", attention(choice), ("ren first",)))
    found.append(Detector("Ren, entropy D", "as published", _late, ("ren first", "ren late")))
    for choice, word in ((plain, "assumed"), (tuned, "tuned")):
        found.append(Detector("Overestimation", f"{word}: {described(choice, 'reference', 'window')}", overestimation(choice), ("overshoot",)))
    return found


def guards(limits: dict[str, float], setting: Setting, rule: str = "smaller") -> list[Detector]:
    """The guard as it ships (the watch, or the probe where there is a negative prompt), and both parts; scores are in units of their thresholds."""
    empty = (f"empty {number}" for number in looks(evaluations_of(setting.sampler, setting.steps), rule=rule))
    parts = {"watch": ("watch",), "probe": ("probe", *empty)}

    def score(name: str) -> Callable[[Values], np.ndarray]:
        return lambda values: largest(values[name] / limits[name])

    used = "watch" if setting.negative == "none" else "probe"
    shown = [Detector(GUARD, f"automatic: {used}", score(used), parts[used])]
    return shown + [Detector(f"{GUARD}'s {name}", "", score(name), parts[name]) for name in parts]
