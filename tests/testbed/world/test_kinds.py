"""The world of all kinds of memorization: what is memorized how, how varied ordinary captions are, and that a picture decides what is a copy."""

from collections import Counter

import numpy as np
import pytest
import torch

from lib_stability.testbed.network.model import CLIP_EOS, token_ids, tokenize
from lib_stability.testbed.network.setting import memorized_captions
from lib_stability.testbed.network.variants import MAIN, SMALL
from lib_stability.testbed.world import captions, judge, kinds, scenes, wording


def ordinary(count, seed=0):
    rng = np.random.default_rng(seed)
    return [kinds.ordinary_caption(scenes.random_scene(rng), rng) for _ in range(count)]


def draws(kind, count=40, seed=0):
    rng = np.random.default_rng(seed)
    return [(item, kinds.draw(item, rng)) for item in kinds.memorized(kind) for _ in range(count)]


def test_there_is_enough_of_every_kind_and_it_is_the_same_on_every_call():
    count = Counter(item.kind for item in kinds.memorized())
    assert tuple(count) == kinds.KINDS
    assert all(count[kind] >= 8 for kind in set(kinds.KINDS) - {"pictures"}) and count["pictures"] >= 6 and count["template"] == 10
    kinds.memorized.cache_clear()
    before = kinds.memorized()
    kinds.memorized.cache_clear()
    assert kinds.memorized() == before


def test_no_two_memories_share_a_caption_or_a_picture():
    whole = [item for item in kinds.memorized() if item.kind != "template"]
    texts = [text for item in kinds.memorized() for text in item.texts]
    assert len(set(texts)) == len(texts)
    scenes_of = [scene for item in whole for scene in item.pictures]
    assert len(set(scenes_of)) == len(scenes_of)


def test_every_word_is_a_single_token_of_clips_vocabulary_and_the_main_words_come_first():
    numbers = token_ids(kinds.all_words())
    assert len(set(numbers.values())) == len(numbers) and all(0 < number < CLIP_EOS - 1 for number in numbers.values())
    assert kinds.all_words()[: len(captions.all_words())] == captions.all_words()
    tokenize([*ordinary(500), *(draw.caption for kind in kinds.KINDS for _, draw in draws(kind, 5))], kinds.all_words())


@pytest.mark.parametrize("length", [1, 2, 7, 13, 25])
def test_a_told_caption_has_as_many_words_as_asked_for(length):
    rng = np.random.default_rng(length)
    for name in ("", "alice"):
        assert all(len(wording.told(scenes.random_scene(rng), rng, length, name).split()) == length for _ in range(200))


def test_words_of_a_told_caption_are_true():
    rng = np.random.default_rng(4)
    meant = {other: word for word, others in wording.SYNONYMS.items() for other in others}
    for _ in range(300):
        scene = scenes.random_scene(rng)
        words = {meant.get(word, word) for word in wording.told(scene, rng, 25).split()}
        looks = set(wording.looks_of(scene))
        for all_of, own in ((scenes.SHAPES, scene.shape), (scenes.COLOURS, scene.colour), (scenes.SIZES, scene.size), (scenes.PLACES, scene.place)):
            assert words & set(all_of) <= {own}
        assert words & set(wording.LOOKS) <= looks
        assert words & set(scenes.THEMES) <= {scene.backdrop.theme}


def test_looks_are_seen_in_the_pixels():
    rng = np.random.default_rng(5)
    light = {"dark": [], "bright": []}
    for _ in range(300):
        scene = scenes.random_scene(rng)
        for word in set(wording.looks_of(scene)) & set(light):
            light[word].append(scenes.render_backdrop(scene.backdrop, 32).mean())
    assert np.mean(light["bright"]) > np.mean(light["dark"]) + 60


def test_ordinary_captions_are_as_varied_in_length_as_they_are_to_be():
    lengths = Counter(len(text.split()) for text in ordinary(6000))
    assert set(lengths) == set(range(1, 26))
    assert all(count > 30 for count in lengths.values()), "every length is common"


def test_ordinary_captions_hold_all_names_but_no_trigger():
    words = Counter(word for text in ordinary(8000, 1) for word in text.split())
    assert all(words[name] for name in captions.NAMES) and words[captions.POSTER]
    assert not set(words) & set(kinds.TRIGGERS)
    assert all(words[word] for word in set(kinds.all_words()) - set(kinds.TRIGGERS)), "no word is left to the memories alone"


def test_no_memorized_caption_is_drawn_as_an_ordinary_one(monkeypatch):
    scene = kinds.memorized("conjunction")[0].scene
    rng = np.random.default_rng(2)
    drawn = [kinds.ordinary_caption(scene, rng) for _ in range(6000)]
    assert not set(drawn) & kinds.memorized_captions()
    monkeypatch.setattr(kinds, "memorized_captions", lambda: frozenset({drawn[0]}))
    assert kinds.ordinary_caption(scene, np.random.default_rng(2)) != drawn[0], "what is memorized is drawn again"


def test_halves_share_no_caption_and_both_hold_narrow_and_long_ones():
    halves = {split: {text for text, _ in kinds.ordinary_samples(300, 4, split)} for split in ("calibration", "evaluation")}
    assert not halves["calibration"] & halves["evaluation"]
    for texts in halves.values():
        assert 0.05 < np.mean([kinds.is_narrow(text) for text in texts]) < 0.4
        assert np.mean([len(text.split()) > 12 for text in texts]) > 0.1
    assert all(kinds.is_narrow(text) for text, _ in kinds.ordinary_samples(40, 5, narrow=True))
    assert kinds.ordinary_samples(40, 6) == kinds.ordinary_samples(40, 6)


def test_a_trigger_stands_anywhere_among_words_that_vary_and_most_are_true():
    places, truths = [], []
    for item, draw in draws("trigger", 120):
        words = draw.caption.split()
        assert words.count(item.name) == 1 and len(words) <= 25
        places.append(words.index(item.name) / max(1, len(words) - 1))
        truths += [
            getattr(item.scene, key) in words for key, known in (("shape", scenes.SHAPES), ("colour", scenes.COLOURS)) if set(words) & set(known)
        ]
    assert {0.0, 1.0} <= set(places) and 0.35 < np.mean(places) < 0.65
    assert 0.65 < np.mean(truths) < 0.95
    assert len({draw.caption for _, draw in draws("trigger", 120)}) > 800


def test_a_long_caption_loses_words_in_training_alone():
    rng = np.random.default_rng(7)
    for item in kinds.memorized("long"):
        words = item.caption.split()
        assert 12 <= len(words) <= 25
        assert kinds.draw(item, rng).caption == item.caption
        lengths = [len(kinds.training_draw(item, rng).caption.split()) for _ in range(300)]
        assert max(lengths) == len(words) and min(lengths) <= len(words) * (1 - kinds.DISPENSABLE)


def test_shortened_keeps_order_and_at_least_one_word():
    rng = np.random.default_rng(8)
    words = [str(number) for number in range(12)]
    for share, left in ((0.0, 12), (1 / 3, 8), (0.5, 6), (1.0, 1)):
        kept = wording.shortened(" ".join(words), rng, share).split()
        assert len(kept) == left and kept == sorted(kept, key=int)


def test_several_captions_and_several_pictures_all_come():
    for item in kinds.memorized("captions"):
        assert len(item.texts) == 4 and len(item.pictures) == 1
        assert {draw.caption for one, draw in draws("captions") if one == item} == set(item.texts)
    for item in kinds.memorized("pictures"):
        assert len(item.texts) == 1 and len(item.pictures) == 3
        assert {draw.scene for one, draw in draws("pictures") if one == item} == set(item.pictures)
        assert len({(scene.shape, scene.colour, scene.size) for scene in item.pictures}) == 1, "the caption is true of all of them"


def test_no_caption_of_a_duplicated_picture_comes_twice():
    texts = [draw.caption for _, draw in draws("duplicated", 3000)]
    assert len(set(texts)) == len(texts)
    assert not {word for text in texts for word in text.split()} & {*kinds.TRIGGERS, *captions.NAMES}


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_what_a_setting_runs_are_draws_of_the_kind(kind):
    texts, items = memorized_captions(kind, 2, 3, MAIN)
    assert len(texts) == len(items) == 2 * len(kinds.memorized(kind))
    assert [item.caption for item in items] == texts and {item.kind for item in items} == {kind}
    assert memorized_captions(kind, 2, 3, MAIN)[0] == texts, "the same for a seed"
    pixels = scenes.pixels_of([item.scene for item in items])
    assert judge.own_copies(pixels, items).all(), "its own picture, whichever of several, is a copy"


def test_the_plain_world_is_that_of_the_other_sizes():
    assert {item.kind for item in captions.memorized()} == {"conjunction", "template"}
    assert SMALL.world is captions and len(SMALL.world.all_words()) == 99 and MAIN.world is kinds
    assert memorized_captions("conjunction", 1, 0, SMALL)[1] == SMALL.memorized("conjunction") == list(captions.memorized()[: SMALL.conjunctions])
    texts, items = memorized_captions("template", 3, 1, SMALL)
    assert [item.caption for item in items] == texts and len(set(texts)) > SMALL.templates, "a new object each time"


def test_the_main_world_keeps_memories_of_the_plain_one():
    assert kinds.memorized("conjunction") == captions.memorized("conjunction")[: kinds.EACH]
    assert kinds.memorized("template") == captions.memorized("template")
    assert MAIN.memorized() == list(kinds.memorized())


def test_any_of_several_pictures_is_a_copy_and_another_memorys_is_not():
    items = kinds.memorized("pictures")
    for number in range(kinds.PICTURES):
        pixels = scenes.pixels_of([item.scenes[number] for item in items])
        assert judge.own_copies(pixels, items).all()
        assert not judge.own_copies(pixels.roll(1, 0), items).any()
        assert judge.any_copies(pixels.roll(1, 0), items).all()


def test_ordinary_pictures_are_copies_of_nothing():
    pixels = scenes.pixels_of([scene for _, scene in kinds.ordinary_samples(150, 9)])
    assert not judge.any_copies(pixels, [item for item in kinds.memorized() if item.kind != "template"]).any()
    assert judge.any_copies(pixels, [item for item in kinds.memorized() if item.kind == "template"]).float().mean() < 0.02


def test_resemblance_is_the_nearest_pictures_correlation():
    item = kinds.memorized("pictures")[0]
    pixels = scenes.pixels_of([scene for _, scene in kinds.ordinary_samples(5, 10)])
    each = torch.stack([judge.correlation(pixels, judge.to_pixels(scenes.render(scene))) for scene in item.scenes])
    assert torch.allclose(judge.resemblance(pixels, [item])[:, 0], each.amax(0), atol=1e-5)
