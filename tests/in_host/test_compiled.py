"""Web UIs whose network is compiled, or lies in memory channels last: verdicts and pictures as ever, and nothing is computed anew for the guard."""

from __future__ import annotations

import copy

import pytest
import torch
from test_judging import FULL, MEMORIZED, pixels, verdict

from lib_stability.guard.outcome import AGAIN, STEERED

ORDINARY = "small blue square"


class Graphs(list):
    """What was compiled, and whether anything should be."""

    compiles = False


@pytest.fixture(params=["channels last", "compiled"])
def network(request, monkeypatch, host):
    """Put such a network into the host; counts how often it was compiled."""
    from modules import sd_models

    compiled = Graphs()
    compiled.compiles = request.param == "compiled"
    if request.param == "compiled":

        def backend(graph, inputs):
            compiled.append(len(inputs))
            return graph.forward

        torch._dynamo.reset()
        unet = torch.compile(copy.deepcopy(sd_models._bed().unet), backend=backend, dynamic=True)
    else:
        unet = copy.deepcopy(sd_models._bed().unet).to(memory_format=torch.channels_last)

    def evaluate(z, t, cross):
        if request.param == "channels last":
            z = z.contiguous(memory_format=torch.channels_last)
        found = unet(z, t, cross).sample
        assert found.is_contiguous() or request.param == "channels last"
        return found.float()

    monkeypatch.setattr(sd_models, "_network", lambda: evaluate)
    yield compiled
    torch._dynamo.reset()


def test_pictures_and_verdicts_are_as_ever(network, generate, options):
    def made(guard, prompt):
        done = generate(guard, prompt=prompt, **FULL)
        return pixels(done), verdict(done) if guard is not None else None

    plain, _ = made(None, ORDINARY)
    known = len(network)
    assert known or not network.compiles
    for guard in ({}, {"mode": "damp"}):
        same, judged = made(guard, ORDINARY)
        assert same == plain and judged.verdict == "stable" and judged.score is not None
    copied, _ = made(None, MEMORIZED)
    same, judged = made({}, MEMORIZED)
    assert same == copied and judged.verdict == "strong" and len(network) == known, "judging asks the network nothing new"
    damped, judged = made({"mode": "damp"}, MEMORIZED)
    assert damped != copied and judged.outcome in (STEERED, AGAIN) and judged.carriers
    # A version alone is a batch of one: at most one graph more.
    assert len(network) <= known + 1
