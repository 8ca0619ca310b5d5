"""What is sampled again behind its batch: copies that damping came too late for from their own noise, and in the mode Replace from other seeds."""

from __future__ import annotations

import pytest
import torch
from conftest import FORGE
from test_judging import FULL, MEMORIZED, picture, pixels, said, verdict

from lib_stability.guard.judging import Judging
from lib_stability.guard.verdict import AGAIN, LATE
from lib_stability.trail.infotext import REPLACED_KEY, parse_text

ORDINARY = "small blue square"


@pytest.fixture
def blind(monkeypatch):
    """No detector flags anything before this evaluation of a pass, counted from 0."""

    def until(number: int, hires: bool | None = None) -> None:
        judge = Judging.judge

        def late(self, evaluation):
            judge(self, evaluation)
            wide = evaluation.x.shape[-1] > 16
            if evaluation.number < number and hires in (None, wide):
                nobody = torch.zeros(len(evaluation.x), dtype=torch.bool)
                evaluation.judged = {name: one._replace(unstable=nobody) for name, one in evaluation.judged.items()}
                evaluation.unstable = None

        monkeypatch.setattr(Judging, "judge", late)

    return until


def params(done, number: int = 0) -> dict[str, str]:
    return parse_text(done.infotexts[number + done.index_of_first_image])[2]


def test_a_late_flag_is_sampled_again(generate, blind):
    blind(FULL["steps"] - 1)
    off = generate(None, prompt=MEMORIZED, **FULL)
    spoilt = generate({"mode": "damp", "again": False}, prompt=MEMORIZED, **FULL)
    assert verdict(spoilt).outcome == LATE and verdict(spoilt).damped == 1
    done = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    one = verdict(done)
    assert one.again and one.flagged_at == verdict(spoilt).flagged_at == FULL["steps"] and one.damped == FULL["steps"]
    assert params(done)["Seed"] == "11" and pixels(done) != pixels(off) and pixels(done) != pixels(spoilt)
