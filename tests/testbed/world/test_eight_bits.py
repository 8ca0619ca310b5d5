"""Weights in eight bits: how near they come to what they stand for, and files that cannot be read."""

import pytest
import torch

from lib_stability.testbed.world import eight_bits
from lib_stability.testbed.world.eight_bits import SCALE, packed, unpacked


@pytest.fixture
def tensors():
    torch.manual_seed(1)
    kernel = torch.randn(24, 8, 3, 3) * torch.logspace(-6, 2, 24)[:, None, None, None]
    kernel[3] = 0
    return {"conv.weight": kernel, "norm.weight": torch.randn(64), "small.weight": torch.randn(4, 4), "positions": torch.arange(77)[None]}


def test_rows_come_back_within_half_a_step_each(tensors):
    held = packed(tensors)
    assert held["conv.weight"].dtype == torch.int8 and held["conv.weight" + SCALE].shape == (24,)
    again = unpacked(held)
    assert again.keys() == tensors.keys()
    largest = tensors["conv.weight"].flatten(1).abs().amax(1)[:, None, None, None]
    error = (again["conv.weight"] - tensors["conv.weight"]).abs()
    assert (error <= largest * (0.5 / eight_bits.STEPS + 2**-11) + 2**-25).all() and not again["conv.weight"][3].any()


def test_what_there_is_nothing_to_save_by_stays_as_it_was(tensors):
    held, again = packed(tensors), unpacked(packed(tensors))
    assert held["norm.weight"].dtype == held["small.weight"].dtype == torch.float16 and held["positions"].dtype == torch.int64
    for name in ("norm.weight", "small.weight"):
        assert torch.equal(again[name], tensors[name].half().float())
    assert torch.equal(again["positions"], tensors["positions"])


def test_what_is_read_is_what_sixteen_bits_hold(tensors):
    for value in unpacked(packed(tensors)).values():
        assert value.dtype != torch.float32 or torch.equal(value, value.half().float())


@pytest.mark.parametrize("scales", [None, torch.ones(23), torch.ones(24, 1)])
def test_eight_bits_without_fitting_scales_are_refused(tensors, scales):
    held = packed(tensors)
    del held["conv.weight" + SCALE]
    if scales is not None:
        held["conv.weight" + SCALE] = scales
    with pytest.raises(ValueError, match=r"conv\.weight has no scales that fit"):
        unpacked(held)
