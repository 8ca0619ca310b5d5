"""Pictures that are sampled once more behind the host's sampling of their batch: a copy that damping came too late for from its own noise, damped
from the first evaluation on; and in the mode "replace" a flagged one from other seeds.

The second time has a job of its own, whose verdicts stand for those rows of the batch from then on; their batch mates keep every bit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...guard.outcome import AGAIN
from ...guard.recalling import Recalled
from ...guard.verdict import STABLE, Verdict, gravest
from ..host import resampling, texts
from ..host.language import say
from . import job

log = logging.getLogger(__name__)
#: How often an image is sampled from its own noise beside the first time.
MOST = 2


@dataclass
class Renewed:
    """What became of one image of a batch that was sampled again: the job that watched it and its position there.

    Attributes
    ----------
    job : Job or None
        None where it came to nothing: somebody interrupted, or an error.
    position : int
    said : str
        In the mode "replace" the seed that was replaced, what its picture was, and how many others were tried; why there is none.
    """

    job: object = None
    position: int = 0
    said: str = ""
    #: Job and position of the picture that this one was sampled again for, where that is not the batch's own but another try.
    first: tuple[job.Job, int] | None = None

    def watched(self, found: job.Job, position: int) -> tuple[job.Job, int]:
        """Job and position that tell what was seen: of an image that was sampled again the first time, which flagged it."""
        return self.first or ((self.job, self.position) if self.job is not None and self.said else (found, position))

    def verdict(self, before: Verdict | None, iteration: int, hires: bool) -> Verdict | None:
        """Of a pass, given what was said of it the first time."""
        if self.job is None:
            return before
        after = self.job.verdict(iteration, self.position, hires)
        if self.first is not None:
            before = self.first[0].verdict(iteration, self.first[1], hires)
        if (self.said and self.first is None) or before is None or after is None or not before.flagged:
            return after
        if not after.damped:  # not that pass, but another one
            return after if after.flagged else before
        # What it was flagged for is what the first time has shown; what was done about it is what is handed out.
        evaluations, outcome = max(before.evaluations, after.evaluations), f"{AGAIN} - {after.outcome}" if after.outcome else AGAIN
        carriers, reason = after.carriers or before.carriers, after.reason or before.reason
        ended = {"damped": after.damped, "outcome": outcome, "score_after": after.score_after}
        return replace(before, evaluations=evaluations, carriers=carriers, reason=reason, **ended)


def finish(found: object, p: object, samples: Sequence[torch.Tensor]) -> None:
    """The host has sampled the batch of `p`: put other rows into `samples` where images are to be sampled again. An error disturbs nothing."""
    if not isinstance(found, job.Job) or found.outer is not None or found.adopted or found.trouble:
        return
    found.rest()
    try:
        if len(samples) != len(p.seeds) or not resampling.possible(p, found.begun):
            return
        batch = _Batch(found, p, samples)
        if found.settings.mode == "damp" and found.settings.again:
            _again(batch, {row: (found, row) for row in range(len(samples))})
        elif found.settings.mode == "replace":
            _replace(batch)
    except Exception:
        log.exception("Memorization Guard: an error, an image is not sampled again")
    finally:
        found.forget()


class _Batch:
    """The batch that was sampled, and how rows of it are sampled again."""

    def __init__(self, found: job.Job, p: object, samples: Sequence[torch.Tensor]) -> None:
        self.found, self.p, self.samples, self.iteration = found, p, samples, p.iteration

    def passes(self, one: job.Job) -> list[bool]:
        """Those of the batch that `one` has watched, by whether they are hires."""
        return [hires for hires in (False, True) if (self.iteration, hires) in one.passes]

    def verdicts(self, one: job.Job, position: int) -> list[Verdict]:
        return [one.verdict(self.iteration, position, hires) for hires in self.passes(one)]

    def sample(self, rows: list[int], seeds: list[int], mode: str, said: str, recalled: dict[bool, list[Recalled | None]]) -> tuple | None:
        """The job that has watched the rows, and their samples; None where it came to nothing."""
        watching = self.found.again(mode, recalled)
        try:
            samples = resampling.sample(self.p, self.found.begun, rows, seeds, said, lambda: job.attach(self.p, watching))
        finally:
            watching.rest()
        if samples is None or len(samples) != len(rows):
            return None
        return watching, samples

    def put(self, row: int, watching: job.Job, position: int, sample: torch.Tensor, said: str = "", first: tuple | None = None) -> bool:
        """Hand out this one; not one that is no picture, which would end the job."""
        if not bool(torch.isfinite(sample).all()) or sample.shape != self.samples[row].shape:
            return False
        self.samples[row].copy_(sample)
        self.found.renewed[self.iteration, row] = Renewed(watching, position, said, first)
        return True


def _again(batch: _Batch, watched: dict[int, tuple[job.Job, int]], said_of: dict[int, str] | None = None) -> None:
    """Rows of which damping has failed, by job and position that have watched each; `said_of` those that stand for others."""
    p, told = batch.p, said_of or {}
    first = dict(watched) if said_of else {}
    #: What was found out so far, by row and by whether it was in the hires pass.
    known: dict[tuple[int, bool], Recalled] = {}
    for _ in range(MOST):
        for row, (one, position) in watched.items():
            known |= {(row, hires): new for hires in batch.passes(one) if (new := one.failed(batch.iteration, position, hires)) is not None}
        rows = [row for row, (one, position) in watched.items() if any(one.failed(batch.iteration, position, hires) for hires in batch.passes(one))]
        if not rows:
            return
        recalled = {hires: [known.get((row, hires)) for row in rows] for hires in (False, True)}
        done = batch.sample(rows, [p.seeds[row] for row in rows], "damp", say(texts.SAMPLING_AGAIN), recalled)
        if done is None:
            return
        watching, made = done
        put = [batch.put(row, watching, at, made[at], told.get(row, ""), first.get(row)) for at, row in enumerate(rows)]
        watched = {row: (watching, at) for at, row in enumerate(rows) if put[at]}


def _replace(batch: _Batch) -> None:
    found, p = batch.found, batch.p
    first = p.iteration * len(p.seeds)
    used = {int(seed) for seed in p.all_seeds}
    before = {row: gravest(batch.verdicts(found, row)) for row in range(len(batch.samples))}
    left = {row: int(p.seeds[row]) for row, verdict in before.items() if verdict.flagged}
    old, tries, why = dict(left), found.settings.tries, "interrupted"
    try:
        for number in range(1, tries + 1):
            if not left:
                return
            for row, seed in left.items():
                left[row] = resampling.next_seed(seed, used)
                used.add(left[row])
            # The last try is handed out whatever it is: damped, so that it is no copy where every seed makes one.
            rows, last = list(left), number == tries
            said = say(texts.SAMPLING_ANEW, number=number, of=tries)
            done = batch.sample(rows, list(left.values()), "damp" if last else "replace", said, {})
            if done is None:
                return
            watching, made = done
            for position, row in enumerate(rows):
                stable = all(one.verdict == STABLE for one in batch.verdicts(watching, position))
                told = f"seed {old[row]} ({before[row].verdict}) - {number} {'try' if number == 1 else 'tries'}"
                if (stable or last) and batch.put(row, watching, position, made[position], told):
                    p.seeds[row] = p.all_seeds[first + row] = left.pop(row)
            if last and found.settings.again:
                put = {row: found.renewed[p.iteration, row] for row in rows if row not in left}
                _again(batch, {row: (one.job, one.position) for row, one in put.items()}, {row: one.said for row, one in put.items()})
        why = "numbers not finite"
    except Exception as error:
        why = f"error {type(error).__name__}"
        raise
    finally:
        for row in left:
            found.renewed[p.iteration, row] = Renewed(said=f"no - {why}")


def said(found: job.Job, iteration: int, position: int) -> str:
    """What the infotext says of a replaced image."""
    renewed = found.renewed.get((iteration, position))
    return "" if renewed is None else renewed.said
