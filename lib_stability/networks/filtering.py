"""Base-Anchored Filtering of a LoRA (Zhe et al., arXiv 2605.10439), as we read its abstract: nothing is trained, no picture is needed.

There: a LoRA's update is decomposed into spectral channels, their alignment with the principal subspace of the pretrained weight is measured,
strongly aligned channels are kept as what generalises, weakly aligned ones are suppressed as what may carry memorized content. What that leaves open
is chosen here: channels are the singular vectors of the update, the principal subspace is that of the base's largest singular values, and a channel
counts as aligned by how much more of it lies in that subspace, on the side of what comes in and of what goes out, than of a random direction would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch

from .base import Base
from .files import Layer, Network

#: Share of the base weight's energy (its squared singular values) that its principal subspace holds.
ENERGY = 0.8
#: Share of all channels that go, the least aligned.
SHARE = 0.5


@dataclass(frozen=True)
class Channels:
    """One layer's update as channels: ``outward`` times ``strength`` times ``inward``, and how aligned each is."""

    outward: torch.Tensor
    strength: torch.Tensor
    inward: torch.Tensor
    alignment: torch.Tensor


@dataclass(frozen=True)
class Row:
    """What was done to one layer: channels before and after, and its energy (squared Frobenius norm of the update at weight 1)."""

    layer: str
    channels: int
    kept: int
    energy: float
    energy_kept: float


def channels(layer: Layer, weight: torch.Tensor, energy: float = ENERGY) -> Channels:
    """Decompose a layer's update and hold it against the base's weight, a matrix of the same shape.

    Raises
    ------
    ValueError
        A weight of another shape.
    """
    up, down = layer.matrices
    if weight.shape != (up.shape[0], down.shape[1]):
        raise ValueError(f"an update of {up.shape[0]}×{down.shape[1]} does not fit a weight of {'×'.join(map(str, weight.shape))}")
    # The update's singular vectors from those of its thin factors: nothing of the size of the weight is decomposed for it.
    up_basis, up_rest = torch.linalg.qr(up)
    down_basis, down_rest = torch.linalg.qr(down.T)
    left, strength, right = torch.linalg.svd(layer.scale * up_rest @ down_rest.T, full_matrices=False)
    outward, inward = up_basis @ left, down_basis @ right.T
    return Channels(outward, strength, inward, _alignment(outward, inward, weight, energy))


def _alignment(outward: torch.Tensor, inward: torch.Tensor, weight: torch.Tensor, energy: float) -> torch.Tensor:
    """Mean over both sides of the share of a channel in the base's principal subspace, over that of a random direction; 1 is chance."""
    wide = weight.shape[0] <= weight.shape[1]
    thin = weight if wide else weight.T
    # The smaller side's Gram matrix: much cheaper than the singular vectors themselves, and precise enough for the largest.
    squares, near = torch.linalg.eigh(thin @ thin.T)
    squares, near = squares.clamp_min(0).flip(0), near.flip(1)
    sums = squares.cumsum(0)
    count = int((sums < energy * sums[-1]).sum()) + 1
    near = near[:, :count]
    far = thin.T @ near / squares[:count].sqrt().clamp_min(1e-12)
    left, right = (near, far) if wide else (far, near)
    out = (left.T @ outward).square().sum(0) * weight.shape[0] / count
    into = (right.T @ inward).square().sum(0) * weight.shape[1] / count
    return (out + into) / 2


def clean(network: Network, base: Base, share: float = SHARE, energy: float = ENERGY) -> tuple[Network, list[Row], list[str]]:
    """Suppress the least aligned channels of a LoRA.

    Parameters
    ----------
    network : Network
    base : Base
        The checkpoint that it was trained on.
    share : float
        Share of all its channels that go, from 0 to 1: those least aligned, whichever layers they are in.
    energy : float
        See :data:`ENERGY`.

    Returns
    -------
    cleaned : Network
        With the same layers, ranks and types.
    rows : list of Row
    missing : list of str
        Layers that the checkpoint does not have, or in another shape: they stay as they are.

    Raises
    ------
    ValueError
        No layer of it is in the checkpoint.
    """
    found, missing = {}, []
    for name, layer in network.layers.items():
        weight = base.weight(name)
        up, down = layer.matrices
        if weight is None or weight.shape != (up.shape[0], down.shape[1]):
            missing.append(name)
        else:
            found[name] = channels(layer, weight, energy)
    if not found:
        raise ValueError("the checkpoint has none of the layers that this network changes: another kind of model")
    every = torch.cat([one.alignment for one in found.values()]).sort().values
    limit = every[min(int(share * len(every)), len(every) - 1)] if share < 1 else torch.tensor(float("inf"))
    layers, rows = dict(network.layers), []
    for name, one in found.items():
        keep = one.alignment >= limit
        layers[name] = _rebuilt(layers[name], one, keep)
        energies = one.strength.square()
        rows.append(Row(name, len(keep), int(keep.sum()), float(energies.sum()), float(energies[keep].sum())))
    return replace(network, layers=layers), rows, missing


def _rebuilt(layer: Layer, found: Channels, keep: torch.Tensor) -> Layer:
    """The layer with some channels only, in tensors of the same shapes and types; both factors carry half of the strength."""
    if layer.scale == 0:
        return layer
    root = (found.strength * keep / abs(layer.scale)).sqrt()
    up, down = torch.zeros(layer.matrices[0].shape), torch.zeros(layer.matrices[1].shape)
    count = len(root)  # fewer than the rank where a side of the weight is
    up[:, :count], down[:count] = found.outward * root * (1 if layer.scale > 0 else -1), (found.inward * root).T
    return replace(layer, up=up.view_as(layer.up).to(layer.up.dtype), down=down.view_as(layer.down).to(layer.down.dtype))


def block(layer: str) -> str:
    """The part of the model that a layer belongs to, for a report."""
    if one := re.match(r"lora_(te\d?)_", layer):
        return {"te": "text encoder", "te1": "text encoder 1", "te2": "text encoder 2"}.get(one[1], one[1])
    one = re.match(r"lora_unet_((?:input|output|down|up)_blocks_\d+|middle_block|mid_block)", layer)
    return f"U-Net {one[1].replace('_', ' ')}" if one else "U-Net"
