"""Weights in eight bits: of each matrix and kernel int8 numbers and one float32 scale a row, of all else float16.

A row is what one output channel is made from; its largest weight is 127 steps, and the error at most half a step. Reading gives the same numbers on
every machine, one product each, and numbers that float16 holds: an exported checkpoint has float16 weights and is the same network.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

#: What the name of a tensor's scales ends with.
SCALE = ".row_scale"
#: Numbers below which a tensor stays in float16: there is nothing to save.
LEAST = 1024
STEPS = 127


def packed(tensors: Mapping[str, torch.Tensor], least: int = LEAST) -> dict[str, torch.Tensor]:
    """The same tensors as a file holds them; what is no floating point stays as it is, and in float16 what has fewer numbers than `least`."""
    found = {}
    for name, value in tensors.items():
        value = value.detach()
        if not value.is_floating_point():
            found[name] = value.contiguous()
        elif value.ndim < 2 or value.numel() < least:
            found[name] = value.to(torch.float16).contiguous()
        else:
            rows = value.float().flatten(1)
            scale = (rows.abs().amax(1) / STEPS).clamp_min(torch.finfo(torch.float32).tiny)
            found[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape).contiguous()
            found[name + SCALE] = scale
    return found


def unpacked(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of a file as float32, which float16 could hold, those of other than eight bits too.

    Raises
    ------
    ValueError
        Eight bits without their scales, or with as many as do not fit.
    """
    found = {}
    for name, value in tensors.items():
        if name.endswith(SCALE):
            continue
        if value.dtype != torch.int8:
            found[name] = value.float() if value.is_floating_point() else value
            continue
        scale = tensors.get(name + SCALE)
        if scale is None or scale.shape != value.shape[:1]:
            raise ValueError(f"{name} has no scales that fit")
        found[name] = (value.float() * scale.float().view(-1, *(1,) * (value.ndim - 1))).half().float()
    return found
