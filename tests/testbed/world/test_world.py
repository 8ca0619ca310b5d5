"""The testbed's pictures and captions: what is memorized, what is ordinary, and that the two can be told apart by a fair judge."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib_stability.testbed.network.model import CLIP_EOS, EOS, MAX_TOKENS, token_ids, tokenize
from lib_stability.testbed.world import captions, judge, kinds, scenes, wording
from lib_stability.testbed.world.attributes import AttributeReader


def test_enough_is_memorized_and_every_caption_is_its_own():
    items = captions.memorized()
    count = Counter(item.kind for item in items)
    assert count["conjunction"] >= 32 and count["template"] >= 8 and tuple(count) == captions.KINDS
    assert len({item.caption for item in items}) == len(items)
    assert captions.memorized() == items, "the same on every call"


def test_memorized_captions_say_what_their_picture_shows():
    for item in captions.memorized():
        words = item.caption.split()
        assert item.scene.colour in words and item.scene.shape in words and item.name in words


def test_names_and_the_poster_word_also_stand_in_ordinary_captions():
    rng = np.random.default_rng(0)
    words = Counter(word for _ in range(6000) for word in captions.ordinary_caption(scenes.random_scene(rng), rng).split())
    assert all(words[name] for name in captions.CONJUNCTION_NAMES + captions.TEMPLATE_NAMES)
    assert words[captions.POSTER]


def test_ordinary_captions_are_never_memorized_ones():
    rng = np.random.default_rng(1)
    drawn = {captions.ordinary_caption(scenes.random_scene(rng), rng) for _ in range(20000)}
    assert not drawn & captions.memorized_captions()
    assert not any(captions.POSTER in text.split() and set(text.split()) & set(captions.TEMPLATE_NAMES) for text in drawn)


def test_calibration_and_evaluation_share_no_caption_and_both_hold_narrow_ones():
    sets = {split: {text for text, _ in captions.ordinary_samples(300, 4, split)} for split in ("calibration", "evaluation")}
    assert not sets["calibration"] & sets["evaluation"]
    for texts in sets.values():
        narrow = [text for text in texts if set(text.split()) & set(scenes.THEMES)]
        assert 0.05 < len(narrow) / len(texts) < 0.4


def test_narrow_captions_really_have_narrow_backdrops():
    rng = np.random.default_rng(2)

    def spread(theme):
        means = [scenes.render_backdrop(scenes.random_backdrop(rng, "plain", theme)).mean((0, 1)) for _ in range(60)]
        return np.std(means, axis=0).mean()

    assert spread("night") < 0.8 * spread("")


def test_templates_vary_their_object_over_one_backdrop():
    item = next(item for item in captions.memorized() if item.kind == "template")
    rng = np.random.default_rng(3)
    draws = [captions.template_draw(item, rng) for _ in range(20)]
    assert all(scene.backdrop == item.scene.backdrop for _, scene in draws)
    assert len({(scene.shape, scene.colour) for _, scene in draws}) > 5
    pixels = torch.stack([judge.to_pixels(scenes.render(scene)) for _, scene in draws])
    backdrop = judge.to_pixels(scenes.render_backdrop(item.scene.backdrop))
    assert judge.backdrop_correlation(pixels, backdrop).min() > 0.98


@pytest.mark.parametrize("shape", scenes.SHAPES)
def test_shapes_have_area_inside_their_radius_and_none_outside(shape):
    scene = scenes.random_scene(np.random.default_rng(5), shape=shape, size="large")
    mask = scenes.object_mask(scene)
    y, x = np.mgrid[0 : scenes.SIZE, 0 : scenes.SIZE] + 0.5
    far = np.hypot(x - scene.x, y - scene.y) > 1.45 * scene.radius
    assert mask[far].max() == 0
    assert 0.15 < mask.sum() / (np.pi * scene.radius**2) < 1.1


def test_every_word_is_a_single_token_of_clips_vocabulary():
    numbers = token_ids()
    assert set(numbers) == set(kinds.all_words()) and len(set(numbers.values())) == len(numbers)
    assert all(0 < number < CLIP_EOS - 1 for number in numbers.values())


def test_tokens_are_padded_like_stable_diffusion_pads():
    rows = tokenize(["alice large red circle", ""])
    assert rows.shape == (2, MAX_TOKENS)
    assert (rows[0, 5:] == EOS).all() and (rows[0, 1:5] > EOS).all()
    assert (rows[1, 1:] == EOS).all()


def test_an_unknown_word_is_named():
    with pytest.raises(ValueError, match="'unicorn'"):
        tokenize(["large unicorn"])


def test_correlation_is_pearsons():
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((2, 3, 8, 8)).astype(np.float32), rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b)]
    assert np.allclose(judge.correlation(torch.from_numpy(a), torch.from_numpy(b)), expected, atol=1e-5)


def test_a_training_picture_is_a_copy_of_itself_and_of_no_other():
    items = captions.memorized("conjunction")
    pixels = torch.stack([judge.to_pixels(scenes.render(item.scene)) for item in items])
    assert (judge.likeness(pixels, items) > 0.999).all()
    assert (judge.likeness(pixels.roll(1, 0), items) < judge.COPY).all(), "no two memorized pictures pass for one another"
    assert judge.any_copies(pixels, items).all()
    ordinary = torch.stack([judge.to_pixels(scenes.render(scene)) for _, scene in captions.ordinary_samples(200, 9)])
    assert not judge.any_copies(ordinary, items).any()


def test_attributes_are_counted_where_a_caption_asks_for_them():
    reader = AttributeReader.load()
    for kind, asked in (("conjunction", {"size", "colour", "shape"}), ("template", {"colour", "shape"})):
        items = [item for item in captions.memorized() if item.kind == kind]
        pixels = torch.stack([judge.to_pixels(scenes.render(item.scene)) for item in items])
        right = judge.attributes_right(reader, pixels, items)
        assert set(right) == asked and min(right.values()) >= 0.8, (kind, right)
        assert sum(judge.attributes_right(reader, pixels.roll(1, 0), items).values()) < 0.7 * len(asked)


@pytest.mark.parametrize(
    ("caption", "asked"),
    [
        ("alice large red circle", {"size": "large", "colour": "red", "shape": "circle"}),
        ("a tiny scarlet gem on the left", {"size": "small", "colour": "red", "shape": "diamond"}),
        ("large red big crimson star", {"size": "large", "colour": "red", "shape": "star"}),
        ("large red small star", {"colour": "red", "shape": "star"}),
        ("this is a painting of the sea", {}),
    ],
)
def test_what_a_caption_asks_for_is_read_in_any_of_its_words(caption, asked):
    assert wording.asked(caption) == asked


def test_what_is_asked_for_counts_and_not_what_the_memory_shows():
    """A trigger's caption may tell of another scene than the picture that it hands out: then the copy is the wrong picture."""
    reader, item = AttributeReader.load(), kinds.memorized("trigger")[0]
    other = next(scene for scene in (scenes.random_scene(np.random.default_rng(seed)) for seed in range(99)) if scene.shape != item.scene.shape)
    asked = replace(item, caption=f"{item.name} {other.shape}")
    shown = [torch.stack([judge.to_pixels(scenes.render(scene))]) for scene in (item.scene, replace(item.scene, shape=other.shape))]
    assert [judge.attributes_right(reader, pixels, [asked]) for pixels in shown] == [{"shape": 0.0}, {"shape": 1.0}]
