"""The shipped weights of the flow models: they are what their card says, and each kind copies."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from lib_stability.testbed.evidence.damping import generate
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting, memorized_captions
from lib_stability.testbed.network.variants import DISTILLED, FLOW, FOLDER
from lib_stability.testbed.world import judge

BOTH = pytest.mark.parametrize("variant", [FLOW, DISTILLED], ids=lambda one: one.name)


@BOTH
def test_they_hold_the_unet_alone_and_the_card_says_how_they_were_trained(variant):
    with safe_open(variant.weights, "pt") as file:
        card, names = json.loads(file.metadata()["testbed"]), set(file.keys())
    told = (FOLDER / "README.md").read_text("utf-8")
    assert card["variant"] == variant.name and all(name.startswith("unet.") for name in names)
    assert f"{card['steps']:,} × 32" in told and f"{card['loss']:.2f}".lstrip("0") in told
    assert variant.weights.stat().st_size < 2_200_000
    bed = Testbed.load(variant.weights)
    assert f"{sum(one.numel() for one in bed.unet.parameters()) / 1e6:.2f} M" in told
    assert all(len(variant.memorized(kind)) == 4 for kind in variant.kinds)


@BOTH
def test_nearly_all_runs_of_what_is_memorized_are_copies(variant):
    bed = Testbed.load(variant.weights)
    drawn = [memorized_captions(kind, 1, 41 + number, variant) for number, kind in enumerate(variant.kinds)]
    captions, items = ([one for part in parts for one in part] for parts in zip(*drawn))
    copied = judge.own_copies(generate(bed, captions, Setting("Euler", "simple", 8, 3.5), 41).pixels, items)
    shares = torch.tensor([float(copied[[item.kind == kind for item in items]].float().mean()) for kind in variant.kinds])
    assert copied.float().mean() >= 0.9 and shares.min() >= 0.75
    ordinary = [caption for caption, _ in variant.world.ordinary_samples(24, 41, "evaluation")]
    pixels = generate(bed, ordinary, Setting("Euler", "simple", 8, 3.5), 42).pixels
    assert judge.any_copies(pixels, variant.memorized()).float().mean() <= 0.15
