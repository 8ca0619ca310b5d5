"""The testbed's U-Net with the two group norms that Stable Diffusion 1's sizes cannot give it, and its training.

Widened to 640 and 320 channels, 128 + 96 channels (a level's own and the skip connection's) fall into groups of 6, 8 and 9 where the testbed has 7 in
each. All other norms stay as they are (`spread`). So the two residual blocks that begin with these norms learn to put out, with the
other groups, what the shipped U-Net's put out for the same input. Nothing else changes.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from ..network.model import Testbed, alphas_cumprod
from ..network.train_kinds import draw_batch, make_latents
from ..network.unet_training import save_state
from ..world import eight_bits
from . import wide_time
from .wide_networks import UNET_SPREADS

log = logging.getLogger(__name__)

WEIGHTS = Path(__file__).parents[1] / "weights" / "forge.safetensors"
#: Residual blocks of the U-Net that begin with such a norm.
BLOCKS = ("up_blocks.1.resnets.1", "up_blocks.2.resnets.0")
#: Where the file of weights holds the wide time embedding.
TIME_EMBEDDING = "time_embedding"
#: Pictures whose latents the training uses: a part of the testbed's own training set suffices to copy a network.
ORDINARY_PICTURES = 3000
#: Shares of the captions that do not belong to the picture: the empty one, and another picture's.
SHARE_EMPTY, SHARE_OTHER = 0.3, 0.2
SAVE_EVERY = 50


class Regrouped(nn.GroupNorm):
    """Group norm whose channels count by shares of their own.

    Parameters
    ----------
    norm : GroupNorm
        The one that it stands for: its gain, bias and epsilon.
    shares : tensor of shape ``(groups, channels)``
        As :meth:`.wide_channels.Spread.shares` gives them: each channel has one group, each group's shares sum to 1.
    """

    def __init__(self, norm: nn.GroupNorm, shares: torch.Tensor) -> None:
        super().__init__(len(shares), norm.num_channels, norm.eps)
        self.load_state_dict(norm.state_dict())
        self.register_buffer("shares", shares.T.float().contiguous(), persistent=False)
        self.register_buffer("member", shares.argmax(0), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        centred = x - (x.mean((2, 3)) @ self.shares)[:, self.member, None, None]
        variance = (centred.square().mean((2, 3)) @ self.shares)[:, self.member]
        gain = (variance + self.eps).rsqrt() * self.weight
        return centred * gain[:, :, None, None] + self.bias[:, None, None]


def shares() -> torch.Tensor:
    """How 128 + 96 channels count when they are widened to 640 + 320."""
    return UNET_SPREADS[128].beside(UNET_SPREADS[96]).shares()


def regroup(bed: Testbed) -> Testbed:
    """Put the other norms into `bed` itself; its weights stay."""
    for name in BLOCKS:
        block = bed.unet.get_submodule(name)
        block.norm1 = Regrouped(block.norm1, shares())
    return bed


def part(state: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors of one submodule, float32, by their names in it."""
    return {key.removeprefix(name + "."): value.float() for key, value in state.items() if key.startswith(name + ".")}


def load(path: Path | str = WEIGHTS) -> Testbed:
    """The testbed that Stable Diffusion 1's sizes can hold: the shipped one with other norms and what was learned for them.

    It keeps its own time embedding, which the wide one agrees with at whole timesteps (`wide_time`).
    """
    bed, state = regroup(Testbed.load()), eight_bits.unpacked(load_file(str(path)))
    for name in BLOCKS:
        bed.unet.get_submodule(name).load_state_dict(part(state, name))
    return bed.eval()


def draw(data: dict, batch: int, rng: np.random.Generator, step: int) -> tuple[torch.Tensor, list[str]]:
    """Latents and captions of a batch; where guidance would ask for another caption's prediction the training does too."""
    x0, captions = draw_batch(data, batch, rng, step)
    others = captions[1:] + captions[:1]
    kinds = rng.random(batch)
    return x0, ["" if kind < SHARE_EMPTY else other if kind < SHARE_EMPTY + SHARE_OTHER else own for kind, own, other in zip(kinds, captions, others)]


def train(folder: Path, steps: int = 600, batch: int = 16, lr: float = 5e-4, seed: int = 5) -> Path:
    """Train the blocks of `BLOCKS`, or resume in `folder`; returns the path of the weights (the wide time embedding's in float16)."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "train.log", level=logging.INFO, format="%(asctime)s %(message)s")
    teacher, bed = Testbed.load(), regroup(Testbed.load())
    data = make_latents(teacher, folder, ordinary=ORDINARY_PICTURES)
    blocks = nn.ModuleDict({name.replace(".", "/"): bed.unet.get_submodule(name) for name in BLOCKS})
    blocks.requires_grad_(True)
    optimizer = torch.optim.AdamW(blocks.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    path, start, errors = folder / "forge.pt", 0, []
    if path.exists():
        state = torch.load(path, weights_only=True)
        blocks.load_state_dict(state["blocks"])
        optimizer.load_state_dict(state["optimizer"])
        start, errors = state["step"], state["errors"]
    alphas, began = alphas_cumprod(), time.monotonic()
    seen: dict[str, tuple] = {}
    for name in BLOCKS:
        teacher.unet.get_submodule(name).register_forward_hook(lambda _, given, result, name=name: seen.update({name: (given, result)}))
    for step in tqdm(range(start, steps), initial=start, total=steps, desc="regrouped u-net", mininterval=10):
        rng = np.random.default_rng((seed, step))
        torch.manual_seed(seed * 1_000_003 + step)
        x0, captions = draw(data, batch, rng, step)
        t = ((torch.arange(batch) + torch.rand(batch)) * (1000 / batch)).long().clamp_(0, 999)
        level = alphas[t][:, None, None, None]
        with torch.no_grad():
            teacher.unet(level.sqrt() * x0 + (1 - level).sqrt() * torch.randn_like(x0), t, teacher.encode_text(captions))
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 20, (steps - step) / (0.7 * steps))
        loss = sum(functional.mse_loss(bed.unet.get_submodule(name)(*given), result) / result.var() for name, (given, result) in seen.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
        if step % 20 == 0 or step + 1 == steps:
            log.info("regrouped u-net step %d relative error %.3g (%.0f s)", step, np.mean(errors[-20:]), time.monotonic() - began)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_state(path, blocks=blocks.state_dict(), optimizer=optimizer.state_dict(), step=step + 1, errors=errors)
    kept = eight_bits.packed({f"{name}.{key}": value for name in BLOCKS for key, value in bed.unet.get_submodule(name).state_dict().items()})
    kept |= {f"{TIME_EMBEDDING}.{key}": value for key, value in wide_time.solve(teacher.unet.time_embedding).items()}
    save_file({key: value.contiguous() for key, value in kept.items()}, str(folder / WEIGHTS.name))
    return folder / WEIGHTS.name
