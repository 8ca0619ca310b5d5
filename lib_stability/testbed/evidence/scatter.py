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
OTHERS, EACH = ("DPM++ SDE", "Heun", "DDIM", "PNDM"), 100
#: The level by which widths are set: the least that so few runs show well.
LEVEL = "high"
SHOWN = ("medium", "high")


def highest(region: StabilityRegion, run: Trajectory) -> float:
    """The highest deviation of a run's evaluations."""
    sigma, rate, clean = (torch.from_numpy(np.asarray(column, dtype=np.float32)) for column in (run.sigma, run.rate, run.clean))
    found = region.z_scores(Norms(rate, clean), sigma, float(np.mean(run.guidance)))
    return float(torch.where(found.inside, found.score, -torch.inf).max())


def rows(profile: Profile, runs: Sequence[Ordinary]) -> list[dict]:
    """One row a sampler and number of steps, of runs that the watch judges and that are no copies."""
    limits = {level: thresholds(profile.watch, level).mild for level in SHOWN}
    found = []
    for sampler, steps in dict.fromkeys((one.sampler, one.steps) for one in runs):
        own = [one for one in runs if (one.sampler, one.steps) == (sampler, steps) and not one.copy and np.mean(one.watch.guidance) >= LEAST_GUIDANCE]
        high = np.array([highest(profile.watch, one.watch) for one in own])
        width = scatter.width(profile, sampler, evaluations_of(sampler, steps))
        flagged = {level: [float((high > limit).mean()), float((high > width * limit).mean())] for level, limit in limits.items()}
        ratio = float(np.quantile(high, 1 - TARGETS[LEVEL])) / limits[LEVEL]
        found.append({"sampler": sampler, "steps": steps, "runs": len(own), "ratio": ratio, "width": width, "flagged": flagged})
    return found


def needed(found: Sequence[dict], sampler: str) -> float:
    """The width in runs of :data:`.scatter.STEPS` steps that a sampler's rows ask for."""
    return 1 + float(np.mean([(one["ratio"] - 1) * one["steps"] / scatter.STEPS for one in found if one["sampler"] == sampler]))


def measure(bed: Testbed, profile: Profile, out: Path, tick: Callable[[int], None] = lambda n: None, runs: Sequence[Ordinary] | None = None) -> dict:
    """Sample the calibration's runs and those of other samplers, if `runs` are not given; writes ``scatter.json`` and ``scatter.md`` into `out`."""
    if runs is None:
        others = ordinary_runs(bed, EACH * len(OTHERS), OTHERS, seed=SEED + RUNS, tick=tick)
        runs = [*ordinary_runs(bed, RUNS, SAMPLERS, tick=tick), *others]
    result = {"profile": profile.name, "rows": rows(profile, runs)}
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "scatter.json", result)
    (out / "scatter.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The rows as Markdown."""
    head = ["sampler", "steps", "ordinary runs", "scatter", "width", "flagged at Medium, High", "with the width"]
    lines = []
    for one in result["rows"]:
        plain, wide = (", ".join(tables.rate(one["flagged"][level][number]) for level in SHOWN) for number in (0, 1))
        lines.append([one["sampler"], str(one["steps"]), str(one["runs"]), f"{one['ratio']:.2f}", f"{one['width']:g}", plain, wide])
    return tables.markdown(head, lines)
