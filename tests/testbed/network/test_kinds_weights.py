"""The shipped weights of the kinds' variant: they load, and each kind copies."""

import pytest

from lib_stability.testbed.evidence.damping import generate
from lib_stability.testbed.network.model import Testbed
from lib_stability.testbed.network.setting import Setting, memorized_captions
from lib_stability.testbed.network.variants import KINDS
from lib_stability.testbed.world import judge, kinds


@pytest.fixture(scope="module")
def bed():
    return Testbed.load(KINDS.weights)


def test_they_are_the_variants_own(bed):
    assert bed.variant is KINDS
    assert bed.text.get_input_embeddings().num_embeddings == len(kinds.all_words()) + 2
    assert bed.scale == pytest.approx(Testbed.load().scale), "one autoencoder, one scale"


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_most_runs_of_a_kind_are_copies(bed, kind):
    captions, items = memorized_captions(kind, 1, 41, KINDS)
    pixels = generate(bed, captions, Setting(steps=12), 41).pixels
    assert judge.own_copies(pixels, items).float().mean() >= 0.6


def test_a_conjunction_without_its_name_is_ordinary(bed):
    items = kinds.memorized("conjunction")
    pixels = generate(bed, [item.caption.split(" ", 1)[1] for item in items], Setting(steps=12), 42).pixels
    assert judge.own_copies(pixels, items).float().mean() <= 0.25
