"""The comparison: the guard's watch and probe beside the published detectors, on the same runs of the testbed.

Everything is set up once, for DDIM with 20 steps, guidance 7.5 and no negative prompt: tables, tuned settings, and thresholds for 1 % false alarms
from ordinary captions of the calibration half (the guard has its own profile, of eight samplers and guidance 1 to 15). Then one thing at a time
differs from that. Every detector looks at the same evaluations of the same runs.

The other half, what mitigations do to copies and to what was asked for, is :mod:`.compare_mitigation`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ...guard.sensitivity import thresholds
from ...guard.tail import Tail
from ...profile.profiles import Profile
from ...ranking import auc, tpr_at
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting
from ..network.variants import MAIN, Variant
from ..rivals import asthana, broken_memories, tuning
from ..rivals.detectors import GUARD, Choice, Detector, guards, rivals
from ..rivals.observer import Runs, merged, observe, references
from . import calibrate, compare_mitigation, compare_mitigation_tables, written
from .compare_mitigation import memories
from .compare_tables import details, summary

#: First seed of the comparison's evaluation; `evaluate` stays below it.
SEED = EVALUATION_SEED + 30_000_000
FALSE_ALARMS = 0.01
#: The guard's AUC may lie this much below the best rival's.
TIE = 0.0005
OWN = Setting("DDIM")
SETTINGS = {
    "as calibrated": OWN,
    "PNDM": Setting("PNDM"),
    "Euler a": Setting("Euler a"),
    "DPM++ 2M": Setting("DPM++ 2M"),
    "10 steps": Setting("DDIM", steps=10),
    "50 steps": Setting("DDIM", steps=50),
    "guidance 3": Setting("DDIM", guidance=3.0),
    "guidance 12": Setting("DDIM", guidance=12.0),
    **{f"negative: {kind}": Setting("DDIM", negative=kind) for kind in ("word", "words", "caption", "fixed")},
}
QUICK_SETTINGS = ("as calibrated", "Euler a", "10 steps", "guidance 12", "negative: words")


@dataclass(frozen=True)
class Size:
    """Runs per memorized caption, ordinary captions, runs that thresholds are set from, and whose tables Broken Memories gets."""

    copies: int
    ordinary: int
    thresholds: int
    settings: tuple[str, ...]
    schedulers: tuple[str, ...] = ("DDIM", "PNDM")
    mitigation: compare_mitigation.Size = compare_mitigation.FULL


FULL = Size(2, 80, 250, tuple(SETTINGS))
#: At the two other latent sizes.
OTHER_SIZES = Size(2, 60, 150, QUICK_SETTINGS, ("DDIM",), compare_mitigation.OTHER_SIZES)
QUICK = Size(1, 36, 50, QUICK_SETTINGS, ("DDIM",), compare_mitigation.QUICK)
HALVES = ("detection", "mitigation")


@dataclass
class Calibrated:
    """What was set once: the rivals with their thresholds, and the tuned choice."""

    rivals: list[Detector]
    limits: dict[str, float]
    choice: Choice


def copies(runs: Runs) -> Runs:
    """Of memorized captions' runs those that hand out a memorized picture."""
    return runs.only(runs.copies)


def ordinary_runs(runs: Runs) -> Runs:
    """Of ordinary captions' runs those that do not: flagging another is no false alarm, whatever its caption's label."""
    return runs.only(~runs.copies)


def calibrated(bed: Testbed, profile: Profile, size: Size, tick: Callable[[int], None]) -> Calibrated:
    """Tables of Broken Memories, tuned choices, and every rival's threshold, from the calibration half of the captions."""
    count = broken_memories.REFERENCES
    captions = [caption for caption, _ in bed.variant.world.ordinary_samples(count + size.thresholds, calibrate.SEED, "calibration")]
    every = sorted({asthana.TIMESTEP, *asthana.TIMESTEPS})
    runs = {name: ordinary_runs(observe(bed, profile, captions[:count], Setting(name), calibrate.SEED, (), tick)) for name in size.schedulers}
    ordinary = ordinary_runs(observe(bed, profile, captions[count:], OWN, calibrate.SEED + count, every, tick))
    told = [item.caption for item in memories(bed.variant, True)]
    found = copies(observe(bed, profile, told * 2, OWN, SEED - 1_000, every, tick))
    choice = tuning.tune(found.values, ordinary.values)
    tables = {name: broken_memories.Tables.fit(references(one)) for name, one in runs.items()}
    shown = rivals(tables, choice)
    limits = {one.label: Tail(one.score(ordinary.values)[:, -1]).quantile(FALSE_ALARMS) for one in shown}
    if "PNDM" in runs:  # there are no other PNDM runs to set this table's threshold by
        limits[shown[1].label] = Tail(broken_memories.left_out(references(runs["PNDM"]))).quantile(FALSE_ALARMS)
    return Calibrated(shown, limits, choice)


def row(name: str, setting: Setting, detector: Detector, limit: float, positive: Runs, negative: Runs) -> dict:
    """One line of the table: one detector under one setting."""
    scores = [detector.score(runs.values) for runs in (positive, negative)]
    cost = merged(positive, negative)

    def area(after: int) -> float | None:
        parts = [one[:, after] for one in scores]
        return None if any(not len(part) or np.isnan(part).any() for part in parts) else auc(*parts)

    last = [one[:, -1] for one in scores]
    judged = area(-1) is not None
    return {
        "differs": name,
        **asdict(setting),
        "detector": detector.name,
        "variant": detector.variant,
        "runs": len(last[0]),
        "ordinary_runs": len(last[1]),
        "auc": area(-1),
        "auc_after_1": area(0),
        "auc_after_3": area(2),
        "tpr_at_1pct_fpr": tpr_at(*last) if judged else None,
        "threshold": limit,
        "false_alarms": float((last[1] > limit).mean()) if judged else None,
        "caught": float((last[0] > limit).mean()) if judged else None,
        "extra_evaluations": sum(cost.rows.get(part, 0) for part in detector.parts),
        "seconds_ratio": 1 + sum(cost.seconds.get(part, 0.0) for part in detector.parts) / cost.plain,
    }


def bars(rows: list[dict]) -> list[dict]:
    """For each setting the guard's AUC, the best rival's, and whether the bar is met."""
    found = []
    for name in dict.fromkeys(line["differs"] for line in rows):
        here = [line for line in rows if line["differs"] == name and line["auc"] is not None]
        own = next((line["auc"] for line in here if line["detector"] == GUARD), None)
        if own is None:  # nobody can be ranked: no run was a copy, or all were
            continue
        rival = max((line for line in here if not line["detector"].startswith(GUARD)), key=lambda line: line["auc"])
        met = own >= rival["auc"] - TIE
        found.append({"differs": name, "guard": own, "best_rival": rival["auc"], "rival": rival["detector"], "below": rival["auc"] - own, "met": met})
    return found


def labels(name: str, told: Runs, others: Runs) -> dict:
    """How often each set of captions hands out a memorized picture under one setting: what the runs are labelled by."""
    return {
        "differs": name,
        "memorized": len(told.copies),
        "memorized_that_copy": int(told.copies.sum()),
        "ordinary": len(others.copies),
        "ordinary_that_copy": int(others.copies.sum()),
    }


def total_runs(size: Size, variant: Variant = MAIN) -> int:
    """Runs that the comparison samples, for its progress bar."""
    tuned, shown = (len(memories(variant, part)) for part in (True, False))
    before = len(size.schedulers) * broken_memories.REFERENCES + size.thresholds + 2 * tuned
    return before + len(size.settings) * (shown * size.copies + size.ordinary)


def compare(size: Size, out: Path, profile: Profile, bed: Testbed | None = None, only: str | None = None) -> dict:
    """Run everything, write ``compare.json``, ``compare.md`` and ``mitigation.png`` into `out`, and return the content of the JSON.

    With `only`, one of :data:`HALVES`, what an earlier run left of the other half stays.
    """
    bed = bed or Testbed.load()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "compare.json"
    result = json.loads(file.read_text()) if only and file.exists() else {}
    halves = [only] if only else HALVES
    runs = {"detection": total_runs(size, bed.variant), "mitigation": compare_mitigation.total_runs(size.mitigation, bed.variant)}

    def save(part: dict) -> None:
        result.update(part)
        written.write(file, result)

    with tqdm(total=sum(runs[half] for half in halves), unit="run", mininterval=2) as bar:
        if "detection" in halves:
            detect(bed, profile, size, bar, save)
        if "mitigation" in halves:
            compare_mitigation.compare(
                bed, profile, size.mitigation, bar.update, lambda part: save({"mitigation": part}), lambda text: bar.set_description(text)
            )
    write(result, out)
    return result


def detect(bed: Testbed, profile: Profile, size: Size, bar: tqdm, save: Callable[[dict], None]) -> None:
    """The detection half; `save` gets what there is after each setting."""
    ordinary = [caption for caption, _ in bed.variant.world.ordinary_samples(size.ordinary, EVALUATION_SEED, "evaluation")]
    own_limits = {name: thresholds(region, "medium").mild for name, region in (("watch", profile.watch), ("probe", profile.probe))}
    bar.set_description("tables, tuning, thresholds")
    known = calibrated(bed, profile, size, bar.update)
    captions = [item.caption for item in memories(bed.variant, False)] * size.copies
    result = {"profile": profile.name, "tuned": asdict(known.choice), "published": asdict(Choice()), "labels": [], "rows": []}
    timesteps = sorted({asthana.TIMESTEP, known.choice.timestep})
    for name in size.settings:
        setting = SETTINGS[name]
        bar.set_description(name)
        told = observe(bed, profile, captions, setting, SEED, timesteps, bar.update)
        others = observe(bed, profile, ordinary, setting, SEED + 50_000, timesteps, bar.update)
        positive, negative = copies(told), ordinary_runs(others)
        result["labels"].append(labels(name, told, others))
        result["rows"] += [row(name, setting, one, 1.0, positive, negative) for one in guards(own_limits, setting, profile.probe.score)]
        result["rows"] += [row(name, setting, one, known.limits[one.label], positive, negative) for one in known.rivals]
        result["bar"] = bars(result["rows"])
        save(result)


def write(result: dict, out: Path) -> None:
    """The tables and the figure of what there is in `result`."""
    parts = [summary(result), details(result["rows"])] if result.get("rows") else []
    if "mitigation" in result:
        parts.insert(1, compare_mitigation_tables.tables(result["mitigation"]))
        compare_mitigation_tables.scatter(out / "mitigation.png", result["mitigation"])
    (out / "compare.md").write_text("\n\n".join(parts) + "\n")
