"""The testbed's LoRAs as the repository holds them: kohya's tensors in eight bits, half the size of what web UIs read.

``testbed lora export`` writes what web UIs read. The numbers are the same: eight bits become numbers that float16 holds.
"""

from __future__ import annotations

from pathlib import Path

from ...networks import files
from ..world import eight_bits

_PARTS = ("down", "up")
#: Its matrices are thin: from so many numbers on eight bits save something.
LEAST = 64


def write(path: Path | str, network: files.Network) -> None:
    """Write a network in eight bits."""
    layers, scales = {}, {}
    for name, layer in network.layers.items():
        # One scale for each of the few channels in between, not for each of the many that come out.
        held = eight_bits.packed({"down": layer.down, "up": layer.up.transpose(0, 1)}, LEAST)
        layers[name] = files.Layer(held["down"], held["up"].transpose(0, 1), layer.alpha)
        scales |= {f"{name}.{part}{eight_bits.SCALE}": held[part + eight_bits.SCALE] for part in _PARTS if part + eight_bits.SCALE in held}
    files.write(path, files.Network(layers, network.others | scales, network.about))


def read(path: Path | str) -> files.Network:
    """The network of a file in float16, whether it holds eight bits or not.

    Raises
    ------
    ValueError
        No LoRA, or eight bits without scales that fit.
    """
    network = files.read(path)
    layers, others = {}, dict(network.others)
    for name, layer in network.layers.items():
        held = {"down": layer.down, "up": layer.up.transpose(0, 1)}
        scales = {part + eight_bits.SCALE: others.pop(f"{name}.{part}{eight_bits.SCALE}", None) for part in _PARTS}
        found = eight_bits.unpacked(held | {part: scale for part, scale in scales.items() if scale is not None})
        layers[name] = files.Layer(found["down"].half(), found["up"].transpose(0, 1).contiguous().half(), layer.alpha)
    return files.Network(layers, others, network.about)
