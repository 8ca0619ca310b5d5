"""The threshold that ordinary pictures set, also where some of them are copies themselves."""

import numpy as np
import pytest

from lib_stability.trial import copies


def likeness(rng, count):
    return np.tanh(rng.normal(0.5, 0.3, count))


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_is_what_one_in_a_hundred_exceeds(seed):
    rng = np.random.default_rng(seed)
    found = copies.limit(likeness(rng, 400))
    assert 0.001 <= (likeness(rng, 20_000) > found).mean() <= 0.03


@pytest.mark.parametrize("share", [0.02, 0.06, 0.09])
def test_ordinary_prompts_that_hand_out_copies_do_not_set_it(share):
    rng = np.random.default_rng(7)
    usual = likeness(rng, 200)
    mixed = np.concatenate([usual, rng.uniform(0.985, 0.999, round(share * 200))])
    assert copies.limit(mixed) < 0.97 and copies.limit(mixed) == pytest.approx(copies.limit(usual), abs=0.05)


def test_many_that_are_alike_are_no_exception():
    rng = np.random.default_rng(8)
    mixed = np.concatenate([likeness(rng, 100), rng.uniform(0.985, 0.999, 40)])
    assert copies.limit(mixed) > 0.98, "more than a tenth: that is what ordinary prompts do here"
