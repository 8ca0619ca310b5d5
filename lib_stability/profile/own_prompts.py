"""Prompts that a user brings for a calibration: refused where they are copies of one another, or where their runs look like copies.

A region fitted to memorized prompts would call every copy ordinary. So prompts of one's own are compared with each other first, and their runs judged
by the profile that served before, or a prior: what that flags far more often than it flags ordinary prompts is no ordinary reference.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from ..guard.norms import Norms
from ..guard.region import StabilityRegion, Trajectory
from ..guard.sensitivity import thresholds
from ..sentences import Figure, Sentence
from .profiles import Profile

#: Prompts of which so large a share of the words (of both together) is the same are near-copies; those of the bundled list stay below.
NEAR = 0.8
#: Share of prompts that may be near-copies of another; fewest different ones; most runs with each.
MOST_NEAR, LEAST, MOST_RUNS = 0.1, 16, 8
#: Share of ordinary runs that Medium may flag: a calibration of the same checkpoint promises 1 %, to prompts like its own; a prior assumes it
#: of some model. Of memorized prompts nearly all are flagged.
FAIR = {"calibrated": 0.1, "prior": 0.5}
#: So many evaluations of a run a prior judges. Later ones, where guidance adds little, tell of the model's latents rather than of the prompts: that
#: of SD 1 flags nearly all ordinary runs of the testbed by them.
EARLY = 2
#: Fewest runs that are judged as a group, and how many standard deviations above its share their number may lie.
JUDGED, DEVIATIONS = 16, 2.0
#: Why they are refused, and what a profile of prompts is that nothing could judge.
TEXTS = {
    "same": "prompts: {count} of {of} say nearly the same as another, like {one} and {other}",
    "few": "prompts: {count} different ones are too few for {runs} runs, at least {least} are needed; none at all means the bundled ones",
    "memorized": (
        "{name} ({standing}) flags {count} of {runs} of these runs, of ordinary ones at most {most}: the prompts look like ones "
        "whose pictures the model has memorized. Leave prompts empty, then the bundled ones run"
    ),
    "doubt": "own prompts, and nothing to judge their runs by",
}

#: Words; scripts without spaces count by the letter.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]+")


def near_copies(prompts: Sequence[str]) -> list[tuple[int, int]]:
    """Each prompt that is a near-copy of an earlier one, with the first such.

    Two sets with more than :data:`NEAR` of their union in common share one of the few rarest words of either: only those are compared.
    """
    sets = [frozenset(_WORD.findall(text.casefold())) or frozenset([text]) for text in prompts]
    often = Counter(word for one in sets for word in one)
    seen: dict[str, list[int]] = {}
    found = []
    for number, one in enumerate(sets):
        rarest = sorted(one, key=lambda word: (often[word], word))[: len(one) - int(np.ceil(NEAR * len(one))) + 1]
        others = sorted({other for word in rarest for other in seen.get(word, ())})
        first = next((other for other in others if len(one & sets[other]) > NEAR * len(one | sets[other])), None)
        if first is not None:
            found.append((number, first))
            continue
        for word in rarest:
            seen.setdefault(word, []).append(number)
    return found


def check(prompts: Sequence[str], runs: int) -> None:
    """Refuse prompts that say the same, or too few of them.

    Raises
    ------
    ValueError
        With the reason, the numbers and an example.
    """
    near = near_copies(prompts)
    different, least = len(prompts) - len(near), max(LEAST, -(-runs // MOST_RUNS))
    if len(near) > MOST_NEAR * len(prompts):
        copied, first = (prompts[index][:80] for index in near[0])
        raise ValueError(Sentence(TEXTS["same"], count=len(near), of=len(prompts), one=repr(copied), other=repr(first)))
    if different < least:
        raise ValueError(Sentence(TEXTS["few"], count=different, runs=runs, least=least))


def judged(judge: Profile, watch: Sequence[Trajectory], probe: Sequence[Trajectory]) -> int:
    """How many reference runs `judge` flags at Medium: by the probe, whose scale is the same for all runs, else by the watch. See :data:`EARLY`."""
    region, runs = (judge.probe, probe) if judge.probe is not None and probe else (judge.watch, watch)
    limit, most = thresholds(region, "medium").mild, EARLY if judge.kind == "prior" else None
    return sum(_highest(region, run, most) > limit for run in runs)


def _highest(region: StabilityRegion, run: Trajectory, most: int | None) -> float:
    values = np.broadcast_arrays(*(np.asarray(one, dtype=np.float64) for one in (run.sigma, run.guidance, run.rate, run.clean)))
    sigma, guidance, rate, clean = (torch.tensor(one[:most], dtype=torch.float32) for one in values)
    z = region.z_scores(Norms(rate, clean), sigma, guidance)
    return float(z.score[z.inside].max()) if bool(z.inside.any()) else -np.inf


def suspicion(judge: Profile, watch: Sequence[Trajectory], probe: Sequence[Trajectory]) -> str:
    """Why these runs are no ordinary reference, "" where they may be one."""
    runs = len(probe or watch)
    if runs < JUDGED:
        return ""
    flagged, fair = judged(judge, watch, probe), FAIR[judge.kind]
    if flagged <= runs * fair + DEVIATIONS * (runs * fair * (1 - fair)) ** 0.5:
        return ""
    return Sentence(TEXTS["memorized"], name=judge.name, standing=judge.standing, count=flagged, runs=runs, most=Figure(f"{fair:.0%}"))
