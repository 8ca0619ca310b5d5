"""Verdicts: what a guard's readings say about each image, read from the device in one go when a pass is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from .readings import Pass, Reading

STABLE, MILD, STRONG, NOT_JUDGED = "stable", "mild", "strong", "not judged"
_GRAVITY = (NOT_JUDGED, STABLE, MILD, STRONG)


@dataclass(frozen=True)
class Verdict:
    """What one pass says about one image.

    Attributes
    ----------
    verdict : "stable", "mild", "strong" or "not judged"
    score : float or None
        Largest deviation seen, in relative spreads, by the detector named in `detector`.
    threshold : float or None
        The threshold that `score` was held against.
    flagged_at : int or None
        Evaluation (from 1) at which the image was flagged.
    evaluations, damped : int
        Evaluations of the pass, and how many of them were damped.
    detector : "watch", "probe" or ""
    reason : str
        Why nothing was judged.
    stopped_at : int or None
        Evaluation (from 1) from which on the image was blanked.
    """

    verdict: str
    score: float | None = None
    threshold: float | None = None
    flagged_at: int | None = None
    evaluations: int = 0
    damped: int = 0
    detector: str = ""
    reason: str = ""
    stopped_at: int | None = None

    @property
    def flagged(self) -> bool:
        return self.verdict in (MILD, STRONG)


class _Seen(NamedTuple):
    """All readings of one detector on the host: arrays of shape ``(evaluations, batch)``, NaN or False where it did not look."""

    score: torch.Tensor
    inside: torch.Tensor
    finite: torch.Tensor
    unstable: torch.Tensor
    strong: torch.Tensor
    threshold: float


def _collect(readings: list[Reading], which: str, batch: int) -> _Seen:
    def column(pick, missing):
        blank = torch.full((batch,), missing)
        rows = [getattr(reading, which) for reading in readings]
        device = next((row.unstable.device for row in rows if row), "cpu")
        return torch.stack([blank.to(device) if row is None else pick(row) for row in rows]).cpu()

    return _Seen(
        column(lambda row: row.z.score, float("nan")),
        column(lambda row: row.z.inside & row.finite(), False),
        column(lambda row: row.finite(), True),
        column(lambda row: row.unstable, False),
        column(lambda row: row.strong(), False),
        next((row.limits.mild for row in (getattr(reading, which) for reading in readings) if row), float("nan")),
    )


def verdicts(what: Pass) -> list[Verdict]:
    """Verdicts of all images of a pass; an empty list where the model was never evaluated under a region."""
    readings, total = what.readings, what.evaluations
    if what.error is not None:
        return [Verdict(NOT_JUDGED, evaluations=total, reason="error")] * what.batch
    if what.region is None:
        return [Verdict(NOT_JUDGED, evaluations=total, reason=what.doubt or "no profile")] * what.batch
    if not readings:
        return [Verdict(NOT_JUDGED, reason="nothing sampled")] * what.batch
    batch = len(readings[0].sigma)
    idle = torch.zeros(batch, dtype=torch.bool, device=readings[0].sigma.device)
    acted = torch.stack([idle if r.acted is None else r.acted.changed() for r in readings]).sum(0).cpu()
    seen = {name: _collect(readings, field, batch) for name, field in (("watch", "watched"), ("probe", "probed"))}
    return [_verdict(what, index, seen, int(acted[index])) for index in range(batch)]


def _verdict(what: Pass, index: int, seen: dict[str, _Seen], damped: int) -> Verdict:
    common = dict(evaluations=what.evaluations, damped=damped)
    if not all(one.finite[:, index].all() for one in seen.values()):
        return Verdict(NOT_JUDGED, reason="numbers not finite", **common)
    judging = {name: one for name, one in seen.items() if one.inside[:, index].any()}
    if not judging:
        return Verdict(NOT_JUDGED, reason=_reason(what, index), **common)
    # The detector that flagged first; where none did, the one that came closest to its threshold.
    first = {name: one.unstable[:, index].nonzero() for name, one in judging.items()}
    flagged = {name: int(where[0]) for name, where in first.items() if len(where)}
    best = {name: float(one.score[:, index][one.inside[:, index]].max()) for name, one in judging.items()}
    detector = min(flagged, key=flagged.get) if flagged else max(best, key=lambda name: best[name] / judging[name].threshold)
    if not flagged:
        return Verdict(STABLE, best[detector], judging[detector].threshold, detector=detector, **common)
    strong = torch.stack([one.strong[:, index] for one in judging.values()]).any(0).nonzero()
    stopped = int(strong[0]) + 1 if len(strong) and what.stopping else None
    verdict = STRONG if len(strong) else MILD
    return Verdict(verdict, best[detector], judging[detector].threshold, flagged[detector] + 1, detector=detector, stopped_at=stopped, **common)


def _reason(what: Pass, index: int) -> str:
    scales = [float(g[index]) if isinstance(g, torch.Tensor) else g for g in (reading.guidance for reading in what.readings)]
    judged = [not what.doubt and what.guidance_range[0] <= scale <= what.guidance_range[1] for scale in scales]
    if any(judged) or any(reading.probed is not None for reading in what.readings):
        return "noise level outside the region"
    if what.doubt:
        return what.doubt
    return "guidance above the region" if max(scales) > what.guidance_range[1] else "no guidance and no probe"


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that matters most: a flag outweighs "stable", that outweighs "not judged"; the first among equals."""
    return max(verdicts, key=lambda one: _GRAVITY.index(one.verdict))


def merge(parts: Sequence[Verdict]) -> Verdict:
    """One verdict for consecutive parts of a pass, each judged by a guard of its own (a refiner has its own region): the gravest.

    Evaluations are counted through.
    """
    shifted, total = [], 0
    for part in parts:
        at = {name: value and value + total for name, value in (("flagged_at", part.flagged_at), ("stopped_at", part.stopped_at))}
        shifted.append(replace(part, **at))
        total += part.evaluations
    if not shifted:
        return Verdict(NOT_JUDGED, reason="nothing sampled")
    return replace(gravest(shifted), evaluations=total, damped=sum(part.damped for part in parts))
