"""A LoRA of the testbed for its export in Stable Diffusion 1.5's sizes, which Forge loads: thin matrices between wide layers, the same function.

Widening a layer is linear in its weight, so what a LoRA adds is widened by widening the layer with and without it; the difference has the same rank.
"""

from __future__ import annotations

import torch

from ...networks import files
from ..export import ldm_names, wide_networks, wide_norms
from ..network.model import Testbed
from . import layers
from .merging import merged


def widened(network: files.Network) -> files.Network:
    """The same network for the checkpoint of ``testbed export --forge``.

    Raises
    ------
    ValueError
        A network that is none of the testbed's.
    """
    bed = wide_norms.load()
    plain, changed = (_tensors(one) for one in (bed, merged(bed, network)))
    found = {}
    for name, layer in network.layers.items():
        update = (changed[name] - plain[name]).float()
        left, strength, right = torch.svd_lowrank(update.flatten(1), q=layer.rank + 4, niter=4)
        root = strength[: layer.rank].sqrt()
        down = (right[:, : layer.rank] * root).T.reshape(layer.rank, *update.shape[1:])
        up = (left[:, : layer.rank] * root).reshape(update.shape[0], layer.rank, *(1 for _ in update.shape[2:]))
        found[name] = files.Layer(down.half(), up.half(), float(layer.rank))
    return files.Network(found, {}, network.about)


def _tensors(bed: Testbed) -> dict[str, torch.Tensor]:
    """The wide weights of all layers that a LoRA changes, by their names in its file."""
    width, time = bed.unet.config.block_out_channels[0], bed.unet.time_embedding.linear_2.out_features
    embedding = {"linear_1.weight": torch.zeros(time, width), "linear_1.bias": torch.zeros(time)}
    embedding |= {"linear_2.weight": torch.zeros(time, time), "linear_2.bias": torch.zeros(time)}  # no LoRA changes it
    unet = wide_networks.unet(bed.unet, embedding)
    text = wide_networks.text(bed.text, bed.text.get_input_embeddings().weight)
    names = {theirs: unet[ours] for ours, theirs in ldm_names.unet(unet, bed.unet.config).items()}
    names |= {theirs: text[ours] for ours, theirs in ldm_names.text(text).items()}
    found = {layers.kohya(name): value for name, value in names.items() if name.endswith(".weight")}
    return {name: found[name].detach() for name in layers.of(bed)}
