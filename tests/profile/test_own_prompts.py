"""Prompts of one's own: copies of one another are refused, lists that say different things are not."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from lib_stability.guard.region import Trajectory
from lib_stability.profile import own_prompts, profiles, reference, storage
from lib_stability.testbed.world.kinds import ordinary_samples

ORDINARY = reference.prompts(400)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a red cat on a mat", "A red cat, on a mat!"),
        ("a red cat on a mat", "on a mat a red cat"),
        ("portrait of a ferry captain, weathered face, wool cap, film grain", "portrait of a ferry captain, weathered face, wool cap, film, grain"),
        ("老人在公园里下棋,秋天,油画", "老人在公园里下棋，秋天，油画。"),
    ],
)
def test_the_same_in_other_clothes_is_a_near_copy(one: str, other: str) -> None:
    assert own_prompts.near_copies([*ORDINARY[:5], one, other]) == [(6, 5)]


@pytest.mark.parametrize(
    ("one", "other"), [("a red cat", "a red dog"), ("small blue square", "small blue circle"), ("...", "!!!"), ("雪地里", "雨地里")]
)
def test_one_word_of_three_is_a_difference(one: str, other: str) -> None:
    assert own_prompts.near_copies([one, other]) == []


def test_honest_lists_pass() -> None:
    own_prompts.check(ORDINARY, 400)
    own_prompts.check([caption for caption, _ in ordinary_samples(200, 1_000_000, "calibration")], 200)
    own_prompts.check(ORDINARY[:50], 400)


def test_copies_and_too_few_are_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"^prompts: 39 of 40 say nearly the same as another, like 'a cat number 1 "):
        own_prompts.check([f"a cat number {number} in the long grass of a garden near the sea" for number in range(40)], 40)
    with pytest.raises(ValueError, match=r"^prompts: 20 different ones are too few for 400 runs, at least 50"):
        own_prompts.check(ORDINARY[:20], 400)
    with pytest.raises(ValueError, match=r"^prompts: 1 different ones are too few for 20 runs"):
        own_prompts.check(["a cat"], 20)


def test_long_lists_are_compared_in_time() -> None:
    many = reference.prompts(5000)
    began = time.monotonic()
    own_prompts.near_copies(many)
    assert time.monotonic() - began < 10


def runs(judge: profiles.Profile, count: int, copies: int) -> list[Trajectory]:
    """Made-up runs at the probe's scale: ordinary ones have its mean norms, copies those of a picture that the prompt determines."""
    region, found = judge.probe, []
    for number in range(count):
        sigma = np.exp(np.linspace(region.knots_[-1], region.knots_[0], 20))
        mean = {}
        for name, curves in region.curves_.items():
            a, b, c = curves.coefficients.T
            mean[name] = np.interp(np.log(sigma), region.knots_, np.sqrt(a + b * 7.5 + c * 7.5**2))
        factor = 5.0 if number < copies else 1.0
        found.append(Trajectory(sigma, 7.5, factor * mean["rate"], factor * mean["clean"]))
    return found


def test_runs_that_the_profile_in_force_flags_are_no_reference() -> None:
    bundled = {one.name: one for one in storage.load_all([storage.BUNDLED])[0]}
    for name, fair in (("Testbed", "10%"), ("Generic prior", "50%")):
        judge = bundled[name]
        assert own_prompts.suspicion(judge, [], runs(judge, 200, 0)) == ""
        assert own_prompts.suspicion(judge, [], runs(judge, 200, 10)) == ""  # what trimming takes out
        assert f"{name} (bundled" in own_prompts.suspicion(judge, [], runs(judge, 200, 200))
        said = own_prompts.suspicion(judge, [], runs(judge, 200, 140))
        assert "flags 140 of 200 of these runs" in said and fair in said
        # Without a probe the watch is asked.
        assert "flags 40 of 40" in own_prompts.suspicion(replace(judge, probe=None), runs(judge, 40, 40), [])


def test_a_prior_judges_what_the_prompts_do_and_not_what_the_latents_are() -> None:
    """At low noise the rate of ordinary runs is the model's: that of the testbed lies above what is ordinary for SD 1."""
    judge = {one.name: one for one in storage.load_all([storage.BUNDLED])[0]}["SD 1.x prior"]
    rough = [replace(run, rate=np.where(np.arange(20) < 2, run.rate, 3 * run.rate)) for run in runs(judge, 40, 0)]
    assert own_prompts.suspicion(judge, [], rough) == ""
    assert "flags 40 of 40" in own_prompts.suspicion(judge, [], runs(judge, 40, 40))
    # A calibration of the same checkpoint knows its latents, and judges whole runs.
    assert "flags 40 of 40" in own_prompts.suspicion(replace(judge, kind="calibrated"), [], rough)
