"""How well the map localises what is memorized, and whether a locally judged score catches what the global one misses.

Truth comes from templates (the backdrop), whole copies (everything) and composites (:mod:`.composites`) of which a half, a quarter or an eighth is
memorized. Thresholds are chosen on captions that the measurement does not see; local and global scores are judged by regions fitted to the same
reference runs, with thresholds from the same leave-one-out scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from ...guard import locality
from ...guard.finished import Finishing
from ...guard.norms import measure, per_sample
from ...guard.region import StabilityRegion, Trajectory
from ...guard.sensitivity import thresholds
from ...profile.calibration import GUIDANCE_RANGE, spread_guidance
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network.model import LATENT_SIZE, Testbed
from ..network.sample import sample
from ..network.setting import EVALUATION_SEED, Setting
from ..world import judge
from ..world.kinds import memorized
from . import calibrate, composites, locate_tables, written
from .composites import Observed, captions_for, ordinary
from .study import scores

SEED = EVALUATION_SEED + 40_000_000
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M")
SETTINGS = (
    Setting(guidance=7.5),
    *(Setting(sampler, steps=12, guidance=guidance) for guidance in (3.0, 7.5, 12.0) for sampler in SAMPLERS),
    Setting(steps=8, guidance=2.0),
)
#: Statistics of one evaluation beside the whole picture's RMS: the side of the square window with the largest RMS (0: the RMS that the top tenth of
#: the positions exceeds), and the least noise level at which it is judged.
LOCAL = {
    "global": (LATENT_SIZE, 0.0),
    "window of a half": (LATENT_SIZE // 2, 0.0),
    "window of a quarter": (LATENT_SIZE // 4, 0.0),
    "top tenth": (0, 0.0),
    "global, early": (LATENT_SIZE, 4.0),
    "window of a half, early": (LATENT_SIZE // 2, 4.0),
}
#: The guard's map, and the same made by hand, which runs have that were not flagged, too.
SHIPPED, UNFLAGGED = "prediction D at first, and guidance at the end", "the same, flagged or not"
#: Composites of two ordinary captions stand among the ordinary runs: a seam alone must not be flagged.
SEAM = "half"


@dataclass(frozen=True)
class Size:
    """Reference runs, runs that thresholds are chosen on (each kind and guidance scale), runs measured of each kind, and of ordinary captions."""

    references: int
    choosing: int
    runs: dict[str, int]
    ordinary: int
    seams: int
    settings: tuple[Setting, ...] = SETTINGS


FULL = Size(99, 4, {"whole": 2, "template": 8, "half": 6, "quarter": 8, "eighth": 6}, 12, 4)
QUICK = Size(24, 2, {"whole": 2, "template": 4, "half": 4, "quarter": 2, "eighth": 2}, 6, 2, (Setting(steps=10),))


# -- maps ----------------------------------------------------------------------------------------------------------------------------


def maps_of(seen: Observed, profile: Profile, guidance: float) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Candidate maps ``(runs, 16, 16)`` by name, the shipped one first, and which runs have one (those that were flagged)."""
    limit = thresholds(profile.watch, "medium").mild
    first, last, total, late = {}, None, 0.0, Finishing(profile.watch)
    flagged = torch.tensor([one is not None for one in seen.maps])
    fresh = torch.ones_like(flagged)
    for x, denoised, difference, sigma in zip(seen.x, seen.denoised, seen.difference, seen.sigma):
        expected = profile.watch.look_up(sigma, guidance)
        unstable = expected.z_scores(measure(x, denoised, sigma), sigma, profile.watch.score).score > limit
        rate, clean = (mean[:, None, None] for mean in expected.mean.unbind(1))
        fields = {
            "prediction D, evaluation that flags": denoised.square().mean(1).sqrt() / clean,
            "update v": _update(x, denoised, sigma) / rate,
            "guidance, w (Dc - D0)": difference.square().mean(1).sqrt() / clean,
        }
        late.add(difference / guidance, sigma)
        energy = (denoised.square().mean(1).sqrt() / clean).square()
        total = total + torch.where(unstable[:, None, None], energy, 0.0)
        for name, field in fields.items():
            held = first.setdefault(name, torch.zeros_like(field))
            first[name] = torch.where((unstable & fresh)[:, None, None], field, held)
        fresh = fresh & ~unstable
        last = denoised
    shipped = torch.stack([torch.zeros(LATENT_SIZE, LATENT_SIZE) if one is None else torch.from_numpy(one) for one in seen.maps])
    begun, finished = seen.denoised[0].square().mean(1).sqrt() / _mean(profile, seen.sigma[0], guidance), torch.from_numpy(np.stack(late.maps()))
    # What two seeds of one caption agree on; it wants a second run.
    apart = (last[0::2] - last[1::2]).square().mean(1).sqrt().repeat_interleave(2, 0)
    found = {
        SHIPPED: shipped,
        UNFLAGGED: (begun * finished).sqrt(),
        "prediction D when flagged, and guidance at the end": (first["prediction D, evaluation that flags"] * finished).sqrt(),
        "prediction D, first evaluation": begun,
        "prediction D, all unstable evaluations": locality.smooth(total).sqrt(),
        **first,
        "guidance, last three evaluations": finished,
    }
    return {**found, "agreement of two seeds": 1 / apart.clamp_min(1e-3)}, flagged


def _mean(profile: Profile, sigma: torch.Tensor, guidance: float) -> torch.Tensor:
    """Clean norm of ordinary runs, ``(runs, 1, 1)``."""
    return profile.watch.look_up(sigma, guidance).mean[:, 1, None, None]


def _update(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Local RMS over channels of the update v, see :func:`.norms.measure`."""
    level = 1 + per_sample(sigma, x).square()
    return (x / level - denoised).square().mean(1).sqrt() * (level.sqrt() / per_sample(sigma, x))[:, 0]


def iou(above: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean over images of intersection over union, masks ``(runs, h, w)``."""
    both, either = (above & truth).flatten(1).sum(1), (above | truth).flatten(1).sum(1)
    return float((both / either.clamp_min(1)).mean())


def ranked(values: torch.Tensor, truth: torch.Tensor) -> tuple[float | None, float | None]:
    """Mean over images of AUC and average precision of the positions; None where no image has both kinds of positions."""
    areas, precisions = [], []
    for value, mask in zip(values.flatten(1), truth.flatten(1)):
        if mask.all() or not mask.any():
            continue
        areas.append(auc(value[mask].numpy(), value[~mask].numpy()))
        hits = mask[value.argsort(descending=True)].float()
        precisions.append(float((hits.cumsum(0) / torch.arange(1, len(hits) + 1) * hits).sum() / hits.sum()))
    return (float(np.mean(areas)), float(np.mean(precisions))) if areas else (None, None)


def choose(found: list[tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]]) -> dict[str, float]:
    """For each candidate map the threshold of the best mean IoU over flagged runs of (maps, flagged, truth)."""
    limits = {}
    for name in found[0][0]:
        values = torch.cat([maps[name][flagged] for maps, flagged, _ in found])
        truth = torch.cat([mask[flagged] for _, flagged, mask in found])
        grid = values.flatten().quantile(torch.linspace(0.02, 0.98, 49)).tolist() if len(values) else [locality.THRESHOLD]
        limits[name] = max(grid, key=lambda limit, values=values, truth=truth: iou(values > limit, truth))
    return limits


# -- scores --------------------------------------------------------------------------------------------------------------------------


def local_norm(energy: torch.Tensor, side: int) -> torch.Tensor:
    """One number ``(runs,)`` of a local energy ``(runs, h, w)``: the largest RMS in a window of this side, see :data:`LOCAL`."""
    if side:
        return functional.avg_pool2d(energy[:, None], side, 1).flatten(1).amax(1).sqrt()
    return functional.avg_pool2d(energy[:, None], 3, 1).flatten(1).quantile(0.9, dim=1).sqrt()


def trajectories(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, guidance: np.ndarray) -> dict[str, list[Trajectory]]:
    """Trajectories of each of :data:`LOCAL`, from ``(evaluations, runs, ...)``."""
    fields = [(_update(*one).square(), one[1].square().mean(1)) for one in zip(x, denoised, sigma)]
    found = {}
    for name, (side, least) in LOCAL.items():
        kept = int((sigma[:, 0] >= least).sum())
        rate, clean = (torch.stack([local_norm(field[i], side) for field in fields[:kept]]).double().numpy() for i in (0, 1))
        levels = sigma[:kept].double().numpy()
        found[name] = [Trajectory(levels[:, i], np.full(kept, guidance[i]), rate[:, i], clean[:, i]) for i in range(levels.shape[1])]
    return found


class _Kept:
    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def step(self, x, denoised, sigma, guidance) -> torch.Tensor:
        self.seen.append((x.clone(), denoised.clone(), sigma.clone()))
        return denoised


def references(bed: Testbed, count: int, tick: Callable[[int], None]) -> dict[str, StabilityRegion]:
    """Regions of each of :data:`LOCAL`, fitted to the same ordinary runs of all samplers, guidance 1 to 15."""
    captions, scales = ordinary(count, True, calibrate.SEED), spread_guidance(count, *GUIDANCE_RANGE)
    runs: dict[str, list[Trajectory]] = {name: [] for name in LOCAL}
    for number, part in enumerate(range(0, count, calibrate.BATCH)):
        span, kept = slice(part, min(part + calibrate.BATCH, count)), _Kept()
        guidance = torch.tensor(scales[span], dtype=torch.float32)
        seeds = range(calibrate.SEED + span.start, calibrate.SEED + span.stop)
        sample(bed, captions[span], seeds, SAMPLERS[number % len(SAMPLERS)], 20, guidance, watch=lambda _, kept=kept: kept)
        for name, found in trajectories(*(torch.stack(column) for column in zip(*kept.seen)), scales[span]).items():
            runs[name] += found
        tick(span.stop - span.start)
    return {name: StabilityRegion().fit(found) for name, found in runs.items()}


def detection(regions: dict[str, StabilityRegion], positive: Observed, negative: list[Observed], guidance: float) -> dict[str, dict]:
    """For each of :data:`LOCAL`: AUC, TPR at 1 % FPR, and what the Medium threshold catches and lets through.

    An ordinary caption that hands out a memorized picture is no ordinary run, see :func:`.damping.truly_ordinary`.
    """
    found = {}

    def judged(seen: Observed) -> dict[str, np.ndarray]:
        told = trajectories(seen.x, seen.denoised, seen.sigma, np.full(seen.sigma.shape[1], guidance))
        return {name: scores(regions[name], told[name]) for name in LOCAL}

    above, below = judged(positive), [judged(seen) for seen in negative]
    kept = ~np.concatenate([judge.any_copies(seen.pixels, memorized()).numpy() for seen in negative])
    for name, region in regions.items():
        limit, ordinary_scores = thresholds(region, "medium").mild, np.concatenate([one[name] for one in below])[kept]
        found[name] = {
            "auc": auc(above[name], ordinary_scores),
            "tpr_at_1pct_fpr": tpr_at(above[name], ordinary_scores),
            "caught": float((above[name] > limit).mean()),
            "false_alarms": float((ordinary_scores > limit).mean()),
            "scores": [round(float(score / limit), 3) for score in above[name]],
            "ordinary_scores": [round(float(score / limit), 3) for score in ordinary_scores],
        }
    return found


# -- everything ----------------------------------------------------------------------------------------------------------------------


def held(seen: Observed, kind: str) -> torch.Tensor:
    """Which runs' pictures hold what their caption memorized, a mask ``(runs,)``; of composites nobody says, so all count."""
    return judge.any_copies(seen.pixels, memorized()) if kind in ("whole", "template") else torch.ones(len(seen.pixels), dtype=torch.bool)


def localisation(seen: Observed, kind: str, maps: dict[str, torch.Tensor], flagged: torch.Tensor, limits: dict[str, float]) -> dict:
    """One row: how well each candidate map finds the truth in flagged runs that are copies, the IoU of the mask that is everything, and that of the
    shipped map in all copies, flagged or not."""
    copies = held(seen, kind)
    row = {"kind": kind, "runs": len(flagged), "copies": float(copies.float().mean()), "flagged": None, "of_all": None, "maps": {}}
    if copies.any():
        row["flagged"] = float(flagged[copies].float().mean())
        row["of_all"] = iou(maps[UNFLAGGED][copies] > limits[SHIPPED], seen.truth[copies])
    flagged = flagged & copies
    row["judged"], truth = int(flagged.sum()), seen.truth[flagged]
    if not flagged.any():
        return row
    row["truth_share"] = row["everything_iou"] = float(truth.float().mean())
    for name, values in maps.items():
        if name == UNFLAGGED:
            continue
        above = values[flagged] > limits[name]
        area, precision = ranked(values[flagged], truth)
        row["maps"][name] = {"auc": area, "average_precision": precision, "iou": iou(above, truth), "covered": float(above.float().mean())}
    return row


def total_runs(size: Size) -> int:
    """Runs that :func:`locate` samples, for its progress bar."""
    return size.references + 9 * size.choosing + len(size.settings) * (size.ordinary + size.seams + sum(size.runs.values()))


def locate(size: Size, out: Path, profile: Profile, bed: Testbed | None = None) -> dict:
    """Run everything, write ``locality.json`` and ``locality.md`` into `out` after every setting, and return the content of the JSON."""
    bed = bed or Testbed.load()
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(total=total_runs(size), unit="run", mininterval=2) as bar:

        def runs(kind: str, count: int, setting: Setting, seed: int, first_half: bool = False) -> Observed:
            bar.set_description(f"{kind} {setting.sampler} {setting.steps}, w={setting.guidance:g}")
            return composites.observe(bed, profile, kind, *captions_for(kind, count, first_half, seed), setting, seed, bar.update)

        chosen_on = []
        for number, guidance in enumerate((3.0, 7.5, 12.0)):
            for kind in ("half", "quarter", "template"):
                seen = runs(kind, size.choosing, Setting(guidance=guidance), SEED + 1000 * number, True)
                maps, flagged = maps_of(seen, profile, guidance)
                chosen_on.append((maps, flagged & held(seen, kind), seen.truth))
        limits = choose(chosen_on)
        bar.set_description("reference runs")
        regions = references(bed, size.references, bar.update)
        result = {"threshold": locality.THRESHOLD, "chosen": limits, "references": size.references, "localisation": [], "detection": []}
        result["limits"] = {name: thresholds(region, "medium").mild for name, region in regions.items()}
        result["local"] = {name: {"side": side, "least_sigma": least} for name, (side, least) in LOCAL.items()}
        for number, setting in enumerate(size.settings):
            seed = SEED + 100_000 * (number + 1)
            told = {"sampler": setting.sampler, "steps": setting.steps, "guidance": setting.guidance}
            plain = composites.observe(bed, profile, "whole", ordinary(size.ordinary, False, seed), None, None, setting, seed, bar.update)
            seams = ordinary(2 * size.seams, False, seed + 7)
            pair = seams[: size.seams], None, seams[size.seams :]
            negative = [plain, composites.observe(bed, profile, SEAM, *pair, setting, seed + 500, bar.update)]
            for kind, count in size.runs.items():
                seen = runs(kind, count, setting, seed + 1000)
                maps, flagged = maps_of(seen, profile, setting.guidance)
                result["localisation"].append(told | localisation(seen, kind, maps, flagged, limits))
                result["detection"].append(told | {"kind": kind, "scores": detection(regions, seen, negative, setting.guidance)})
            written.write(out / "locality.json", result)
            (out / "locality.md").write_text(locate_tables.report(result) + "\n")
    return result
