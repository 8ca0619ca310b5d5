"""Verdicts: what a guard's readings say about each image, read from the device in one go when a pass is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from .detectors import NAMES
from .detectors.parts import Parts
from .detectors.watch import Watch
from .outcome import AGAIN, LATE, STEERED, STILL, decided, ended
from .readings import Judged, Pass

STABLE, MILD, STRONG, NOT_JUDGED = "stable", "mild", "strong", "not judged"
#: Why nobody could judge where guidance is too low for the watch.
NO_GUIDANCE = "no guidance and no probe"
_BEYOND, _AWAITED = "guidance above the region", "ended before the last look"
#: Why the watch could not judge an evaluation whose prediction is not what plain guidance makes of the model's.
CHANGED = "guidance changed by another extension"
#: What nobody has looked at where another extension tells the network prompts of its own for regions of the picture.
REGIONS = "regions of another extension not judged alone"
#: What a reworded picture lacks where the prediction in the place of its own does not go through what another extension does.
_BARE = "damped without what another extension adds"
#: What doubts about the watch begin with: they count where the probe has not judged either.
_NO_PROBE = "no probe and "
#: When an image was flagged: while it could still be turned into another picture, or with little but details open, see :func:`.outcome.decided`.
EARLY_FLAG, LATE_FLAG = "early", "late"
_GRAVITY = (STABLE, NOT_JUDGED, MILD, STRONG)


@dataclass(frozen=True)
class Verdict:
    """What one pass says about one image.

    Attributes
    ----------
    verdict : "stable", "mild", "strong" or "not judged"
    score : float or None
        Largest deviation seen, in relative spreads, by the detector named in `detector`. Of an image that was damped or blanked the largest up to
        the evaluation that was changed first: what it was changed for. Later ones say how hard its prompt pulls back to the copy, of no picture.
    threshold : float or None
        The threshold that `score` was held against.
    flagged_at : int or None
        Evaluation (from 1) at which the image was flagged.
    flag : "early", "late" or ""
        Of a flagged image: whether it was flagged early enough to be steered away, or only when its picture was decided.
    evaluations, damped : int
        Evaluations of the pass, and how many of them were damped.
    detector : "watch", "probe" or ""
    reason : str
        Why it was not judged, or what a flag was left without: an error, an interruption, numbers that are none.
    stopped_at : int or None
        Evaluation (from 1) from which on the image was blanked.
    outcome : one of :data:`OUTCOMES` or ""
        Of a damped image: whether it still is what flagged it, or was flagged too late; else what the prediction for its own prompt says at the last
        evaluation. Empty where nothing was damped, where nobody has looked there or where that cannot tell (flow models, schedules that end in tiny
        steps).
    carriers : str
        Of a reworded image: the parts of its prompt without which the copy broke, joined by plus signs.
    score_after : float or None
        Of a damped image that has an `outcome`: the rate's deviation at the last evaluation, which that goes by.
    unwatched : str
        Where the verdict rests on the probe's few looks because the watch could not judge: "off" or how many of the evaluations it judged, and why;
        where it says nothing of :data:`REGIONS`, that as well.
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
    outcome: str = ""
    carriers: str = ""
    unwatched: str = ""
    score_after: float | None = None
    flag: str = ""

    @property
    def flagged(self) -> bool:
        return self.verdict in (MILD, STRONG)

    def without_regions(self) -> Verdict:
        """The same, saying that :data:`REGIONS` were not looked at."""
        if self.verdict == NOT_JUDGED or self.unwatched.endswith(REGIONS):
            return self
        seen = f"{self.unwatched} and " if self.unwatched else f"{self.evaluations}/{self.evaluations} - "
        return replace(self, unwatched=seen + REGIONS)

    @property
    def steered(self) -> bool:
        """Whether the finished picture no longer looks like what flagged it, at whichever attempt."""
        return self.outcome.endswith(STEERED)

    @property
    def failed(self) -> bool:
        """Whether damping has failed, so that the image had better be sampled again."""
        return self.outcome.endswith((STILL, LATE))

    @property
    def again(self) -> bool:
        """Whether it was sampled again from its own noise."""
        return self.outcome.startswith(AGAIN)


class _Seen(NamedTuple):
    """All readings of one detector on the host: arrays of shape ``(evaluations, batch)``, NaN or False where it did not look.

    `wanted` are the looks that it took, `judged` those among them that saw finite numbers inside its region.
    """

    score: torch.Tensor
    wanted: torch.Tensor
    judged: torch.Tensor
    unstable: torch.Tensor
    strong: torch.Tensor
    rate: torch.Tensor
    threshold: float


def _collect(what: Pass, name: str, batch: int) -> _Seen:
    rows = [reading.judged.get(name) for reading in what.readings]
    device = what.readings[0].sigma.device

    def column(pick: Callable[[Judged], torch.Tensor], missing: float | bool) -> torch.Tensor:
        blank = torch.full((batch,), missing, device=device)
        return torch.stack([blank if row is None else pick(row) for row in rows]).cpu()

    return _Seen(
        column(lambda row: row.z.score, float("nan")),
        column(lambda row: torch.ones_like(row.unstable) if row.wanted is None else row.wanted, False),
        column(lambda row: row.z.inside & row.finite(), False),
        column(lambda row: row.unstable, False),
        column(lambda row: row.strong(), False),
        column(lambda row: row.z.rate, float("nan")),
        next((row.limits.mild for row in rows if row), float("nan")),
    )


def verdicts(what: Pass) -> list[Verdict]:
    """Verdicts of all images of a pass; an empty list where it has no images.

    An image is *stable* only where every look that a detector wanted took place, on finite numbers, inside its region, and the pass came to its end;
    where the watch alone looked, also only if no guidance scale was above those that it judges (below, there is no signal to be missed). Else
    it is *not judged*, with the reason and how many of the evaluations were; a flag once raised stays, with the reason beside it.
    """
    if what.region is None:
        return [Verdict(NOT_JUDGED, evaluations=what.evaluations, reason=what.doubt or "no profile")] * what.batch
    unseen = Verdict(NOT_JUDGED, evaluations=what.evaluations, reason=what.trouble.against_stable(True, True) or "nothing sampled")
    if not what.readings:
        return [unseen] * what.batch
    readings = what.readings
    batch = len(readings[0].sigma)
    idle = torch.zeros(batch, dtype=torch.bool, device=readings[0].sigma.device)
    acted = torch.stack([idle if r.acted is None else r.acted.changed() for r in readings]).cpu()
    measured = [[*(one.finite() for one in r.judged.values()), ~idle if r.finite is None else r.finite] for r in readings]
    finite = torch.stack([torch.stack(one).all(0) for one in measured]).cpu()
    high = what.guidance_range[1]
    beyond = torch.stack([~(r.guidance <= high) if isinstance(r.guidance, torch.Tensor) else idle | (not r.guidance <= high) for r in readings])
    beyond = beyond.any(0).cpu()
    seen = {name: _collect(what, name, batch) for name in NAMES if any(name in r.judged for r in readings)}
    changed = torch.stack([idle if r.plain is None else ~r.plain for r in readings]).sum(0).cpu()
    levels = torch.stack([reading.sigma for reading in readings[-3:]]).cpu()
    found = [
        _verdict(what, index, seen, finite[:, index], acted[:, index], bool(beyond[index]), levels[:, index], int(changed[index]))
        for index in range(batch)
    ]
    return found + [unseen] * (what.batch - batch)  # a batch that grew: its new images were never looked at


def _verdict(
    what: Pass, index: int, seen: dict[str, _Seen], finite: torch.Tensor, acted: torch.Tensor, beyond: bool, ends: torch.Tensor, changed: int
) -> Verdict:
    damped = int(acted.sum())
    carriers = what.carriers[index] if index < len(what.carriers) else ""
    outcome, after = ended(what, _last_rate(seen, index), index, ends, int(acted.nonzero()[0])) if damped else ("", None)
    blank = Verdict(NOT_JUDGED, evaluations=what.evaluations, damped=damped, outcome=outcome, score_after=after, carriers=carriers)
    looked = {name: one for name, one in seen.items() if one.wanted[:, index].any()}
    judging = {name: one for name, one in looked.items() if one.judged[:, index].any()}
    whole = bool(finite.all()), all((one.judged | ~one.wanted)[finite, index].all() for one in looked.values())
    alone = Watch.name in judging and set(judging) <= {Watch.name, Parts.name}
    watched = alone and bool(judging[Watch.name].judged[:, index].all())
    unseen = _BEYOND if alone and beyond else _NO_PROBE + CHANGED if alone and changed else _AWAITED if what.awaited else ""
    trouble = what.trouble.against_stable(*whole, watched) or unseen
    if not judging:
        return replace(blank, reason=trouble or _reason(what, index, changed))
    blank = replace(blank, unwatched=_unwatched(what, index, judging.get(Watch.name), changed))
    # The detector that flagged first; where none did, the one that came closest to its threshold.
    first = {name: one.unstable[:, index].nonzero() for name, one in judging.items()}
    flagged = {name: int(where[0]) for name, where in first.items() if len(where)}
    strong = torch.stack([one.strong[:, index] for one in judging.values()]).any(0).nonzero()
    stopped = int(strong[0]) + 1 if len(strong) and what.stopping else None
    best = {name: _highest(one, index, stopped or (int(acted.nonzero()[0]) + 1 if damped else what.evaluations)) for name, one in judging.items()}
    detector = min(flagged, key=lambda name: flagged[name]) if flagged else max(best, key=lambda name: best[name] / judging[name].threshold)
    stable = replace(blank, verdict=STABLE, score=best[detector], threshold=judging[detector].threshold, detector=detector)
    if not flagged:
        count = int(torch.stack([one.judged[:, index] for one in judging.values()]).any(0).sum())
        return replace(blank, reason=f"{trouble} - {what.trouble.share(count, what.evaluations)}") if trouble else stable
    verdict, reason = (
        STRONG if len(strong) else MILD,
        what.trouble.beside_flag(*whole, watched) or (_BARE if damped and changed and what.bare else ""),
    )
    flag = "" if what.elements <= 0 else LATE_FLAG if decided(what, flagged[detector], index) else EARLY_FLAG
    return replace(stable, verdict=verdict, flagged_at=flagged[detector] + 1, flag=flag, stopped_at=stopped, reason=reason)


def _last_rate(seen: dict[str, _Seen], index: int) -> float | None:
    return max((float(one.rate[-1, index]) for one in seen.values() if one.judged[-1, index]), default=None)


def _highest(one: _Seen, index: int, until: int) -> float:
    """The largest deviation among the first `until` evaluations; among all where none of those was judged."""
    judged = one.judged[:, index].clone()
    if judged[:until].any():
        judged[until:] = False
    return float(one.score[:, index][judged].max())


def _unwatched(what: Pass, index: int, watch: _Seen | None, changed: int) -> str:
    if watch is None:
        return f"off - {_reason(what, index, changed).removeprefix(_NO_PROBE).removesuffix(' and no probe')}"
    return f"{int(watch.judged[:, index].sum())}/{what.evaluations} - {CHANGED}" if changed else ""


def _reason(what: Pass, index: int, changed: int) -> str:
    scales = [float(g[index]) if isinstance(g, torch.Tensor) else g for g in (reading.guidance for reading in what.readings)]
    if what.doubt or changed:
        return what.doubt or _NO_PROBE + CHANGED
    return _BEYOND if max(scales) > what.guidance_range[1] else NO_GUIDANCE


def gravest(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that matters most: a flag outweighs "not judged", that outweighs "stable"; the first among equals."""
    return max(verdicts, key=lambda one: _GRAVITY.index(one.verdict))


def merge(parts: Sequence[Verdict]) -> Verdict:
    """One verdict for consecutive parts of a pass, each judged by a guard of its own (a refiner has its own region): the gravest.

    Evaluations are counted through. What was seen of a flagged image after an earlier part had begun to damp it is no score of that image.
    """
    shifted, total = [], 0
    for part in parts:
        flagged, stopped = (at and at + total for at in (part.flagged_at, part.stopped_at))
        shifted.append(replace(part, flagged_at=flagged, stopped_at=stopped))
        total += part.evaluations
    if not shifted:
        return Verdict(NOT_JUDGED, reason="nothing sampled")
    carriers, unwatched = (next((getattr(part, name) for part in parts if getattr(part, name)), "") for name in ("carriers", "unwatched"))
    damped = sum(part.damped for part in parts)
    worst = gravest(shifted)
    first = next((part for part in shifted if part.damped and part.flagged), worst)
    if worst.flagged and shifted.index(first) < shifted.index(worst):
        worst = replace(worst, score=first.score, threshold=first.threshold, flagged_at=first.flagged_at, flag=first.flag, detector=first.detector)
    last = parts[-1]
    return replace(
        worst, evaluations=total, damped=damped, outcome=last.outcome, score_after=last.score_after, carriers=carriers, unwatched=unwatched
    )
