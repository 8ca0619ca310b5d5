"""The evaluation: detection and damping tables over samplers, schedules, steps, guidance and negative prompts, with one calibration for all rows.

Bars (20 evaluations or more, guidance 3 to 12; with the probe 1 to 15): detection of whole-picture copies with AUC >= 0.999, TPR at 1 % FPR >= 0.99,
AUC after 3 evaluations >= 0.998, false alarms at Medium <= 2 %; damping with copies at most 1 point above chance, attributes at most 3 points
below ordinary runs, denoising error at most 1.15 times theirs, no unflagged image changed.
"""

from __future__ import annotations

import json
from pathlib import Path

from tqdm.auto import tqdm

from ...guard.damping import Damping
from ...guard.sensitivity import TARGETS, thresholds
from ...pictures import figures
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.sample import sample
from ..network.setting import EVALUATION_SEED, NEGATIVES, Setting
from ..world.attributes import AttributeReader
from ..world.captions import memorized, ordinary_samples
from . import damping, tables
from .evaluation_rows import Computer, Size, in_processes, rows

WATCH = [
    *(Setting(guidance=w) for w in (1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 12.0, 15.0)),
    Setting("Euler", "karras", 50, 7.5),
    Setting("Euler", "exponential", 30, 4.0),
    Setting("Euler", steps=10),
    Setting("Euler a", steps=20),
    Setting("Euler a", "karras", 40, 5.0),
    Setting("Heun", steps=15),
    Setting("DPM2 a", steps=12, guidance=5.0),
    Setting("LMS", steps=20),
    Setting("DPM++ 2S a", "karras", 12, 7.5),
    Setting("DPM++ 2M", "karras", 20, 6.0),
    Setting("DPM++ 2M", "uniform", 10, 6.0),
    Setting("DPM++ SDE", "karras", 12, 6.0),
    Setting("DPM++ 2M SDE", "exponential", 25, 7.0),
    Setting("DPM++ 3M SDE", "exponential", 30, 7.0),
    Setting("DDIM", steps=20),
    Setting("DDIM", steps=50, guidance=9.0),
    Setting("PNDM", steps=20),
    Setting(negative="words"),
]
PROBE = [
    *(Setting(guidance=w, negative=n, probe=True) for n in NEGATIVES for w in (1.0, 2.0, 7.5, 15.0)),
    Setting("DPM++ 2M", "karras", 20, 6.0, "words", True),
    Setting("Euler a", "uniform", 20, 7.5, "caption", True),
    Setting("DPM++ SDE", "karras", 12, 6.0, "fixed", True),
    Setting("DDIM", "uniform", 20, 7.5, "words", True),
]
TEMPLATES = [Setting(guidance=w) for w in (3.0, 7.5, 12.0)] + [Setting(guidance=7.5, negative="words", probe=True)]
DAMPING = [
    Setting(),
    Setting("DPM++ 2M", "uniform", 20, 6.0),
    Setting("Euler a"),
    Setting("Heun", "uniform", 15, 5.0),
    Setting("DPM2 a", "uniform", 12, 5.0),
    Setting(negative="words", probe=True),
]
PARTS = ("detection", "damping")
POLICIES = [Damping(), Damping("directional"), Damping("radial")]

QUICK_WATCH = [Setting(guidance=1.0), Setting(), Setting("DPM++ 2M", "karras", 20, 6.0)]
QUICK_PROBE = [Setting(guidance=1.0, negative="words", probe=True), Setting(guidance=7.5, negative="caption", probe=True)]
QUICK_TEMPLATES = [Setting(guidance=7.5, negative="words", probe=True)]
QUICK_DAMPING = [Setting()]


FULL = Size(2, 200, 4, WATCH, PROBE, TEMPLATES, DAMPING)
QUICK = Size(1, 48, 1, QUICK_WATCH, QUICK_PROBE, QUICK_TEMPLATES, QUICK_DAMPING, 1)


def total_runs(size: Size, part: str) -> int:
    """Runs that a part of an evaluation samples, for its progress bar."""
    whole, template = (sum(item.kind == kind for item in memorized()) for kind in ("whole", "template"))
    shared = len({*size.templates} & {*size.watch, *size.probe})
    detected = (len(size.watch) + len(size.probe)) * (whole * size.copies + size.ordinary)
    detected += len(size.templates) * 3 * template * size.copies + (len(size.templates) - shared) * size.ordinary
    damped = 2 * (1 + len(POLICIES[: size.policies])) * size.damped * (whole * len(size.damping) + template)
    return size.ordinary + detected if part == "detection" else damped


def evaluate(size: Size, out: Path, profile: Profile, bed: Testbed | None = None, only: str | None = None, jobs: int = 1) -> dict:
    """Run everything, write ``evaluate.json``, ``tables.md`` and the figures into `out`, and return the content of the JSON.

    `only` one of :data:`PARTS` is run anew; the other is kept as `out` has it. With several `jobs` as many processes share the rows,
    each with the bundled testbed.
    """
    bed = bed or Testbed.load()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "evaluate.json"
    kept = json.loads(file.read_text()) if only and file.exists() else {}
    result = {"detection": [], "damping": [], **kept, "profile": describe(profile)}
    parts = [part for part in PARTS if only in (None, part)]
    todo = [row for part in parts for row in rows(size, part, POLICIES[: size.policies])]
    total = sum(total_runs(size, part) for part in parts) if jobs == 1 else len(todo)
    with tqdm(total=total, unit="run" if jobs == 1 else "row", mininterval=2) as bar:
        tick = bar.update if jobs == 1 else lambda n: None
        ordinary: list[str] = []
        if "detection" in parts:
            bar.set_description("ordinary captions that are not")
            candidates = [caption for caption, _ in ordinary_samples(size.ordinary, EVALUATION_SEED, "evaluation")]
            ordinary, result["ordinary_that_copy"] = damping.truly_ordinary(bed, candidates, EVALUATION_SEED - 50_000, tick)
        for part in parts:
            result[part] = []
        if jobs == 1:
            computer = Computer(bed, AttributeReader.load(), profile, size, ordinary, tick)
            made = map(computer.row, todo)
        else:
            made = in_processes(todo, jobs, profile, size, ordinary)
        for row in todo:
            bar.set_description(str(row))
            result[row.part].append(next(made))
            file.write_text(json.dumps(result, indent=1) + "\n")
            if jobs > 1:
                bar.update()
    (out / "tables.md").write_text(f"{tables.detection(result['detection'])}\n\n{tables.damping(result['damping'])}\n")
    draw(bed, profile, result, out)
    return result


def describe(profile: Profile) -> dict:
    """Which profile was used, and the thresholds of each level with their expected false-alarm rates."""
    levels = {
        level: {
            name: {"threshold": round(limit.mild, 3), "expected_false_alarms": limit.false_alarms}
            for name, region in (("watch", profile.watch), ("probe", profile.probe))
            for limit in [thresholds(region, level)]
        }
        for level in (*TARGETS, "paper")
    }
    return {"name": profile.name, "kind": profile.kind, "provenance": profile.provenance, "levels": levels}


def draw(bed: Testbed, profile: Profile, result: dict, out: Path) -> None:
    """Figures: trajectories against the region, and the damping scatter."""
    from ...profile.calibration import Recorder

    def record(captions: list[str]) -> list:
        recorder = Recorder()
        sample(bed, captions, range(EVALUATION_SEED, EVALUATION_SEED + len(captions)), guidance=7.5, watch=lambda _: recorder)
        return recorder.trajectories()[0]

    ordinary = record([caption for caption, _ in ordinary_samples(24, EVALUATION_SEED + 7, "evaluation")])
    flagged = record([item.caption for item in memorized() if item.kind == "whole"][:12])
    threshold = thresholds(profile.watch, "medium").mild
    figures.region(out / "trajectories.png", profile.watch, 7.5, threshold, ordinary, flagged, "Ordinary and memorized captions, Euler 20, w = 7.5")
    if result["damping"]:
        figures.scatter(out / "damping.png", result["damping"], "What damping leaves of copies and attributes")
