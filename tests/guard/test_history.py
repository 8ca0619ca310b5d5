"""Evaluations as plain numbers, and verdicts of consecutive guards put together."""

from __future__ import annotations

import json
import math

import pytest
import torch
from guard_fixtures import GUIDANCE, clean_norm, guard, noisy, predictions, probe, step

from lib_stability.guard.guard import Guard
from lib_stability.guard.history import history
from lib_stability.guard.options import Options
from lib_stability.guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG, Verdict, gravest, merge


def test_history_agrees_with_the_report():
    watcher = guard("damp", probe=probe(predictions("ordinary", "ordinary"), policy="always", expected=20))
    for kind in ("ordinary", "strong", "strong", "ordinary"):
        step(watcher, noisy(2), predictions("ordinary", kind))
    seen, verdicts = history(watcher.seen()), watcher.report()
    assert [len(one) for one in seen] == [4, 4]
    assert (verdicts[0].verdict, verdicts[0].reason) == (NOT_JUDGED, "ended before the last look - 4/4 judged")
    for image, verdict in zip(seen, verdicts):
        assert verdict.score is None or max(one.watch for one in image) == pytest.approx(verdict.score, rel=1e-6)
        assert sum(one.damped for one in image) == verdict.damped
        first = next((number for number, one in enumerate(image, 1) if one.unstable), None)
        assert first == verdict.flagged_at
        assert [one.probe is None for one in image] == [False, True, True, False]
        assert all(one.sigma == 1.0 and one.guidance == GUIDANCE for one in image)
    assert seen[1][1].clean == pytest.approx(3 * clean_norm(), rel=1e-4)
    assert verdicts[1].flagged_at == 2 and verdicts[1].damped >= 1


def test_what_was_not_judged_or_not_finite_is_none():
    watcher = guard()
    bad = torch.cat([predictions("ordinary"), torch.full((1, 4, 16, 16), math.inf)])
    step(watcher, noisy(2), bad)
    step(watcher, noisy(2), bad, guidance=torch.tensor([1.0, GUIDANCE]))
    first, second = history(watcher.seen())
    assert first[0].watch is not None and first[1].watch is None and first[1].guidance == 1.0
    assert second[0].watch is None and second[0].clean is None and not second[0].unstable
    assert json.loads(json.dumps([one.to_json() for one in first + second], allow_nan=False))


def test_history_without_a_region_is_empty():
    watcher = Guard(None, Options())
    step(watcher, noisy(3), predictions("strong", "strong", "strong"))
    assert history(watcher.seen()) == [[], [], []]


def test_merge_counts_through_and_takes_the_gravest():
    parts = [
        Verdict(STABLE, 1.0, 3.0, evaluations=5, detector="watch"),
        Verdict(STRONG, 20.0, 3.0, 2, 10, damped=4, detector="watch", stopped_at=2),
        Verdict(NOT_JUDGED, evaluations=3, reason="no profile"),
    ]
    assert merge(parts) == Verdict(STRONG, 20.0, 3.0, 7, 18, damped=4, detector="watch", stopped_at=7)
    assert merge(parts[::2]) == Verdict(NOT_JUDGED, evaluations=8, reason="no profile")
    assert merge(parts[:1]) == parts[0]
    assert merge([]).verdict == NOT_JUDGED


def test_gravest_prefers_the_first_of_equals():
    first, second = Verdict(MILD, 4.0), Verdict(MILD, 5.0)
    assert gravest([Verdict(NOT_JUDGED), Verdict(STABLE, 1.0), first, second]) is first
