"""The evaluation: detection and damping of each kind of memorization over samplers, schedules, steps, guidance and negative prompts, with one
calibration for all rows.

Bars, of every kind and row (guidance 2 to 15, 10 to 50 steps; negative prompts with the probe): copies told from ordinary runs with AUC >= 0.999 and
TPR at 1 % FPR >= 0.99, false alarms at Medium <= 1.5 %; damping with copies at most 1 point above chance, attributes at most 3 points below ordinary
runs, denoising error at most 1.1 times theirs, no unflagged image changed. Those of flow models, over guidance 2 to 7 (of a student the scales 2 to
6, at CFG 1), are the same; their settings are in :mod:`.evaluate_flow`.
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
from ..network.setting import EVALUATION_SEED, Setting, usual
from ..world.attributes import AttributeReader
from . import tables, written
from .evaluation_rows import Computer, Kept, Part, Size, in_processes, parts

WATCH = [
    *(Setting(guidance=w) for w in (1.0, 2.0, 3.0, 7.5, 15.0)),
    Setting("Euler", "karras", 50, 7.5),
    Setting("Euler", steps=10),
    Setting("Euler a"),
    Setting("Heun", steps=15),
    Setting("DPM2 a", steps=12, guidance=5.0),
    Setting("LMS"),
    Setting("DPM++ 2S a", "karras", 12, 7.5),
    Setting("DPM++ 2M", "karras", 20, 6.0),
    Setting("DPM++ SDE", "karras", 12, 6.0),
    Setting("DPM++ 2M SDE", "exponential", 25, 7.0),
    Setting("DPM++ 3M SDE", "exponential", 30, 7.0),
    Setting("DDIM"),
    Setting("PNDM"),
]
PROBE = [
    *(Setting(guidance=w, negative="words", probe=True) for w in (1.0, 7.5, 15.0)),
    Setting(negative="caption", probe=True),
    Setting("DPM++ 2M", "karras", 20, 6.0, "words", True),
    Setting("Euler a", negative="caption", probe=True),
    Setting("DPM++ SDE", "karras", 12, 6.0, "fixed", True),
    *(Setting(guidance=w, probe=True) for w in (1.0, 7.5)),
]
DAMPING = [
    Setting(),
    Setting(negative="words", probe=True),
    Setting("DPM++ 2M", "uniform", 20, 6.0),
    Setting("Euler a"),
    Setting("Heun", "uniform", 15, 5.0),
]
PARTS = ("detection", "damping")
POLICIES = [Damping(), Damping("directional"), Damping("radial")]

QUICK_WATCH = [Setting(), Setting("DPM++ 2M", "karras", 20, 6.0)]
QUICK_PROBE = [Setting(guidance=1.0, negative="words", probe=True), Setting(guidance=7.5, negative="caption", probe=True)]
QUICK_DAMPING = [Setting()]

# Of 450 ordinary runs at least 400 are no copies in every row.
FULL = Size(2, 450, 3, WATCH, PROBE, DAMPING)
QUICK = Size(1, 48, 1, QUICK_WATCH, QUICK_PROBE, QUICK_DAMPING, 1)


def total_runs(size: Size, part: Part, memories: int) -> int:
    """Runs that a part of an evaluation samples at most, for the progress bar; `memories` are those of its kinds."""
    return memories * size.copies + size.ordinary if part.name == "detection" else 4 * size.damped * memories


def evaluate(
    size: Size,
    out: Path,
    profile: Profile,
    bed: Testbed | None = None,
    only: str | None = None,
    jobs: int = 1,
    kept: Kept | None = None,
    tapes: Path | None = None,
) -> dict:
    """Run everything, write ``evaluate.json``, ``tables.md`` and the figures into `out`, and return the content of the JSON.

    `only` one of :data:`PARTS` is run anew; the other is kept as `out` has it. With several `jobs` as many processes share the rows,
    each with the installed weights of the bed's variant. What is in `kept` is not computed again.
    """
    bed = bed or Testbed.load()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "evaluate.json"
    before = json.loads(file.read_text()) if only and file.exists() else {}
    result = {"detection": [], "damping": [], **before, "profile": describe(profile)}
    names = [name for name in PARTS if only in (None, name)]
    todo = [part for name in names for part in parts(size, name, bed.variant.kinds, POLICIES[: size.policies])]
    store = kept or Kept()
    found = {part: rows for part in todo if (rows := store.read(part, size)) is not None}
    missing = [part for part in todo if part not in found]
    counts = {part: total_runs(size, part, len(bed.variant.memorized(part.kind or None))) for part in missing}
    for name in names:
        result[name] = []
    with tqdm(total=sum(counts.values()), unit="run", mininterval=2) as bar:
        if jobs == 1:
            computer = Computer(bed, AttributeReader.load(), profile, size, tapes, bar.update)
            made = (store.write(part, size, computer.rows(part)) for part in missing)
        else:
            made = in_processes(missing, jobs, profile, size, bed.variant, tapes, lambda part, rows: store.write(part, size, rows))
        for part in todo:
            bar.set_description(str(part))
            result[part.name] += found[part] if part in found else next(made)
            written.write(file, result)
            if jobs > 1 and part in counts:
                bar.update(counts[part])
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

    setting = usual(bed.variant)

    def record(captions: list[str]) -> list:
        recorder = Recorder(bed.variant.parameterisation)
        sample(bed, captions, range(EVALUATION_SEED, EVALUATION_SEED + len(captions)), **setting.sampling(), watch=lambda _: recorder)
        return recorder.trajectories()[0]

    ordinary = record([caption for caption, _ in bed.variant.world.ordinary_samples(24, EVALUATION_SEED + 7, "evaluation")])
    flagged = record([item.caption for kind in bed.variant.kinds for item in bed.variant.memorized(kind)[:2] if kind != "duplicated"])
    threshold = thresholds(profile.watch, "medium").mild
    title = f"Ordinary and memorized captions, {setting.sampler} {setting.steps}, {'g' if bed.variant.distilled else 'w'} = {setting.guidance}"
    figures.region(out / "trajectories.png", profile.watch, setting.guidance, threshold, ordinary, flagged, title)
    if result["damping"]:
        figures.scatter(out / "damping.png", result["damping"], "What damping leaves of copies and attributes")
