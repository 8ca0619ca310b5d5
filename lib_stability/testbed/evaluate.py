"""The evaluation: detection and damping tables over samplers, schedules, steps, guidance and negative prompts, with one calibration for all rows.

Bars (20 evaluations or more, guidance 3 to 12; with the probe 1 to 15): detection of whole-picture copies with AUC >= 0.999, TPR at 1 % FPR >= 0.99,
AUC after 3 evaluations >= 0.998, false alarms at Medium <= 2 %; damping with copies at most 1 point above chance, attributes at most 3 points
below ordinary runs, denoising error at most 1.15 times theirs, no unflagged image changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from .. import figures
from ..damping import Damping
from ..guard import Options
from ..profiles import Profile
from ..sensitivity import TARGETS, thresholds
from . import detection, mitigation, tables
from .attributes import AttributeReader
from .captions import memorized, ordinary_samples
from .detection import EVALUATION_SEED, Setting
from .model import Testbed
from .sample import sample

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
    *(Setting(guidance=w, negative=n, probe=True) for n in detection.NEGATIVES for w in (1.0, 2.0, 7.5, 15.0)),
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


@dataclass(frozen=True)
class Size:
    """How much is run: memorized captions `copies` times each, `ordinary` captions, damping captions `damped` times each, the first `policies`."""

    copies: int
    ordinary: int
    damped: int
    watch: list[Setting]
    probe: list[Setting]
    templates: list[Setting]
    damping: list[Setting]
    policies: int | None = None


FULL = Size(2, 200, 4, WATCH, PROBE, TEMPLATES, DAMPING)
QUICK = Size(1, 48, 1, QUICK_WATCH, QUICK_PROBE, QUICK_TEMPLATES, QUICK_DAMPING, 1)


def _detection(bed: Testbed, profile: Profile, size: Size, result: dict, bar: tqdm) -> Iterator[dict]:
    candidates = [caption for caption, _ in ordinary_samples(size.ordinary, EVALUATION_SEED, "evaluation")]
    bar.set_description("ordinary captions that are not")
    ordinary, result["ordinary_that_copy"] = mitigation.truly_ordinary(bed, candidates, EVALUATION_SEED - 50_000, bar.update)
    kept: dict[Setting, detection.Runs] = {}
    rows = [("whole", s) for s in (*size.watch, *size.probe)] + [("template", s) for s in size.templates]
    for number, (kind, setting) in enumerate(rows):
        seed = EVALUATION_SEED + 100_000 * number
        bar.set_description(f"detection {kind} {setting.sampler} {setting.steps}, w={setting.guidance:g}, negative {setting.negative}")
        captions, _ = detection.memorized_captions(kind, size.copies * (1 if kind == "whole" else 3), seed)
        positive = detection.run(bed, profile, captions, setting, seed, bar.update)
        if setting not in kept:
            kept[setting] = detection.run(bed, profile, ordinary, setting, seed + 50_000, bar.update)
        yield detection.row(setting, kind, profile, positive, kept[setting])


def _damping(bed: Testbed, reader: AttributeReader, profile: Profile, size: Size, bar: tqdm) -> Iterator[dict]:
    for number, (kind, setting) in enumerate([("whole", s) for s in size.damping] + [("template", size.damping[0])]):
        seed = EVALUATION_SEED + 10_000_000 + 100_000 * number
        _, items = detection.memorized_captions(kind, size.damped, seed)
        captions, twins = [item.caption for item in items], mitigation.ordinary_twins(items)
        # The same for both: a negative prompt that names what the caption asks for costs attributes, guarded or not.
        against = {"negatives": detection.negatives_for(setting.negative, len(captions), seed)}
        bar.set_description(f"damping {kind} {setting.sampler} {setting.steps}, w={setting.guidance:g}, negative {setting.negative}")
        before = mitigation.generate(bed, captions, setting, seed, tick=bar.update, **against)
        ordinary = mitigation.generate(bed, twins, setting, seed + 50_000, tick=bar.update, **against)
        for policy in POLICIES[: size.policies]:
            options = Options("damp", damping=policy)
            after = mitigation.generate(bed, captions, setting, seed, profile, options, bar.update, **against)
            guarded = mitigation.generate(bed, twins, setting, seed + 50_000, profile, options, bar.update, **against)
            yield mitigation.row(bed, reader, items, setting, policy, before, after, ordinary, guarded)


def total_runs(size: Size, part: str) -> int:
    """Runs that a part of an evaluation samples, for its progress bar."""
    whole, template = (sum(item.kind == kind for item in memorized()) for kind in ("whole", "template"))
    shared = len({*size.templates} & {*size.watch, *size.probe})
    detected = (len(size.watch) + len(size.probe)) * (whole * size.copies + size.ordinary)
    detected += len(size.templates) * 3 * template * size.copies + (len(size.templates) - shared) * size.ordinary
    damped = 2 * (1 + len(POLICIES[: size.policies])) * size.damped * (whole * len(size.damping) + template)
    return size.ordinary + detected if part == "detection" else damped


def evaluate(size: Size, out: Path, profile: Profile, bed: Testbed | None = None, only: str | None = None) -> dict:
    """Run everything, write ``evaluate.json``, ``tables.md`` and the figures into `out`, and return the content of the JSON.

    `only` one of :data:`PARTS` is run anew; the other is kept as `out` has it.
    """
    bed, reader = bed or Testbed.load(), AttributeReader.load()
    out.mkdir(parents=True, exist_ok=True)
    file = out / "evaluate.json"
    kept = json.loads(file.read_text()) if only and file.exists() else {}
    result = {"detection": [], "damping": [], **kept, "profile": describe(profile)}
    parts = [part for part in PARTS if only in (None, part)]
    with tqdm(total=sum(total_runs(size, part) for part in parts), unit="run", mininterval=2) as bar:
        makers = {"detection": lambda: _detection(bed, profile, size, result, bar), "damping": lambda: _damping(bed, reader, profile, size, bar)}
        for part in parts:
            result[part] = []
            for row in makers[part]():
                result[part].append(row)
                file.write_text(json.dumps(result, indent=1) + "\n")
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
    from ..calibration import Recorder

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
