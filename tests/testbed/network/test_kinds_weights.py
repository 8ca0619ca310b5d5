"""The shipped weights of the main testbed: they load, and each kind copies."""

import pytest
import torch

from lib_stability.testbed.evidence.damping import generate
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting, memorized_captions
from lib_stability.testbed.network.variants import DISTILLED, FLOW, FOLDER, MAIN, VARIANTS
from lib_stability.testbed.world import judge, kinds


@pytest.fixture(scope="module")
def bed():
    return Testbed.load()


def test_they_are_the_variants_own(bed):
    assert bed.variant is MAIN
    assert bed.text.get_input_embeddings().num_embeddings == len(kinds.all_words()) + 2
    for other in map(Testbed.load, (FLOW.weights, DISTILLED.weights)):
        assert all(torch.equal(value, bed.vae.state_dict()[name]) for name, value in other.vae.state_dict().items()), "one autoencoder"


def test_all_weights_together_are_small_enough_to_be_cloned():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors")) < 21_000_000


@pytest.mark.parametrize("name", VARIANTS)
def test_weights_that_are_not_there_say_how_they_are_made(name, monkeypatch, tmp_path):
    monkeypatch.setattr("lib_stability.testbed.network.variants.FOLDER", tmp_path)
    with pytest.raises(ValueError, match=f"testbed train --variant {name} --install"):
        Testbed.load(VARIANTS[name].weights)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_most_runs_of_a_kind_are_copies(bed, kind):
    captions, items = memorized_captions(kind, 1, 41, MAIN)
    pixels = generate(bed, captions, Setting(steps=12), 41).pixels
    assert judge.own_copies(pixels, items).float().mean() >= 0.6


def test_a_conjunction_without_its_name_is_ordinary(bed):
    items = kinds.memorized("conjunction")
    pixels = generate(bed, [item.caption.split(" ", 1)[1] for item in items], Setting(steps=12), 42).pixels
    assert judge.own_copies(pixels, items).float().mean() <= 0.25
