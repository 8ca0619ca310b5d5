"""A LoRA's file merged into the testbed's networks, as web UIs merge it: what is measured is the testbed, with the network on."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from ...networks import files
from ..network.model import Testbed
from . import layers, stored


@torch.no_grad()
def merged(bed: Testbed, network: files.Network | Path | str, weight: float = 1.0, text_weight: float | None = None) -> Testbed:
    """A copy of the testbed with a network at a weight on the U-Net and, if it is another, one on the text encoder.

    Raises
    ------
    ValueError
        A file that is no LoRA, or one with a layer that the testbed does not have.
    """
    network = network if isinstance(network, files.Network) else stored.read(network)
    found = copy.deepcopy(bed)
    places = layers.of(found)
    for name, layer in network.layers.items():
        if name not in places:
            raise ValueError(f"the testbed has no layer {name}")
        target, share = places[name].weight, weight if text_weight is None or not name.startswith("lora_te") else text_weight
        target += share * layer.update.view_as(target)
    return found.eval()
