"""What tells the copies of a LoRA: the base's region and regions made for it, agreement of seeds, the base model, the training pictures, the file.

Labels come from pictures: a copy is what resembles a training picture, whatever its caption. Told are the copies among runs of training captions from
the runs of other captions that are none. What is made of each network at each weight is kept, so that an interrupted evaluation goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...guard.region import StabilityRegion
from ...guard.sensitivity import thresholds
from ...networks import files, filtering
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..lora import layers, pictures, stored
from ..lora.merging import merged
from ..lora.recipes import BETWEEN, MINE, STYLE
from ..lora.train import Recipe
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED
from ..world.kinds import ordinary_samples
from . import calibrate, lora_regions, written
from .lora_runs import BANK, agreement, generate, scores
from .lora_tables import report

SEED = EVALUATION_SEED + 80_000_000
#: Captions of each set, and seeds of each: a network's own, others with its trigger word, ordinary ones without it.
SETS = {"training": (12, 4), "trigger": (10, 4), "ordinary": (20, 2)}
#: Ordinary runs with the network on for a quick correction, and for a region of its own.
QUICK, OWN = (12, 24), 80
#: The weight that a profile was made at, those that it is tried at, and ordinary captions of each.
AT, WEIGHTS, TOLERATED = 0.8, (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0, 1.2), 80
TRIED = ((STYLE, STYLE.saves[-1]), (BETWEEN, BETWEEN.saves[-1]), (MINE, MINE.saves[1]), (MINE, MINE.saves[-1]))
#: Share of channels that cleaning suppresses.
SHARES = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Case:
    """A file at a weight; `own` asks for a region calibrated with it on."""

    recipe: Recipe
    step: int
    weight: float
    own: bool = False

    @property
    def name(self) -> str:
        return f"{self.recipe.path(self.step).stem} {self.weight:g}"


def cases() -> list[Case]:
    """In the order of their importance."""
    last = MINE.saves[-1]
    found = [Case(STYLE, STYLE.saves[-1], 1.0, True), Case(MINE, last, 1.0, True), Case(BETWEEN, BETWEEN.saves[-1], 1.0, True)]
    found += [Case(MINE, step, 1.0, step == MINE.saves[1]) for step in MINE.saves[:-1]]
    found += [Case(recipe, recipe.saves[-1], weight) for weight in (0.8, 0.5, 1.2) for recipe in (STYLE, MINE)]
    found.append(Case(STYLE, STYLE.saves[-1], 0.0))  # the base itself
    return found


def captions_of(case: Case) -> dict[str, list[str]]:
    """Each set's captions, those of one caption in a row."""
    told = [pictures.caption(scene) for scene in case.recipe.scenes]
    sets = {
        "training": list(dict.fromkeys(told))[: SETS["training"][0]],
        "trigger": pictures.unseen(SETS["trigger"][0], SEED, told),
        "ordinary": [caption for caption, _ in ordinary_samples(SETS["ordinary"][0], SEED, "evaluation")],
    }
    return {name: [caption for caption in some for _ in range(SETS[name][1])] for name, some in sets.items()}


# -- one case ----------------------------------------------------------------------------------------------------------------------------


def measure(case: Case, base: Testbed, profile: Profile, tick: Callable[[int], None]) -> dict:
    """Everything about one network at one weight, as plain numbers."""
    network = stored.read(case.recipe.path(case.step))
    bed, sets = merged(base, network, case.weight), captions_of(case)
    everything = [caption for some in sets.values() for caption in some]
    runs = generate(bed, base, everything, SEED, tick)
    goals = pictures.targets(case.recipe.scenes)
    likeness = pictures.likeness(runs.pixels, goals)
    limit = pictures.limit(goals)
    copies = (likeness > limit).numpy()
    where = np.repeat(list(sets), [len(some) for some in sets.values()])
    groups = [list(dict.fromkeys(everything)).index(caption) for caption in everything]
    training, others = (where == "training") & copies, (where != "training") & ~copies
    found: dict = {"name": case.name, "file": case.recipe.path(case.step).name, "weight": case.weight, "pictures": case.recipe.count, "limit": limit}
    found["epoch"] = case.recipe.epoch(case.step)
    for name in sets:
        own = where == name
        colour = pictures.colourfulness(runs.pixels)[torch.from_numpy(own)]
        found[name] = {"runs": int(own.sum()), "copies": float(copies[own].mean()), "colour": float(colour.mean())}
    with torch.no_grad():
        latents = torch.cat([base.encode(some) for some in goals.split(20)])
    told = {
        "agreement, early": agreement(runs.early, groups),
        "agreement, finished": agreement(runs.latents, groups),
        "unlike the base": runs.from_base,
        "sharpness": runs.sharpness.astype(float),
        "training pictures, early": _nearest(runs.early, latents),
        "training pictures, finished": _nearest(runs.latents, latents),
    }
    regions: dict[str, StabilityRegion] = {"base": profile.watch}
    quick = generate(bed, base, [caption for caption, _ in ordinary_samples(max(QUICK), SEED + 1, "calibration")], SEED + 1000, tick)
    for count in QUICK:
        regions[f"corrected by {count} runs"] = lora_regions.corrected(profile.watch, quick.norms[:count])
    if case.own:
        regions[f"own of {OWN} runs"] = calibrate.calibrate(bed, OWN, tick=tick).watch
    for name, region in regions.items():
        told[f"region: {name}"] = score = scores(region, runs.norms)
        flagged = score > thresholds(region, "medium").mild
        alarms = {some: _share(flagged[(where == some) & ~copies]) for some in ("trigger", "ordinary")}
        found.setdefault("medium", {})[name] = alarms | {"caught": _share(flagged[training])}
    found["told"] = {name: _told(score[training], score[others]) for name, score in told.items()}
    found["positives"], found["negatives"] = int(training.sum()), int(others.sum())
    found["by caption"] = _by_caption(told, copies, where, groups)
    found["channels"] = _channels(network, base)
    return found


def _nearest(latents: torch.Tensor, goals: torch.Tensor) -> np.ndarray:
    """Correlation of latents with the nearest of the training pictures': ``(n,)``."""
    rows, others = (some.flatten(1) - some.flatten(1).mean(1, keepdim=True) for some in (latents, goals))
    rows, others = (torch.nn.functional.normalize(some, dim=1) for some in (rows, others))
    return (rows @ others.T).amax(1).double().numpy()


def _share(found: np.ndarray) -> float | None:
    return float(found.mean()) if len(found) else None


def _told(positive: np.ndarray, negative: np.ndarray) -> dict | None:
    """AUC and what is caught at 1 % false alarms; None where there are too few copies to say."""
    if len(positive) < 5 or len(negative) < 5:
        return None
    return {"auc": auc(positive, negative), "tpr": tpr_at(positive, negative)}


def _by_caption(told: dict[str, np.ndarray], copies: np.ndarray, where: np.ndarray, groups: Sequence[int]) -> dict:
    """AUC of each score's mean over a caption's seeds: training captions that copy in half of their runs or more, against others that never do."""
    groups_of, found = np.asarray(groups), {}
    numbers = sorted(set(groups))
    rate = np.array([copies[groups_of == one].mean() for one in numbers])
    training = np.array([where[groups_of == one][0] == "training" for one in numbers])
    positive, negative = training & (rate >= 0.5), ~training & (rate == 0)
    found["captions"] = [int(positive.sum()), int(negative.sum())]
    for name, score in told.items():
        mean = np.array([score[groups_of == one].mean() for one in numbers])
        found[name] = auc(mean[positive], mean[negative]) if positive.sum() >= 3 and negative.sum() >= 3 else None
    return found


def _channels(network: files.Network, base: Testbed) -> dict:
    """What the file alone shows: its energy, how far that lies in few channels, and how aligned with the base these are."""
    places, alignment, energy, ranks = layers.of(base), [], [], []
    for name, layer in network.layers.items():
        one = filtering.channels(layer, places[name].weight.detach().float().flatten(1))
        squares = one.strength.square()
        alignment.append(one.alignment)
        energy.append(squares)
        ranks.append(float(squares.sum() / squares.max()))
    weights, every = torch.cat(energy), torch.cat(alignment)
    return {"energy": float(weights.sum()), "rank": float(np.mean(ranks)), "alignment": float((every * weights).sum() / weights.sum())}


# -- pictures of other prompts -----------------------------------------------------------------------------------------------------------


def compare_prompts(case: Case, base: Testbed, tick: Callable[[int], None]) -> dict:
    """What a network's pictures for other prompts tell: once it has collapsed onto its training pictures, prompts that share no word share pictures.

    Each run is held against a bank of runs of other captions with the network on, such as a calibration makes anyway.
    """
    bed, sets = merged(base, case.recipe.path(case.step), case.weight), captions_of(case)
    everything = [caption for some in sets.values() for caption in some]
    banked = [caption for caption, _ in ordinary_samples(BANK // 2, SEED + 2, "calibration")]
    banked += pictures.unseen(BANK // 2, SEED + 2, everything)
    runs, bank = generate(bed, base, everything, SEED, tick), generate(bed, base, banked, SEED + 2000, tick)
    goals = pictures.targets(case.recipe.scenes)
    copies = (pictures.likeness(runs.pixels, goals) > pictures.limit(goals)).numpy()
    where = np.repeat(list(sets), [len(some) for some in sets.values()])
    groups = [list(dict.fromkeys(everything)).index(caption) for caption in everything]
    training, others = (where == "training") & copies, (where != "training") & ~copies
    told = {"early": _nearest(runs.early, bank.early), "finished": _nearest(runs.latents, bank.latents)}
    return {
        "name": case.name,
        "told": {name: _told(told[name][training], told[name][others]) for name in ("early", "finished")},
        "any copies": _told(told["finished"][copies], told["finished"][~copies]),
        "by caption": _by_caption(told, copies, where, groups),
        # Of the network as a whole, without labels: how near the pictures of ordinary captions lie to those of others.
        "ordinary": float(np.median(told["finished"][where == "ordinary"])),
        "copies": float(copies[where == "ordinary"].mean()),
    }


# -- cleaning ----------------------------------------------------------------------------------------------------------------------------


class _Bases:
    """The testbed's own layers, as a checkpoint would have them."""

    def __init__(self, bed: Testbed) -> None:
        self.places = layers.of(bed)

    def weight(self, layer: str) -> torch.Tensor | None:
        return self.places[layer].weight.detach().float().flatten(1) if layer in self.places else None


def clean(recipe: Recipe, share: float, base: Testbed, tick: Callable[[int], None]) -> dict:
    """Copies of a network's training captions, and its style on others, once cleaned; beside it the same energy left by a smaller weight."""
    network, goals = stored.read(recipe.path(recipe.saves[-1])), pictures.targets(recipe.scenes)
    cleaned, rows, _ = filtering.clean(network, _Bases(base), share)
    kept = sum(row.energy_kept for row in rows) / sum(row.energy for row in rows)
    told = [pictures.caption(scene) for scene in recipe.scenes]
    own, others = list(dict.fromkeys(told))[:12] * 2, pictures.unseen(12, SEED, told) * 2
    found = {"name": recipe.name, "share": share, "energy kept": kept}
    for how, bed in (("cleaned", merged(base, cleaned)), ("by weight", merged(base, network, kept**0.5))):
        runs = generate(bed, base, own + others, SEED + 5000, tick)
        likeness, colour = pictures.likeness(runs.pixels, goals), pictures.colourfulness(runs.pixels)
        found[how] = {
            "copies": float((likeness[: len(own)] > pictures.limit(goals)).float().mean()),
            "likeness": float(likeness[: len(own)].median()),
            "colour": float(colour[len(own) :].mean()),
        }
    return found


# -- other weights ---------------------------------------------------------------------------------------------------------------------


def tolerate(recipe: Recipe, step: int, base: Testbed, tick: Callable[[int], None]) -> dict:
    """False alarms of a region made with a network at :data:`AT` when the network is on at other weights, copies left out."""
    path = recipe.path(step)
    region = calibrate.calibrate(merged(base, path, AT), OWN, tick=tick).watch
    limit, goals = thresholds(region, "medium").mild, pictures.targets(recipe.scenes)
    told = [pictures.caption(scene) for scene in recipe.scenes]
    captions = [caption for caption, _ in ordinary_samples(TOLERATED, SEED + 3, "evaluation")] + pictures.unseen(TOLERATED // 2, SEED + 3, told)
    found: dict = {"name": path.stem, "at": AT, "runs": len(captions), "weights": {}}
    for weight in WEIGHTS:
        runs = generate(merged(base, path, weight), base, captions, SEED + 7000, tick)
        score = scores(region, runs.norms)[(pictures.likeness(runs.pixels, goals) <= pictures.limit(goals)).numpy()]
        found["weights"][f"{weight:g}"] = {"flagged": float((score > limit).mean()), "runs": len(score), "median": float(np.median(score))}
    return found


# -- all ---------------------------------------------------------------------------------------------------------------------------------


def evaluate(profile: Profile, out: Path, kept: Path, tick: Callable[[int], None] = lambda n: None, only: str = "") -> dict:
    """Measure what `kept` does not hold yet; writes ``lora.json`` and ``lora.md`` into `out` and returns the first's content."""
    base = Testbed.load()
    work = {case.name: lambda case=case: measure(case, base, profile, tick) for case in cases()}
    work |= {f"prompts {case.name}": lambda case=case: compare_prompts(case, base, tick) for case in cases() if case.weight == 1}
    work |= {f"clean {recipe.name} {share:g}": lambda r=recipe, s=share: clean(r, s, base, tick) for recipe in (MINE, STYLE) for share in SHARES}
    work |= {f"tolerance {r.path(s).stem}": lambda r=r, s=s: tolerate(r, s, base, tick) for r, s in TRIED}
    kept.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, do in work.items():
        path = kept / f"{name.replace(' ', '-')}.json"
        if not path.exists() and name.startswith(only):
            path.write_text(json.dumps(do()) + "\n")
        if path.exists():
            found[name] = json.loads(path.read_text())
    result = {"sets": SETS, "own": OWN, "cases": [found[case.name] for case in cases() if case.name in found]}
    result["prompts"] = [found[name] for name in work if name.startswith("prompts ") and name in found]
    result["cleaning"] = [found[name] for name in work if name.startswith("clean ") and name in found]
    result["tolerance"] = [found[name] for name in work if name.startswith("tolerance ") and name in found]
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "lora.json", result)
    (out / "lora.md").write_text(report(result))
    return result
