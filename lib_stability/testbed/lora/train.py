"""Training of the testbed's LoRAs, as trainers do it: pictures with captions, small batches, no caption dropout, a file every few epochs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...networks import files
from ..network.model import Testbed, alphas_cumprod
from ..network.unet_training import fast
from . import layers, pictures, stored

FOLDER = Path(__file__).parents[1] / "weights" / "lora"


@dataclass(frozen=True)
class Recipe:
    """One training.

    Parameters
    ----------
    name : str
        Of its files.
    count, seed : int
        Pictures, and what draws their scenes.
    saves : tuple of int
        Steps after which a file is written, the last one the end of the training.
    rank, batch : int
    rate : float
        Learning rate, of U-Net and text encoder alike.
    """

    name: str
    count: int
    seed: int
    saves: tuple[int, ...]
    rank: int = 4
    batch: int = 4
    rate: float = 5e-3

    @property
    def scenes(self) -> list:
        return pictures.scenes(self.count, self.seed)

    def epoch(self, step: int) -> int:
        """Epochs that are over after so many steps."""
        return step * self.batch // self.count

    def path(self, step: int, folder: Path = FOLDER) -> Path:
        """The file of a step: the last one without a number, as trainers name them."""
        return folder / (f"{self.name}.safetensors" if step == self.saves[-1] else f"{self.name}-{self.epoch(step):06d}.safetensors")


class Adapter(nn.Module):
    """What is trained for one layer: it adds `up` after `down` to what the layer puts out."""

    def __init__(self, layer: nn.Module, rank: int) -> None:
        super().__init__()
        out, into, *window = layer.weight.shape
        self.down, self.up = nn.Parameter(torch.empty(rank, into, *window)), nn.Parameter(torch.zeros(out, rank, *(1 for _ in window)))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.padding = window[0] // 2 if window else None
        layer.register_forward_hook(self._add)

    def _add(self, layer: nn.Module, taken: tuple, given: torch.Tensor) -> torch.Tensor:
        if self.padding is None:
            return given + functional.linear(functional.linear(taken[0], self.down), self.up)
        return given + functional.conv2d(functional.conv2d(taken[0], self.down, padding=self.padding), self.up)


@torch.no_grad()
def _latents(bed: Testbed, recipe: Recipe) -> torch.Tensor:
    return torch.cat([bed.encode(part) for part in pictures.targets(recipe.scenes).split(20)])


def train(recipe: Recipe, folder: Path, tick: Callable[[float], None] = lambda loss: None) -> list[Path]:
    """Train one LoRA on the shipped testbed; returns the files that it wrote into `folder`. A second training on one machine gives the same."""
    torch.manual_seed(recipe.seed)
    bed, chosen = Testbed.load(), recipe.scenes
    latents, captions, alphas = _latents(bed, recipe), [pictures.caption(scene) for scene in chosen], alphas_cumprod()
    adapters = {name: Adapter(layer, recipe.rank) for name, layer in layers.of(bed).items()}
    parameters = [one for adapter in adapters.values() for one in adapter.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, betas=(0.9, 0.99), weight_decay=0.01)
    order, rng, written = np.zeros(0, dtype=int), np.random.default_rng(recipe.seed), []
    for step in range(recipe.saves[-1]):
        if len(order) < recipe.batch:  # epochs: every picture comes once before one comes again
            order = np.concatenate([order, rng.permutation(recipe.count)])
        chosen, order = order[: recipe.batch], order[recipe.batch :]
        x0 = latents[chosen]
        # One timestep per stratum: less noise in the loss of a small batch than independent draws.
        t = ((torch.arange(recipe.batch) + torch.rand(recipe.batch)) * (1000 / recipe.batch)).long().clamp_(0, 999)
        noise, level = torch.randn_like(x0), alphas[t][:, None, None, None]
        with sdpa_kernel(SDPBackend.MATH):
            with fast():
                context = bed.encode_text([captions[number] for number in chosen])
                predicted = bed.unet(level.sqrt() * x0 + (1 - level).sqrt() * noise, t, context).sample
            loss = functional.mse_loss(predicted.float(), noise)
            optimizer.zero_grad()
            loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * min(1.0, (step + 1) / 20) * _cosine(step / recipe.saves[-1])
        optimizer.step()
        tick(loss.item())
        if step + 1 in recipe.saves:
            written.append(recipe.path(step + 1, folder))
            _write(written[-1], adapters, recipe, step + 1)
    return written


def _cosine(done: float) -> float:
    """The usual schedule of a learning rate, from 1 down to a tenth."""
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


def _write(path: Path, adapters: dict[str, Adapter], recipe: Recipe, step: int) -> None:
    """In eight bits, as the repository holds them; the metadata's names are kohya's where it has one."""
    found = {name: files.Layer(one.down.detach().half(), one.up.detach().half(), float(recipe.rank)) for name, one in adapters.items()}
    about = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(recipe.rank),
        "ss_network_alpha": str(recipe.rank),
        "ss_base_model_version": "sd_v1",
        "ss_steps": str(step),
        "ss_epoch": str(recipe.epoch(step)),
        "ss_num_train_images": str(recipe.count),
        "testbed_recipe": json.dumps(asdict(recipe)),
    }
    stored.write(path, files.Network(found, {}, about))
