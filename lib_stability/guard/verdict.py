"""Verdicts: what a guard's readings say about each image, read from the device in one go when a pass is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from .readings import Judged, Pass

STABLE, MILD, STRONG, NOT_JUDGED = "stable", "mild", "strong", "not judged"
_GRAVITY = (STABLE, NOT_JUDGED, MILD, STRONG)


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
        Why it was not judged, or what a flag was left without: an error, an interruption, numbers that are none.
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
    """All readings of one detector on the host: arrays of shape ``(evaluations, batch)``, NaN or False where it did not look.

    `wanted` are the looks that it took, `judged` those among them that saw finite numbers inside its region.
    """

    score: torch.Tensor
    wanted: torch.Tensor
    judged: torch.Tensor
    unstable: torch.Tensor
    strong: torch.Tensor
    threshold: float


def _collect(what: Pass, which: str, batch: int) -> _Seen:
    rows: list[Judged | None] = [getattr(reading, which) for reading in what.readings]
    device = what.readings[0].sigma.device

    def column(pick, missing):
        blank = torch.full((batch,), missing, device=device)
        return torch.stack([blank if row is None else pick(row) for row in rows]).cpu()

    wanted = column(lambda row: torch.ones_like(row.unstable), False)
    if which == "watched":  # an image whose scale the watch cannot judge is none of its looks
        low, high = what.guidance_range
        for number, reading in enumerate(what.readings):
            if isinstance(reading.guidance, torch.Tensor):
                wanted[number] &= ((reading.guidance >= low) & (reading.guidance <= high)).cpu()
    return _Seen(
        column(lambda row: row.z.score, float("nan")),
        wanted,
        column(lambda row: row.z.inside & row.finite(), False),
        column(lambda row: row.unstable, False),
        column(lambda row: row.strong(), False),
        next((row.limits.mild for row in rows if row), float("nan")),
    )


def verdicts(what: Pass) -> list[Verdict]:
    """Verdicts of all images of a pass; an empty list where it has no images.

    An image is *stable* only where every look that a detector wanted took place, on finite numbers, inside its region, and the pass came to its end.
    Else it is *not judged*, with the reason and how many of the evaluations were; a flag once raised stays, with the reason beside it.
    """
    if what.region is None:
        return [Verdict(NOT_JUDGED, evaluations=what.evaluations, reason=what.doubt or "no profile")] * what.batch
    unseen = Verdict(NOT_JUDGED, evaluations=what.evaluations, reason=_trouble(what, True, True) or "nothing sampled")
    if not what.readings:
        return [unseen] * what.batch
    readings = what.readings
    batch = len(readings[0].sigma)
    idle = torch.zeros(batch, dtype=torch.bool, device=readings[0].sigma.device)
    acted = torch.stack([idle if r.acted is None else r.acted.changed() for r in readings]).sum(0).cpu()
    # Where the watch did not look, whether the prediction was a number at all.
    finite = torch.stack([~idle if r.finite is None else r.finite for r in readings])
    finite &= torch.stack([~idle if r.watched is None else r.watched.finite() for r in readings])
    finite &= torch.stack([~idle if r.probed is None else r.probed.finite() for r in readings])
    finite = finite.cpu()
    seen = {name: _collect(what, field, batch) for name, field in (("watch", "watched"), ("probe", "probed"))}
    found = [_verdict(what, index, seen, finite[:, index], int(acted[index])) for index in range(batch)]
    return found + [unseen] * (what.batch - batch)  # a batch that grew: its new images were never looked at


def _verdict(what: Pass, index: int, seen: dict[str, _Seen], finite: torch.Tensor, damped: int) -> Verdict:
    blank = Verdict(NOT_JUDGED, evaluations=what.evaluations, damped=damped)
    looked = {name: one for name, one in seen.items() if one.wanted[:, index].any()}
    judging = {name: one for name, one in looked.items() if one.judged[:, index].any()}
    inside = all((one.judged | ~one.wanted)[finite, index].all() for one in looked.values())
    trouble = _trouble(what, bool(finite.all()), inside)
    if not judging:
        return replace(blank, reason=trouble or _reason(what, index))
    # The detector that flagged first; where none did, the one that came closest to its threshold.
    first = {name: one.unstable[:, index].nonzero() for name, one in judging.items()}
    flagged = {name: int(where[0]) for name, where in first.items() if len(where)}
    best = {name: float(one.score[:, index][one.judged[:, index]].max()) for name, one in judging.items()}
    detector = min(flagged, key=lambda name: flagged[name]) if flagged else max(best, key=lambda name: best[name] / judging[name].threshold)
    stable = replace(blank, verdict=STABLE, score=best[detector], threshold=judging[detector].threshold, detector=detector)
    if not flagged:
        if not trouble:
            return stable
        count = int(torch.stack([one.judged[:, index] for one in judging.values()]).any(0).sum())
        planned = max(what.evaluations, what.planned if what.cut_short else 0)
        return replace(blank, reason=f"{trouble} - {count}/{planned} judged")
    strong = torch.stack([one.strong[:, index] for one in judging.values()]).any(0).nonzero()
    stopped = int(strong[0]) + 1 if len(strong) and what.stopping else None
    trouble = trouble or next((_error(kind, name) for name, kind in what.damper_failures.items()), "")
    return replace(stable, verdict=STRONG if len(strong) else MILD, flagged_at=flagged[detector] + 1, stopped_at=stopped, reason=trouble)


def _error(kind: str, name: str) -> str:
    return f"error {kind}" + ("" if name == "evaluation" else f" in the {name}")


def _trouble(what: Pass, finite: bool, inside: bool) -> str:
    """Why an image that nothing flagged is not stable; empty where nothing stands against it."""
    for name, kind in what.failures.items():
        return _error(kind, name)
    if not finite:
        return "numbers not finite"
    if what.cut_short:
        return what.cut_short
    return "" if inside else "noise level outside the region"


def _reason(what: Pass, index: int) -> str:
    scales = [float(g[index]) if isinstance(g, torch.Tensor) else g for g in (reading.guidance for reading in what.readings)]
    if what.doubt:
        return what.doubt
    return "guidance above the region" if max(scales) > what.guidance_range[1] else "no guidance and no probe"


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that matters most: a flag outweighs "not judged", that outweighs "stable"; the first among equals."""
    return max(verdicts, key=lambda one: _GRAVITY.index(one.verdict))


def merge(parts: Sequence[Verdict]) -> Verdict:
    """One verdict for consecutive parts of a pass, each judged by a guard of its own (a refiner has its own region): the gravest.

    Evaluations are counted through.
    """
    shifted, total = [], 0
    for part in parts:
        flagged, stopped = (at and at + total for at in (part.flagged_at, part.stopped_at))
        shifted.append(replace(part, flagged_at=flagged, stopped_at=stopped))
        total += part.evaluations
    if not shifted:
        return Verdict(NOT_JUDGED, reason="nothing sampled")
    return replace(gravest(shifted), evaluations=total, damped=sum(part.damped for part in parts))
