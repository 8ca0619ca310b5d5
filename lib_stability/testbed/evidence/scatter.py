"""How much more ordinary runs scatter under each sampler than the level of a calibration says: what :data:`.profile.scatter.WIDTHS` are.

Thresholds come from runs at the knots of a region, all samplers together. Here every evaluation of every run is judged, sampler by sampler: the
highest deviation that a share of its ordinary runs exceeds, over the threshold that is meant for this share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ...guard.norms import Norms
from ...guard.probe import LEAST_GUIDANCE
from ...guard.probe import looks as probe_looks
from ...guard.region import StabilityRegion
from ...guard.sensitivity import TARGETS, thresholds
from ...guard.trajectory import Trajectory
from ...profile import scatter
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.sample import evaluations_of
from . import tables, written
from .calibrate import RUNS, SAMPLERS, SEED, Ordinary, ordinary_runs

#: Samplers beside those of the calibration, and runs of each.
OTHERS, EACH = ("DPM++ SDE", "Heun", "DDIM", "PNDM"), 250
#: The level that a row of few runs shows well, and those by which widths are set.
LEVEL, SHOWN = "high", ("medium", "high")
#: Runs of a sampler from which on they show Medium, too.
LEAST = 150
DETECTORS = ("watch", "probe")
#: Samplers that add noise or extrapolate over a noisy start, guidance that counts as weak and as strong, and powers to try.
NOISY, WEAK, STRONG = ("Euler a", "DPM2 a", "DPM++ 3M SDE", "DPM++ 2S a", "DPM++ 2M SDE", "DPM++ SDE", "PNDM"), 6.0, 10.0
POWERS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)


def highest(region: StabilityRegion, run: Trajectory, looks: Sequence[int] | None = None) -> float:
    """The highest deviation of a run's evaluations, or of those with these numbers."""
    taken = slice(None) if looks is None else list(looks)
    sigma, rate, clean = (torch.from_numpy(np.asarray(column, dtype=np.float32)[taken]) for column in (run.sigma, run.rate, run.clean))
    found = region.z_scores(Norms(rate, clean), sigma, float(np.mean(run.guidance)))
    return float(torch.where(found.inside, found.score, -torch.inf).max())


def judged(runs: Sequence[Ordinary], detector: str = "watch") -> list[Ordinary]:
    """Those that a detector judges and that are no copies."""
    return [one for one in runs if not one.copy and (detector == "probe" or np.mean(one.watch.guidance) >= LEAST_GUIDANCE)]


def deviation(profile: Profile, run: Ordinary, detector: str, late: bool | None = None, growth: float = scatter.GROWTH) -> float:
    """The highest that a detector sees of a run, the watch's at :data:`.scatter.GUIDANCE`; `late` in place of the sampler's own."""
    if detector == "watch":
        region = profile.watch.widened(1.0, scatter.known(profile, run.sampler).late if late is None else late)
        return highest(region, run.watch) * (scatter.GUIDANCE / float(np.mean(run.watch.guidance))) ** growth
    return highest(
        profile.probe, run.probe, probe_looks(len(run.probe.sigma), rule=profile.probe.score, flow=profile.probe.parameterisation == "flow")
    )


def rows(profile: Profile, runs: Sequence[Ordinary]) -> list[dict]:
    """One row a sampler and number of steps."""
    limits = {level: thresholds(profile.watch, level).mild for level in SHOWN}
    found = []
    for sampler, steps in dict.fromkeys((one.sampler, one.steps) for one in runs):
        own = [one for one in judged(runs) if (one.sampler, one.steps) == (sampler, steps)]
        high = np.array([highest(profile.watch, one.watch) for one in own])
        evaluations = evaluations_of(sampler, steps)
        wide = np.array([highest(scatter.watch(profile, sampler, evaluations, float(np.mean(one.watch.guidance))), one.watch) for one in own])
        flagged = {level: [float((high > limit).mean()), float((wide > limit).mean())] for level, limit in limits.items()}
        ratio, known = float(np.quantile(high, 1 - TARGETS[LEVEL])) / limits[LEVEL], scatter.known(profile, sampler)
        width = scatter.width(known.watch, known.order, evaluations)
        found.append({"sampler": sampler, "steps": steps, "runs": len(own), "ratio": ratio, "width": width, "flagged": flagged})
    return found


def needed(profile: Profile, runs: Sequence[Ordinary], detector: str) -> list[dict]:
    """Of each sampler the width in runs of :data:`.scatter.STEPS` steps by which its runs, of all steps, are flagged as often as a level says:
    Medium's (None where they are too few to show it), High's, and the larger one; of the watch also those by either rule for the last evaluations."""
    found = []
    for sampler in dict.fromkeys(one.sampler for one in runs):
        own = [one for one in judged(runs, detector) if one.sampler == sampler]
        told = _asked_for(profile, own, detector)
        found.append({"sampler": sampler, "runs": len(own), **dict.fromkeys(SHOWN), **told, "needed": max(told.values())})
        if detector == "watch":
            found[-1]["by_rule"] = {name: _asked_for(profile, own, detector, late) for name, late in (("late rate", True), ("smaller", False))}
    return found


def _asked_for(profile: Profile, own: Sequence[Ordinary], detector: str, late: bool | None = None) -> dict[str, float]:
    """By level the width that runs of one sampler ask for."""
    high = np.array([deviation(profile, one, detector, late) for one in own])
    falls = np.array([min(1.0, scatter.STEPS / one.steps) for one in own])
    limits = {level: thresholds(getattr(profile, detector), level).mild for level in SHOWN if level == LEVEL or len(own) >= LEAST}
    return {level: 1 + float(np.quantile((high / limit - 1) / falls, 1 - TARGETS[level])) for level, limit in limits.items()}


def growth(profile: Profile, runs: Sequence[Ordinary]) -> dict[str, float]:
    """By powers of guidance that widths might grow by: what runs of weak guidance reach over what those of strong do, the mean ratio of samplers that
    add noise (1: a level holds for both)."""
    found = {}
    for power in POWERS:
        ratios = []
        for sampler in dict.fromkeys(one.sampler for one in runs if one.sampler in NOISY):
            own = [one for one in judged(runs) if one.sampler == sampler]
            high, scale = (
                np.array(column) for column in zip(*((deviation(profile, one, "watch", True, power), np.mean(one.watch.guidance)) for one in own))
            )
            ratios.append(np.quantile(high[scale < WEAK], 1 - TARGETS[LEVEL]) / np.quantile(high[scale > STRONG], 1 - TARGETS[LEVEL]))
        found[f"{power:g}"] = float(np.exp(np.mean(np.log(ratios))))
    return found


def measure(bed: Testbed, profile: Profile, out: Path, tick: Callable[[int], None] = lambda n: None, runs: Sequence[Ordinary] | None = None) -> dict:
    """Sample the calibration's runs and those of other samplers, if `runs` are not given; writes ``scatter.json`` and ``scatter.md`` into `out`."""
    if runs is None:
        others = ordinary_runs(bed, EACH * len(OTHERS), OTHERS, seed=SEED + RUNS, tick=tick)
        runs = [*ordinary_runs(bed, RUNS, SAMPLERS, tick=tick), *others]
    result = {"profile": profile.name, "rows": rows(profile, runs), **{name: needed(profile, runs, name) for name in DETECTORS}}
    result["growth"] = growth(profile, runs)
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "scatter.json", result)
    (out / "scatter.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """Both tables as Markdown."""
    head = ["sampler", "steps", "ordinary runs", "scatter", "width", "flagged at Medium, High", "with the width"]
    lines = []
    for one in result["rows"]:
        plain, wide = (", ".join(tables.rate(one["flagged"][level][number]) for level in SHOWN) for number in (0, 1))
        lines.append([one["sampler"], str(one["steps"]), str(one["runs"]), f"{one['ratio']:.2f}", f"{one['width']:g}", plain, wide])
    asked = [
        [both[0]["sampler"], *(cell for name, one in zip(DETECTORS, both) for cell in _asked(one, name))] for both in zip(*map(result.get, DETECTORS))
    ]
    columns = (f"{name}: {column}" for name in DETECTORS for column in ("ordinary runs", "Medium asks for", "High asks for", "taken"))
    return f"{tables.markdown(head, lines)}\n\n{tables.markdown(['sampler', *columns], asked)}"


def _asked(one: dict, detector: str) -> list[str]:
    return [str(one["runs"]), *("–" if one[level] is None else f"{one[level]:.2f}" for level in SHOWN), f"{taken(one['sampler'], detector):g}"]


def taken(sampler: str, detector: str) -> float:
    """The width that is in force."""
    known = scatter.WIDTHS.get(sampler)
    return getattr(known, detector) if known else 1.0
