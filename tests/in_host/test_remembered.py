"""What the web UI in small remembers of the network's answers is what the network would say."""

from __future__ import annotations

import pytest
import torch
from remembered import KEPT, Remembered

from lib_stability.shell.counting import Dispatched


@pytest.fixture
def asked():
    """A network that counts how often it is asked, with a weight that can be changed."""
    calls, weight = [], [2.0]

    def answer(x):
        calls.append(x)
        return x * weight[0]

    return Remembered("twice", answer, lambda: weight[0], ""), calls, weight


def test_the_same_is_asked_once(asked):
    network, calls, _ = asked
    x = torch.arange(4.0)
    assert torch.equal(network(x), network(x.clone())) and len(calls) == 1
    network(x + 1e-7)
    assert len(calls) == 2
    network(x.double())
    network(x.view(2, 2))
    assert len(calls) == 4
    network(torch.arange(4.0).view(2, 2).t())  # the same numbers in another order of the memory
    network(torch.arange(4.0).view(2, 2).t().contiguous())
    assert len(calls) == 6
    network(torch.tensor(1.0))
    assert float(network(torch.tensor(1.0))) == 2.0 and len(calls) == 7


def test_other_weights_are_asked_anew(asked):
    network, calls, weight = asked
    x = torch.ones(2)
    assert network(x).tolist() == [2, 2]
    weight[0] = 3.0
    assert network(x).tolist() == [3, 3]
    weight[0] = 2.0
    assert network(x).tolist() == [2, 2] and len(calls) == 2


def test_who_writes_to_an_answer_does_not_change_the_next(asked):
    network, _, _ = asked
    x = torch.ones(2)
    network(x).zero_()
    network(x).zero_()
    assert network(x).tolist() == [2, 2]


def test_the_oldest_are_forgotten(asked):
    network, calls, _ = asked
    network.kept = 2
    for value in (1.0, 2.0, 1.0, 3.0, 1.0, 2.0):
        network(torch.tensor([value]))
    assert len(calls) == 4 and KEPT > 1000


def test_what_failed_is_asked_again(asked):
    _, calls, _ = asked

    def answer(x):
        calls.append(x)
        if len(calls) == 1:
            raise RuntimeError("out of memory")
        return x

    network, x = Remembered("at the second time", answer, folder=""), torch.ones(2)
    with pytest.raises(RuntimeError, match="out of memory"):
        network(x)
    assert network(x).tolist() == network(x).tolist() == [1, 1] and len(calls) == 2


def test_processes_tell_each_other_through_a_folder(asked, tmp_path):
    _, calls, weight = asked
    x, other = torch.ones(2), torch.zeros(2)

    def process(name="twice", answer=lambda x: x * weight[0]):
        return Remembered(name, lambda x: calls.append(x) or answer(x), lambda: weight[0], str(tmp_path))

    first = process()
    assert first(x).tolist() == first(x).tolist() == [2, 2] and len(calls) == 1
    second = process()
    second(x).zero_()
    assert second(x).tolist() == first(x).tolist() == [2, 2] and len(calls) == 1 and second(x).dtype == x.dtype
    weight[0] = 3.0
    assert process()(x).tolist() == [3, 3] and process()(other).tolist() == [0, 0] and len(calls) == 3
    assert process("another function")(x).tolist() == [3, 3] and len(calls) == 4
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy"}


@pytest.mark.parametrize("shared", [False, True])
def test_who_counts_waits_sees_the_same_whether_an_answer_is_new_or_known(tmp_path, shared):
    seen = []
    for _ in range(2):
        network = Remembered("one more", lambda x: x + 1, folder=str(tmp_path) if shared else "")
        for _ in range(2):
            with Dispatched() as counted:
                network(torch.ones(3))
            seen.append(counted.synchronisations)
    assert len(set(seen)) == 1, seen


def test_networks_that_are_on_are_part_of_it(host, generate, lora):
    from modules import sd_models

    plain = generate().images[0].tobytes()
    changed = generate(prompt=f"big red circle {lora('mine')}").images[0].tobytes()
    evaluate, before = sd_models._network().answer, []

    def counted(*tensors):
        before.append(len(tensors))
        return evaluate(*tensors)

    sd_models._network().answer = counted
    try:
        assert generate().images[0].tobytes() == plain != changed
        assert not before, "the weights are as they were, and so are the answers"
    finally:
        sd_models._network().answer = evaluate
