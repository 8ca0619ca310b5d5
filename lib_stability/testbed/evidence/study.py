"""How many reference prompts a calibration needs: regions fitted to disjoint sets of ordinary runs, and what each of them detects.

Broken Memories asks the same of its own tables (50 prompts of a pool of 500). Every run is sampled once; all sets draw on the same recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from ...guard.norms import Norms
from ...guard.probe import REFERENCE_GUIDANCE, looks
from ...guard.region import STATISTICS, StabilityRegion, Trajectory
from ...guard.sensitivity import thresholds
from ...profile.calibration import GUIDANCE_RANGE, Recorder, spread_guidance
from ...ranking import auc
from ..network.model import Testbed
from ..network.sample import sample
from ..network.setting import memorized_captions
from ..world.kinds import is_narrow
from . import damping, tables, written
from .calibrate import SAMPLERS

#: First seeds: of the reference runs and of the held-out ones, apart from those of calibration and evaluation.
SEED, HELD_OUT_SEED = 20_000_000, 25_000_000
#: Range of the held-out runs' guidance scales.
JUDGED_GUIDANCE = (3.0, 12.0)


class Detector(NamedTuple):
    """Whether a detector judges only where a probe looks, and the guidance scales at which its curves are compared."""

    probes: bool
    guidance: tuple[float, ...]


#: A probe's region is fitted at one guidance scale and means nothing at another.
DETECTORS = {"watch": Detector(False, (3.0, 7.5, 12.0)), "probe": Detector(True, (REFERENCE_GUIDANCE,))}
#: Kinds of memorization whose runs nearly always are copies: here captions are taken for what their pictures are.
MEMORIZED = {"whole": ("conjunction", "trigger", "long", "captions"), "template": ("template",)}
#: Which end of a set's repeats is the worst, in the table.
WORST = {"false_alarms": "max", "caught_whole": "min", "caught_template": "min"}
BATCH = 48


@dataclass(frozen=True)
class Size:
    """How much is run.

    Parameters
    ----------
    pool : int
        Distinct ordinary captions, one reference run each.
    sizes : tuple of int
        Runs per set; as many disjoint sets as the pool holds, at most `most`.
    prompts, seeds : int
        Sets of a few prompts with several seeds each, next to sets of as many runs with a prompt each.
    held_out : int
        Ordinary captions of the other half that the fitted regions judge.
    copies : int
        Runs of each memorized caption.
    """

    pool: int = 800
    sizes: tuple[int, ...] = (25, 50, 100, 200, 400)
    most: int = 16
    prompts: int = 25
    seeds: int = 4
    held_out: int = 400
    copies: int = 3
    steps: int = 20

    @property
    def repeated_sets(self) -> int:
        """Sets of few prompts: as many as there are of equally many runs with a prompt each, at most four."""
        return min(4, self.pool // (self.prompts * self.seeds))


class Recording:
    """Trajectories of `captions` by detector, in their order; samplers in turn, so that any stretch of them holds all of them."""

    def __init__(self, captions: Sequence[str]) -> None:
        self.captions = list(captions)
        self.runs: dict[str, list[Trajectory]] = {name: [None] * len(captions) for name in DETECTORS}

    def record(self, bed: Testbed, seed: int, scales: np.ndarray, steps: int, tick: Callable[[int], None] = lambda n: None) -> Recording:
        """Sample every caption once, `scales` are their guidance scales."""
        # Drawn in blocks: the order of the guidance scales has periods of powers of two, one sampler must not always meet the same part of them.
        rng = np.random.default_rng(seed)
        turns = np.concatenate([rng.permutation(len(SAMPLERS)) for _ in range(0, len(self.captions), len(SAMPLERS))])[: len(self.captions)]
        for number, sampler in enumerate(SAMPLERS):
            own = np.flatnonzero(turns == number)
            for part in (own[first : first + BATCH] for first in range(0, len(own), BATCH)):
                recorder, guidance = Recorder(), torch.tensor(scales[part], dtype=torch.float32)
                seeds = [seed + int(i) for i in part]
                sample(bed, [self.captions[i] for i in part], seeds, sampler, steps, guidance, watch=lambda _, r=recorder: r)
                for name, found in zip(DETECTORS, recorder.trajectories()):
                    for i, run in zip(part, found):
                        self.runs[name][i] = run
                tick(len(part))
        return self


def sets(captions: Sequence[str], size: Size) -> Iterator[tuple[str, int, np.ndarray]]:
    """Label, number of distinct prompts and run indices of every set; those of one label and length have no run in common.

    `captions` are those of the pool, then the first ones again for every further seed.
    """
    pool = np.arange(size.pool)
    for count in size.sizes:
        for first in range(0, min(size.pool // count, size.most) * count, count):
            yield "mixed", count, pool[first : first + count]
    count = size.prompts * size.seeds
    themed = np.array([is_narrow(caption) for caption in captions[: size.pool]])
    for label, of in (("theme word in every prompt", pool[themed]), ("no theme word", pool[~themed])):
        for first in range(0, len(of) // count * count, count):
            yield label, count, of[first : first + count]
    again = size.pool + np.arange(size.seeds - 1)[:, None] * size.prompts * size.repeated_sets
    for first in range(0, size.prompts * size.repeated_sets, size.prompts):
        own = np.arange(first, first + size.prompts)
        yield f"{size.seeds} runs per prompt", size.prompts, np.concatenate([own, (again + own).ravel()])


def scores(region: StabilityRegion, runs: Sequence[Trajectory], probes: bool = False) -> np.ndarray:
    """Highest score of each run over the evaluations at which a probe looks, or all; -inf where the region covers none."""
    seen = [list(looks(len(run.sigma), rule=region.score)) if probes else slice(None) for run in runs]
    cut = [[values[some] for values in (run.sigma, run.guidance, run.rate, run.clean)] for run, some in zip(runs, seen)]
    sigma, guidance, rate, clean = (torch.from_numpy(np.concatenate(column)).float() for column in zip(*cut))
    z = region.z_scores(Norms(rate, clean), sigma, guidance)
    starts = np.cumsum([0, *(len(run[0]) for run in cut[:-1])])
    return np.maximum.reduceat(torch.where(z.inside, z.score, -torch.inf).numpy(), starts)


def change(region: StabilityRegion, full: StabilityRegion, guidance: Sequence[float]) -> tuple[float, float]:
    """Mean relative change of the mean curves and of the spread against `full`, over its knots and both norms."""
    sigma = torch.from_numpy(np.exp(full.knots_)).float()
    mean, spread = [], []
    for w in guidance:
        one, other = region.look_up(sigma, w), full.look_up(sigma, w)
        both = one.inside & other.inside
        mean.append((one.mean / other.mean - 1).abs()[both])
        spread.append((one.spread / other.spread - 1).abs()[both])
    return float(torch.cat(mean).mean()), float(torch.cat(spread).mean())


def judge(
    region: StabilityRegion, full: StabilityRegion, ordinary: list[Trajectory], memorized: dict[str, list[Trajectory]], detector: Detector
) -> dict:
    """What one fitted region is worth: its change against `full`, thresholds, false alarms, caught runs and AUC."""
    mean, spread = change(region, full, detector.guidance)
    negative = scores(region, ordinary, detector.probes)
    positive = {kind: scores(region, runs, detector.probes) for kind, runs in memorized.items()}
    result = {"mean_change": mean, "spread_change": spread}
    for level in ("medium", "paper"):
        limit = thresholds(region, level).mild
        result[level] = {"threshold": limit, "false_alarms": float((negative > limit).mean())}
        result[level] |= {f"caught_{kind}": float((found > limit).mean()) for kind, found in positive.items()}
    return result | {f"auc_{kind}": auc(found, negative) for kind, found in positive.items()}


def summary(fits: list[dict]) -> dict:
    """One row over the repeats of a set: means, and the worst of each."""

    def over(path: Callable[[dict], float]) -> dict:
        values = [path(fit) for fit in fits]
        return {"mean": float(np.mean(values)), "min": min(values), "max": max(values)}

    row = {key: fits[0][key] for key in ("detector", "set", "prompts", "runs")} | {"repeats": len(fits)}
    row |= {key: over(lambda fit, key=key: fit[key]) for key in ("mean_change", "spread_change", "auc_whole", "auc_template")}
    for level in ("medium", "paper"):
        row[level] = {key: over(lambda fit, key=key, level=level: fit[level][key]) for key in fits[0][level]}
    return row


def table(rows: list[dict], detector: str) -> str:
    """The rows of one detector as Markdown."""
    head = ["prompts", "prompts × seeds", "sets", "means change by", "spread by", "Medium threshold", "false alarms (worst)", "caught (worst)"]
    head += ["templates caught (worst)", "AUC (worst)", "z > 3: false alarms / caught"]
    lines = []
    for row in (row for row in rows if row["detector"] == detector):
        medium, paper = row["medium"], row["paper"]
        worst = [f"{100 * medium[key]['mean']:.1f} % ({100 * medium[key][end]:.1f} %)" for key, end in WORST.items()]
        lines.append(
            [
                row["set"],
                f"{row['prompts']} × {row['runs'] // row['prompts']}",
                str(row["repeats"]),
                f"{100 * row['mean_change']['mean']:.1f} %",
                f"{100 * row['spread_change']['mean']:.1f} %",
                "{mean:.2f} ({min:.2f} to {max:.2f})".format(**medium["threshold"]),
                *worst,
                f"{row['auc_whole']['mean']:.4f} ({row['auc_whole']['min']:.4f})",
                f"{100 * paper['false_alarms']['mean']:.1f} % / {100 * paper['caught_whole']['mean']:.1f} %",
            ]
        )
    return tables.markdown(head, lines)


def study(size: Size, bed: Testbed | None = None) -> dict:
    """Sample, fit and judge everything; returns the content of the JSON."""
    bed = bed or Testbed.load()
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(size.pool, SEED, "calibration")]
    captions += (size.seeds - 1) * captions[: size.prompts * size.repeated_sets]
    candidates = [caption for caption, _ in bed.variant.world.ordinary_samples(size.held_out, HELD_OUT_SEED, "evaluation")]
    told = {name: [caption for kind in of for caption in memorized_captions(kind, size.copies, HELD_OUT_SEED)[0]] for name, of in MEMORIZED.items()}
    with tqdm(total=len(captions) + 2 * len(candidates) + sum(map(len, told.values())), unit="run", mininterval=2) as bar:
        kept, dropped = damping.truly_ordinary(bed, candidates, HELD_OUT_SEED, bar.update)
        bar.total -= len(dropped)

        def recorded(captions: list[str], seed: int, guidance: tuple[float, float]) -> Recording:
            return Recording(captions).record(bed, seed, spread_guidance(len(captions), *guidance), size.steps, bar.update)

        pool = recorded(captions, SEED, GUIDANCE_RANGE)
        ordinary = recorded(kept, HELD_OUT_SEED + 1_000_000, JUDGED_GUIDANCE)
        memorized = {kind: recorded(of, HELD_OUT_SEED + 2_000_000, JUDGED_GUIDANCE) for kind, of in told.items()}
    result = {"size": asdict(size), "samplers": list(SAMPLERS), "statistics": list(STATISTICS), "judged_guidance": list(JUDGED_GUIDANCE)}
    result |= {"ordinary": len(kept), "ordinary_that_copy": dropped, **{kind: len(of) for kind, of in told.items()}, "rows": [], "fits": []}
    chosen = [("all", size.pool, np.arange(size.pool)), *sets(captions, size)]
    for name, detector in DETECTORS.items():
        known = {kind: recording.runs[name] for kind, recording in memorized.items()}
        groups: dict[tuple, list[dict]] = {}
        full = None
        for label, prompts, indices in chosen:
            region = StabilityRegion().fit([pool.runs[name][i] for i in indices], looks=looks if detector.probes else None)
            full = full or region
            fit = {"detector": name, "set": label, "prompts": prompts, "runs": len(indices)}
            fit |= judge(region, full, ordinary.runs[name], known, detector)
            groups.setdefault((label, prompts, len(indices)), []).append(fit)
        result["rows"] += [summary(fits) for fits in groups.values()]
        result["fits"] += [fit for fits in groups.values() for fit in fits]
    return result


def write(result: dict, path: Path) -> None:
    """Write the JSON of :func:`study`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written.write(path, result)
