"""Guidance that somebody else may have changed: the watch judges the images whose guidance is plain, and verdicts say where it was off."""

from __future__ import annotations

import pytest
import torch
from guard_fixtures import GUIDANCE, guard, noisy, predictions, probe, same_bits, step

from lib_stability.guard.verdict import CHANGED, NOT_JUDGED, STABLE, merge


def changed(which, denoised, plain: list[bool]):
    return which.step(noisy(len(plain)), denoised, torch.ones(len(plain)), GUIDANCE, None, torch.tensor(plain))


def test_only_plain_images_are_watched_and_damped():
    watcher, denoised = guard(), predictions("strong", "strong", "ordinary", "ordinary")
    result = changed(watcher, denoised, [True, False, True, False])
    assert not same_bits(result[:1], denoised[:1]) and same_bits(result[1:], denoised[1:])
    found = watcher.report()
    assert found[0].flagged and found[2].verdict == STABLE
    assert [(one.verdict, one.reason) for one in (found[1], found[3])] == [(NOT_JUDGED, f"no probe and {CHANGED}")] * 2


def test_a_pass_that_was_changed_for_a_while_is_stable_only_with_a_probe():
    for with_probe in (False, True):
        watcher = guard(probe=probe(predictions("ordinary"), expected=3) if with_probe else None)
        for plain in (True, False, True):
            changed(watcher, predictions("ordinary"), [plain])
        (verdict,) = watcher.report()
        if with_probe:
            assert (verdict.verdict, verdict.unwatched) == (STABLE, f"2/3 - {CHANGED}")
        else:
            assert (verdict.verdict, verdict.reason) == (NOT_JUDGED, f"no probe and {CHANGED} - 2/3 judged")


def test_the_probe_looks_where_guidance_may_be_changed_since_only_the_device_knows():
    asked = []

    def predict(x, sigma):
        asked.append(len(x))
        return predictions("ordinary")

    for plain in (None, [True], [False]):
        asked.clear()
        which = probe(expected=1)
        object.__setattr__(which, "predict", predict)
        watcher = guard(probe=which)
        if plain is None:
            step(watcher, noisy(1), predictions("ordinary"))
        else:
            changed(watcher, predictions("ordinary"), plain)
        (verdict,) = watcher.report()
        assert (len(asked), verdict.verdict) == (0 if plain is None else 1, STABLE)
        assert verdict.unwatched == (f"off - {CHANGED}" if plain == [False] else "")


@pytest.mark.parametrize("plain, policy, expected", [([True], "auto", STABLE), ([False], "auto", NOT_JUDGED), ([True], "always", NOT_JUDGED)])
def test_a_probe_that_fails_is_missed_only_where_the_watch_could_not_judge_or_the_user_wants_it(plain, policy, expected):
    def broken(x, sigma):
        raise ValueError("not enough values to unpack")

    which = probe(policy=policy, expected=2)
    object.__setattr__(which, "predict", broken)
    watcher = guard(probe=which)
    for _ in range(2):
        changed(watcher, predictions("ordinary"), plain)
    (verdict,) = watcher.report()
    assert verdict.verdict == expected and ("ValueError in the probe" in verdict.reason) is (expected == NOT_JUDGED)


def test_where_the_watch_was_off_is_said_of_the_whole_pass():
    first, second = guard(probe=probe(predictions("ordinary"), expected=1)), guard()
    changed(first, predictions("ordinary"), [False])
    step(second, noisy(1), predictions("ordinary"))
    assert merge([first.report()[0], second.report()[0]]).unwatched == f"off - {CHANGED}"
