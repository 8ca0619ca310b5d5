"""What a guard saw at every model evaluation, per image and as plain numbers: for the API, charts and the audit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

import torch

from .readings import Judged, Pass, Reading


@dataclass(frozen=True)
class Point:
    """One model evaluation of one image.

    Attributes
    ----------
    sigma, guidance : float
        Noise level, and effective guidance scale.
    rate, clean : float or None
        Update norm and norm of the guided prediction, per element; None where the watch did not look or a number is not finite.
    rate_mean, rate_spread, clean_mean, clean_spread : float or None
        What the watch's region expects there, and its relative spread; None as above.
    watch, probe : float or None
        Deviations in relative spreads, None where that detector did not judge.
    unstable, damped : bool
    """

    sigma: float | None
    guidance: float | None
    rate: float | None
    clean: float | None
    rate_mean: float | None
    rate_spread: float | None
    clean_mean: float | None
    clean_spread: float | None
    watch: float | None
    probe: float | None
    unstable: bool
    damped: bool

    def to_json(self) -> dict:
        """Plain values, numbers to six digits."""
        return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in asdict(self).items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _columns(seen: Pass, reading: Reading, batch: int) -> list[torch.Tensor]:
    device = reading.sigma.device
    missing = torch.full((batch,), float("nan"), device=device)
    never = torch.zeros(batch, dtype=torch.bool, device=device)

    def score(judged: Judged | None) -> torch.Tensor:
        return missing if judged is None else torch.where(judged.z.inside, judged.z.score, missing)

    watched, probed = reading.watched, reading.probed
    guidance = reading.guidance if isinstance(reading.guidance, torch.Tensor) else torch.full_like(missing, float(reading.guidance))
    norms = [missing] * 6
    if watched is not None and seen.region is not None:
        expected = seen.region.look_up(reading.sigma, reading.guidance)
        norms = [watched.norms.rate, watched.norms.clean, *(one[:, i] for i in (0, 1) for one in (expected.mean, expected.spread))]
    unstable = [judged.unstable for judged in (watched, probed) if judged is not None]
    flags = [torch.stack(unstable).any(0) if unstable else never, never if reading.acted is None else reading.acted.changed()]
    return [column.float() for column in (reading.sigma, guidance, *norms, score(watched), score(probed), *flags)]


def history(seen: Pass) -> list[list[Point]]:
    """Every evaluation of every image of a pass, read from the device in one go; no evaluations where it had no region."""
    if not seen.readings:
        return [[] for _ in range(seen.batch)]
    batch = len(seen.readings[0].sigma)
    table = torch.stack([torch.stack(_columns(seen, reading, batch)) for reading in seen.readings]).cpu().tolist()
    return [[_point([column[image] for column in row]) for row in table] for image in range(batch)]


def _point(values: list[float]) -> Point:
    *numbers, unstable, damped = values
    named = dict(zip((one.name for one in fields(Point)), map(_number, numbers)))
    return Point(**named, unstable=bool(unstable), damped=bool(damped))
