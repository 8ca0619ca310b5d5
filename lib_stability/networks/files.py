"""LoRA files as kohya's trainers write them and every web UI reads them: for each layer a pair of thin matrices, and a factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_DOWN, _UP, _ALPHA = "lora_down.weight", "lora_up.weight", "alpha"
#: Of convolutions split in three, and of weights split in direction and length: what they add is no product of two matrices.
_OTHER = ("lora_mid.weight", "dora_scale")


@dataclass(frozen=True)
class Layer:
    """What one layer's weight is changed by: ``alpha / rank`` times `up` after `down`.

    Parameters
    ----------
    down : tensor of shape ``(rank, in)`` or, of a convolution, ``(rank, in, height, width)``
    up : tensor of shape ``(out, rank)`` or ``(out, rank, 1, 1)``
    alpha : float
        The rank, where the file says none.
    """

    down: torch.Tensor
    up: torch.Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def matrices(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`up` and `down` as float32 matrices; a convolution's window counts as part of what comes in."""
        return self.up.float().flatten(1), self.down.float().flatten(1)

    @property
    def update(self) -> torch.Tensor:
        """What is added at weight 1, a float32 matrix ``(out, in)``."""
        up, down = self.matrices
        return self.scale * up @ down


@dataclass(frozen=True)
class Network:
    """A file: layers by kohya's names, all other tensors as they are, and what the file says about itself."""

    layers: dict[str, Layer]
    others: dict[str, torch.Tensor]
    about: dict[str, str]


def read(path: Path | str) -> Network:
    """Read a file.

    Raises
    ------
    ValueError
        No safetensors file, or one without a LoRA's layers.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors, about = {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error})") from None
    layers = {}
    for name in sorted({name.partition(".")[0] for name in tensors}):
        down, up, alpha = (tensors.get(f"{name}.{part}") for part in (_DOWN, _UP, _ALPHA))
        if down is None or up is None or any(f"{name}.{part}" in tensors for part in _OTHER):
            continue
        layers[name] = Layer(down, up, float(down.shape[0] if alpha is None else alpha))
    if not layers:
        raise ValueError(f"{path} holds no layers of a LoRA (lora_down and lora_up)")
    own = {f"{name}.{part}" for name in layers for part in (_DOWN, _UP, _ALPHA)}
    return Network(layers, {name: value for name, value in tensors.items() if name not in own}, about)


def write(path: Path | str, network: Network) -> None:
    """Write a file; every tensor keeps its type."""
    tensors = dict(network.others)
    for name, layer in network.layers.items():
        tensors |= {f"{name}.{_DOWN}": layer.down.contiguous(), f"{name}.{_UP}": layer.up.contiguous()}
        tensors[f"{name}.{_ALPHA}"] = torch.tensor(layer.alpha, dtype=layer.down.dtype if layer.down.is_floating_point() else torch.float16)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, str(path), metadata=_plain(network.about))


def _plain(about: Mapping[str, str]) -> dict[str, str] | None:
    return {str(key): str(value) for key, value in about.items()} or None
