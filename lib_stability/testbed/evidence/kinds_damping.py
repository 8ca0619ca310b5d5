"""Damping per kind of memorization: copies that are left, what was asked for, rows, and whether the words named as carriers are the right ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...guard.damping import POLICIES, Damping
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import Setting
from ..world import judge, kinds
from ..world.attributes import AttributeReader
from ..world.captions import Memorized
from . import tables
from .damping import Pictures, generate

SEED = 7_000_000
SETTINGS = (Setting(), Setting(negative="words"))


def words_that_carry(item: Memorized) -> set[str]:
    """The words of a caption without any of which its picture does not come; empty where the world does not say."""
    if item.kind == "trigger":
        return {item.name}
    if item.kind == "template":
        return {item.name, "poster"}
    return set(item.caption.split()) if item.kind in ("conjunction", "pictures") else set()


def carriers(items: Sequence[Memorized], named: Sequence[str]) -> dict[str, float]:
    """Of the parts that were named, the share that holds such a word; and of such words the share that was named."""
    right, wrong, missed = 0, 0, 0
    for item, text in zip(items, named):
        truth = words_that_carry(item)
        if truth and text:
            parts = [set(part.split()) for part in text.split(" + ")]
            right, wrong = right + sum(bool(part & truth) for part in parts), wrong + sum(not part & truth for part in parts)
            missed += len(truth - set.union(*parts))
    return {"carriers_precision": right / (right + wrong), "carriers_recall": right / (right + missed)} if right else {}


def _right(reader: AttributeReader, pictures: Pictures, items: Sequence[Memorized]) -> float:
    found = judge.attributes_right(reader, pictures.pixels, items)
    return float(np.mean(list(found.values()))) if found else float("nan")


def row(reader: AttributeReader, items: Sequence[Memorized], setting: Setting, policy: str, before: Pictures, after: Pictures) -> dict:
    """One kind, setting and policy."""
    flagged = [verdict.flagged for verdict in after.verdicts]
    found = {"kind": items[0].kind, "policy": policy, **asdict(setting), "runs": len(items), "flagged": float(np.mean(flagged))}
    found["copies_before"] = float(judge.own_copies(before.pixels, items).float().mean())
    found["copies_after"] = float(judge.own_copies(after.pixels, items).float().mean())
    found["copies_of_any_after"] = float(judge.any_copies(after.pixels, kinds.memorized()).float().mean())
    found |= {"attributes_before": _right(reader, before, items), "attributes_after": _right(reader, after, items)}
    return found | {"rows_ratio": after.rows / before.rows, **carriers(items, [verdict.carriers for verdict in after.verdicts])}


def damp(
    bed: Testbed,
    profile: Profile,
    out: Path,
    draws: int = 3,
    policies: Sequence[str] = POLICIES,
    settings: Sequence[Setting] = SETTINGS,
    tick: Callable[[int], None] = lambda n: None,
) -> dict:
    """Every kind under every policy, each memory drawn `draws` times; written to ``damping.json`` and ``damping.md`` in `out`."""
    reader, rows = AttributeReader.load(), []
    for setting in settings:
        for kind in kinds.KINDS:
            rng = np.random.default_rng(3)
            items = [kinds.draw(item, rng) for item in kinds.memorized(kind) for _ in range(draws)]
            captions = [item.caption for item in items]
            before = generate(bed, captions, setting, SEED, tick=tick)
            for policy in policies:
                options = Options(mode="damp", damping=Damping(policy))
                after = generate(bed, captions, setting, SEED, profile, options, tick)
                rows.append(row(reader, items, setting, policy, before, after))
    result = {"profile": profile.name, "draws": draws, "rows": rows}
    out.mkdir(parents=True, exist_ok=True)
    (out / "damping.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "damping.md").write_text(report(result) + "\n")
    return result


def report(result: dict) -> str:
    """The rows as Markdown."""
    head = [
        "sampler, steps",
        "negative",
        "kind",
        "policy",
        "runs",
        "flagged",
        "copies before",
        "after",
        "attributes before",
        "after",
        "rows",
        "carriers",
    ]
    lines = []
    for one in result["rows"]:
        known = "carriers_precision" in one
        said = f"{one['carriers_precision']:.2f}, {one['carriers_recall']:.2f}" if known else "–"
        cells = [f"{one['sampler']} {one['steps']}, w {one['guidance']:g}", one["negative"], one["kind"], one["policy"], str(one["runs"])]
        shares = ("flagged", "copies_before", "copies_after", "attributes_before", "attributes_after")
        lines.append([*cells, *(f"{one[name]:.2f}" for name in shares), f"× {one['rows_ratio']:.2f}", said])
    return tables.markdown(head, lines) + "\n\nCarriers: precision and recall of the named words, where the world says which carry."
