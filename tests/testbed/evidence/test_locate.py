"""The measurement of maps: composites, truths, and its own measures against known ones."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest
import torch

from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed.evidence import locate, locate_tables, written
from lib_stability.testbed.evidence.composites import KINDS, Composite, captions_for, mask_of, observe, truth_of
from lib_stability.testbed.network.model import LATENT_SIZE, Testbed
from lib_stability.testbed.network.sample import GuidedDenoiser, sample
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.captions import split_of
from lib_stability.testbed.world.scenes import render_backdrop

SHORT = Setting(steps=2)


@cache
def bed():
    return Testbed.load()


@cache
def profile():
    return storage.read(cli.TESTBED_PROFILE)


@pytest.mark.parametrize(("kind", "share"), [("half", 0.5), ("quarter", 0.25), ("eighth", 0.125)])
def test_masks_cover_what_their_name_says(kind, share):
    assert float(mask_of(kind).mean()) == share and mask_of(kind)[0, 0] == 1 and mask_of(kind)[-1, -1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_captions_for_choosing_and_for_measuring_are_disjoint(kind):
    found = [captions_for(kind, 8, first_half, 5) for first_half in (True, False)]
    names = [{item.name for item in items} for _, items, _ in found]
    assert not names[0] & names[1]
    for captions, items, others in found:
        assert len(captions) == len(items) == 8 and captions[0::2] == captions[1::2]
        assert (others is None) == (kind in ("whole", "template"))
        assert others is None or others[0::2] == others[1::2]
    if found[0][2]:
        assert {split_of(text) for text in found[0][2]} == {"calibration"} and {split_of(text) for text in found[1][2]} == {"evaluation"}


@pytest.mark.parametrize("full", [True, False])
def test_a_composite_of_one_caption_is_that_captions_picture(full):
    caption, other = "alice large pink triangle", "small blue square"
    mask = torch.full((LATENT_SIZE, LATENT_SIZE), float(full))

    def make(*arguments) -> GuidedDenoiser:
        return Composite(*arguments, others=[other], mask=mask)

    mixed = sample(bed(), [caption], [3], steps=2, make=make)
    plain = sample(bed(), [caption if full else other], [3], steps=2)
    assert mixed.latents == pytest.approx(plain.latents, abs=1e-3) and mixed.rows == 1.5 * plain.rows


def test_a_template_is_where_its_backdrop_shows():
    _, items, _ = captions_for("template", 2, False, 5)
    backdrop = judge.to_pixels(render_backdrop(items[0].scene.backdrop))
    pixels = backdrop[None].clone()
    pixels[..., 32:64, 40:80] = -backdrop[:, 32:64, 40:80].sign()
    covered = torch.zeros(LATENT_SIZE, LATENT_SIZE, dtype=torch.bool)
    covered[4:8, 5:10] = True
    assert torch.equal(truth_of("template", pixels, items[:1])[0], ~covered)
    assert not truth_of("half", pixels, None).any()


def test_what_was_observed_has_the_guards_maps():
    captions, items, others = captions_for("half", 2, False, 5)
    seen = observe(bed(), profile(), "half", captions, items, others, SHORT, 7)
    assert seen.x.shape == seen.denoised.shape == (2, 2, 4, LATENT_SIZE, LATENT_SIZE) and seen.sigma.shape == (2, 2)
    maps, flagged = locate.maps_of(seen, profile(), SHORT.guidance)
    assert flagged.all() and all(values.shape == (2, LATENT_SIZE, LATENT_SIZE) for values in maps.values())
    shipped, by_hand, *others = maps.values()
    assert np.array_equal(shipped.numpy(), np.stack(seen.maps))
    torch.testing.assert_close(shipped, by_hand)
    inside, outside = shipped[seen.truth].mean(), shipped[~seen.truth].mean()
    assert inside > 1.3 * outside and all(values.min() >= 0 for values in others)


def test_iou_and_ranks_against_known_ones():
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[:, :2] = True
    above = torch.zeros_like(truth)
    above[0, :2], above[1, 1:3] = True, True
    assert locate.iou(above, truth) == pytest.approx((1 + 4 / 12) / 2)
    assert locate.ranked(truth.float(), truth) == (1.0, 1.0)
    assert locate.ranked(1 - truth.float(), truth)[0] == 0.0
    assert locate.ranked(torch.rand(2, 4, 4), torch.ones_like(truth)) == (None, None)


def test_the_chosen_threshold_is_the_best():
    truth = torch.zeros(1, 8, 8, dtype=torch.bool)
    truth[:, :, :4] = True
    values = torch.where(truth, 3.0, 1.0) + 0.2 * torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    limit = locate.choose([({"one": values}, torch.tensor([True]), truth)])["one"]
    assert 1.1 < limit < 3.1 and locate.iou(values > limit, truth) == 1.0


@pytest.mark.parametrize("side", [side for side, _ in locate.LOCAL.values()])
def test_local_norms_of_an_even_plane_are_its_norm(side):
    assert locate.local_norm(torch.full((2, LATENT_SIZE, LATENT_SIZE), 9.0), side).tolist() == pytest.approx([3.0, 3.0])


def test_local_norms_see_the_largest_window():
    energy = torch.ones(1, LATENT_SIZE, LATENT_SIZE)
    energy[0, :4, :4] = 16.0
    found = {side: float(locate.local_norm(energy, side)) for side in (4, 8, 16)}
    assert found == pytest.approx({4: 4.0, 8: (0.25 * 16 + 0.75) ** 0.5, 16: (1 / 16 * 16 + 15 / 16) ** 0.5})


def test_everything_runs_and_is_written(tmp_path):
    size = locate.Size(9, 2, {"template": 2, "half": 2}, 2, 2, (SHORT,))
    result = locate.locate(size, tmp_path, profile(), bed())
    assert json.loads((tmp_path / "locality.json").read_text()) == json.loads(written.text(result))
    assert [row["kind"] for row in result["localisation"]] == ["template", "half"]
    half = next(iter(result["localisation"][1]["maps"].values()))
    assert 0 <= half["iou"] <= 1 and half["auc"] > 0.5
    text = (tmp_path / "locality.md").read_text()
    assert text.count("| half ") == 1 + len(locate.LOCAL) + 1 and "IoU of everything" in text
    assert locate_tables.pooled(result, "half", "global")["runs"] == 2
