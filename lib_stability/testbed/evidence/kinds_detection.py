"""Detection per kind of memorization, on tapes of the kinds' variant: what a profile makes of them, and what other scores would.

Labels come from the pictures: a run is a copy where its picture is one of anything memorized, whatever its caption.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from ...guard.norms import Norms
from ...guard.probe import LEAST_GUIDANCE, looks
from ...guard.region import StabilityRegion
from ...guard.sensitivity import TARGETS, thresholds
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting
from ..world import kinds
from . import tables
from .detection import EARLY_SHARE, ORDINARY, by_kind
from .tapes import Tape, name_of, tape

SETTINGS = (
    Setting(),
    Setting(guidance=3.0),
    Setting("DPM++ 2M", "karras", 20, 6.0),
    Setting("Euler a"),
    Setting(negative="words"),
    Setting(guidance=15.0),
    Setting("DPM2 a", steps=12, guidance=5.0),
    Setting("DPM++ 2S a", "karras", 12, 7.5),
    Setting(guidance=1.0, negative="words"),
    Setting("DDIM"),
    Setting("Heun", steps=15),
    Setting("Euler", steps=10),
    Setting("DPM++ SDE", "karras", 12, 6.0),
    Setting("Euler", "karras", 50, 7.5),
    Setting(guidance=2.0),
)


def deviations(region: StabilityRegion, taken: Tape, names: tuple[str, str], guidance: float | None = None) -> np.ndarray:
    """z of rate and clean norm at every evaluation, float32 ``(runs, evaluations, 2)``, NaN outside the region."""
    sigma = torch.from_numpy(taken.columns["sigma"])
    scales = torch.from_numpy(taken.columns["guidance"]) if guidance is None else torch.full_like(sigma, guidance)
    found = region.z_scores(Norms(*(torch.from_numpy(taken.columns[name]).flatten() for name in names)), sigma.flatten(), scales.flatten())
    return torch.where(found.inside[:, None], found.both, torch.nan).view(*sigma.shape, 2).numpy()


def judged(profile: Profile, setting: Setting, taken: Tape) -> tuple[np.ndarray, StabilityRegion, str]:
    """Scores of the detector that judges this setting, ``(runs, evaluations)`` with NaN where it does not look, its region and its name."""
    if setting.negative == "none" and setting.guidance >= LEAST_GUIDANCE:
        region, name = profile.watch, "watch"
        z, looked = deviations(region, taken, ("rate", "clean")), slice(None)
    else:
        region, name = profile.probe, "probe"
        z = deviations(region, taken, ("virtual_rate", "virtual_clean"), profile.probe_guidance)
        looked = list(looks(z.shape[1], rule=region.score))
    scores = np.full(z.shape[:2], np.nan)
    scores[:, looked] = region.scores_of(z[..., 0], z[..., 1], taken.columns["sigma"])[:, looked]
    return scores, region, name


def row(setting: Setting, taken: Tape, scores: np.ndarray, region: StabilityRegion, detector: str) -> dict:
    """One setting: false alarms among the ordinary captions' runs that are none, and per kind what is caught of the copies."""
    score = np.nanmax(scores, 1)
    early = np.nanmax(scores[:, : max(1, round(EARLY_SHARE * scores.shape[1]))], 1)
    ordinary = (taken.kinds == ORDINARY) & ~taken.copies
    over = {level: score > thresholds(region, level).mild for level in TARGETS}
    found = {"detector": detector, **asdict(setting), "evaluations": scores.shape[1], "ordinary_runs": int(ordinary.sum())}
    found["ordinary_that_copy"] = int((taken.copies & (taken.kinds == ORDINARY)).sum())
    found["false_alarms"] = {level: float(one[ordinary].mean()) for level, one in over.items()}
    return found | {"kinds": list(by_kind(taken.kinds, taken.copies, score, early > thresholds(region, "medium").mild, over))}


def detect(
    bed: Testbed, profile: Profile, out: Path, folder: Path, copies: int = 2, ordinary: int = 160, tick: Callable[[int], None] = lambda n: None
) -> dict:
    """All settings, their tapes kept in `folder` and taken from there; written to ``kinds.json`` and ``kinds.md`` in `out`."""
    rows = []
    for number, setting in enumerate(SETTINGS):
        path = folder / f"{name_of(setting)}.npz"
        if not path.exists():
            tape(bed, setting, copies, ordinary, EVALUATION_SEED + 100_000 * number, tick).save(path, asdict(setting))
        taken = Tape.load(path)
        rows.append(row(setting, taken, *judged(profile, setting, taken)))
    result = {"profile": {"name": profile.name, "provenance": profile.provenance}, "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "kinds.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "kinds.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The rows as Markdown: caught copies at Medium by kind, where a kind has copies."""
    head = ["sampler, steps", "w", "negative", "by", "false alarms", *kinds.KINDS, "ordinary that copy", "worst AUC", "worst TPR at 1 %", "early"]
    lines = []
    for one in result["rows"]:
        schedule = "" if one["schedule"] == "uniform" else f" {one['schedule']}"
        known = [kind for kind in one["kinds"] if "auc" in kind]
        memorized = [kind for kind in known if kind["kind"] != ORDINARY]
        cells = [f"{one['sampler']}{schedule} {one['steps']}", f"{one['guidance']:g}", one["negative"], one["detector"]]
        cells.append(f"{tables.rate(one['false_alarms']['medium'])} of {one['ordinary_runs']}")
        shares = {kind["kind"]: f"{kind['caught']['medium']:.2f}" for kind in known}
        cells += [shares.get(kind, "–") for kind in (*kinds.KINDS, ORDINARY)]
        worst = [f"{min(kind[name] for kind in memorized):.{digits}f}" if memorized else "–" for name, digits in (("auc", 4), ("tpr_at_1pct_fpr", 2))]
        lines.append([*cells, *worst, f"{np.mean([kind['caught_early'] for kind in memorized]):.2f}" if memorized else "–"])
    copies = [[kind["kind"], f"{kind['copies']:.2f}"] for kind in result["rows"][0]["kinds"]]
    return f"{tables.markdown(head, lines)}\n\n{tables.markdown(['kind', 'copies (first row)'], copies)}"
