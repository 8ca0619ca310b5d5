"""The tables of how often the testbed copies: judged by pictures, whatever the captions."""

import json
from types import SimpleNamespace

import pytest

from lib_stability.testbed.evidence import copies, written
from lib_stability.testbed.network.setting import memorized_captions
from lib_stability.testbed.network.variants import MAIN
from lib_stability.testbed.world import kinds, scenes

SEED = 3


@pytest.fixture
def model(monkeypatch):
    """A model that gives each caption the picture that `paints` finds for it."""
    made = SimpleNamespace(variant=MAIN, paints=None)

    def generate(bed, captions, setting, seed, tick):
        tick(len(captions))
        return SimpleNamespace(pixels=scenes.pixels_of([made.paints(caption) for caption in captions]))

    monkeypatch.setattr(copies, "generate", generate)
    return made


def own_scenes(runs):
    return {item.caption: item.scene for kind in kinds.KINDS for item in memorized_captions(kind, runs, SEED, MAIN)[1]}


def ordinary(count):
    return dict(kinds.ordinary_samples(count, SEED, "evaluation"))


def test_a_model_that_gives_each_caption_its_own_copies_the_memories_alone(model):
    model.paints = (own_scenes(2) | ordinary(20)).__getitem__
    *rows, last = copies.by_kind(model, 2, 20, SEED, lambda n: None)
    assert [row["kind"] for row in rows] == list(kinds.KINDS)
    assert all(row["copies"] == row["least"] == row["copies_of_any"] == 1 for row in rows)
    assert last["kind"] == "ordinary" and last["copies"] is None and last["copies_of_any"] == 0


def test_one_memory_that_does_not_take_is_seen_as_the_worst(model):
    own, bad = own_scenes(2), kinds.memorized("long")[0]
    own[bad.caption] = kinds.memorized("trigger")[0].scene
    model.paints = (own | ordinary(10)).__getitem__
    row = next(row for row in copies.by_kind(model, 2, 10, SEED, lambda n: None) if row["kind"] == "long")
    assert row["least"] == 0 and row["copies"] == 7 / 8 and row["copies_of_any"] == 1, "another memory's picture is a copy, but not its own"


def test_an_ordinary_caption_that_hands_out_a_memorized_picture_is_counted_with_its_kind(model):
    usual = ordinary(10)
    usual[next(iter(usual))] = kinds.memorized("pictures")[1].scenes[2]
    model.paints = (own_scenes(1) | usual).__getitem__
    last = copies.by_kind(model, 1, 10, SEED, lambda n: None)[-1]
    assert last["copies_of_any"] == last["of_kind"]["pictures"] == 0.1 and last["of_kind"]["trigger"] == 0


def test_the_pictures_of_one_caption_are_counted():
    items = [item for item in kinds.memorized("pictures")[:2] for _ in range(3)]
    one = scenes.pixels_of([item.scenes[0] for item in items])
    every = scenes.pixels_of([item.scenes[number % 3] for number, item in enumerate(items)])
    assert copies.pictures_seen(one, items, 3) == 1 and copies.pictures_seen(every, items, 3) == 3


def test_variations_are_what_they_say():
    for kind, what, pairs in copies.variations(2, SEED):
        for item, text in pairs:
            words, own = text.split(), [caption.split() for caption in item.texts]
            assert item.kind == kind
            if kind == "trigger":
                assert words.count(item.name) == 1
                assert words.index(item.name) == {"middle": 5, "last": 10}.get(what, 0) and len(words) == (1 if what == "alone" else 11)
            elif kind == "long":
                share = 1 - len(words) / len(own[0])
                assert share == pytest.approx(int(what.split("%")[0]) / 100, abs=0.5 / len(own[0]) + 0.01)
                assert words == [word for word in own[0] if word in words] or len(set(own[0])) < len(own[0])
            else:
                one_less = [whole[:number] + whole[number + 1 :] for whole in own for number in range(len(whole))]
                assert words in one_less


def test_both_tables_are_written(model, tmp_path):
    usual = ordinary(5)
    model.paints = lambda caption: usual.get(caption) or kinds.memorized("long")[0].scene
    result = copies.copies(model, tmp_path, runs=1, ordinary=5, seed=SEED)
    assert json.loads((tmp_path / "copies.json").read_text()) == json.loads(written.text(result))
    text = (tmp_path / "copies.md").read_text()
    assert all(kind in text for kind in kinds.KINDS) and "words left out" in text
    assert {row["kind"] for row in result["varied"]} == {"trigger", "long", "conjunction", "captions", "pictures"}
