"""Mode "stop": images flagged as strong are blanked from that evaluation on, all others keep every bit."""

from __future__ import annotations

import pytest
import torch
from guard_fixtures import guard, noisy, predictions, probe, same_bits, step

from lib_stability.guard.guard import UNKNOWN_NEGATIVE
from lib_stability.guard.verdict import MILD, STABLE, STRONG


def test_only_strong_images_are_blanked():
    watcher, denoised = guard("stop"), predictions("ordinary", "mild", "strong", "small")
    result = step(watcher, noisy(4), denoised)
    assert same_bits(result[[0, 1, 3]], denoised[[0, 1, 3]])
    assert not result[2].any() and denoised[2].any()
    assert watcher.stopped.tolist() == [False, False, True, False]
    assert [v.verdict for v in watcher.report()] == [STABLE, MILD, STRONG, STABLE]
    assert [v.stopped_at for v in watcher.report()] == [None, None, 1, None]


def test_stays_blank_once_stopped_and_counts_from_the_flag():
    watcher = guard("stop")
    kept = predictions("ordinary", "ordinary")
    assert same_bits(step(watcher, noisy(2), kept), kept)
    step(watcher, noisy(2), predictions("ordinary", "strong"))
    for _ in range(3):
        result = step(watcher, noisy(2), kept)
        assert same_bits(result[:1], kept[:1]) and not result[1].any()
    (_, verdict) = watcher.report()
    assert (verdict.verdict, verdict.flagged_at, verdict.stopped_at, verdict.evaluations, verdict.damped) == (STRONG, 2, 2, 5, 0)


def test_a_mild_flag_turns_strong_later():
    watcher = guard("stop")
    mild = predictions("mild")
    assert same_bits(step(watcher, noisy(1), mild), mild)
    assert not step(watcher, noisy(1), predictions("strong")).any()
    (verdict,) = watcher.report()
    assert (verdict.verdict, verdict.flagged_at, verdict.stopped_at) == (STRONG, 1, 2)


@pytest.mark.parametrize("predicted, blanked", [("strong", True), ("mild", False), ("ordinary", False)])
def test_the_probe_stops_too(predicted, blanked):
    watcher = guard("stop", probe=probe(predictions(predicted)), doubt=UNKNOWN_NEGATIVE)
    denoised = predictions("ordinary")
    result = step(watcher, noisy(1), denoised)
    assert (not result.any()) if blanked else same_bits(result, denoised)
    assert watcher.report()[0].stopped_at == (1 if blanked else None)


def test_a_nan_neighbour_neither_stops_nor_disturbs():
    watcher = guard("stop")
    denoised = torch.cat([predictions("strong"), torch.full((1, 4, 16, 16), float("nan"))])
    result = step(watcher, noisy(2), denoised)
    assert not result[0].any() and result[1].isnan().all()
    assert watcher.stopped.tolist() == [True, False]


def test_nothing_stopped_before_anything_was_judged():
    watcher = guard("stop", doubt=UNKNOWN_NEGATIVE)
    denoised = predictions("strong")
    assert same_bits(step(watcher, noisy(1), denoised), denoised)
    assert watcher.stopped is None
