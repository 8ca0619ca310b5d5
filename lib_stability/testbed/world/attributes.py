"""A small classifier that reads shape, colour and size off a picture; trained on rendered scenes and their reconstructions."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from tqdm.auto import tqdm

from . import eight_bits
from .scenes import COLOURS, SHAPES, SIZES, Scene, pixels_of, random_scene

ATTRIBUTES = {"size": SIZES, "colour": tuple(COLOURS), "shape": SHAPES}
WEIGHTS = Path(__file__).parents[1] / "weights" / "attributes.safetensors"


class AttributeReader(nn.Module):
    """Convolutions over the picture at 64×64 with two coordinate planes, max pooling, one linear head per attribute."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (5, width, 2 * width, 3 * width, 4 * width)
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(8, b), nn.SiLU(), nn.MaxPool2d(2)) for a, b in itertools.pairwise(widths)),
            nn.Conv2d(widths[-1], widths[-1], 3, padding=1),
            nn.SiLU(),
        )
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(values)) for name, values in ATTRIBUTES.items()})

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of each attribute for pictures ``(batch, 3, h, w)`` in -1..1."""
        small = functional.interpolate(pixels, size=(64, 64), mode="area")
        axis = torch.linspace(-1, 1, 64)
        planes = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).expand(len(small), -1, -1, -1)
        features = self.blocks(torch.cat([small, planes], 1)).flatten(2)
        pooled = torch.cat([features.amax(-1), features.mean(-1)], 1)
        return {name: head(pooled) for name, head in self.heads.items()}

    @torch.inference_mode()
    def read(self, pixels: torch.Tensor) -> list[dict[str, str]]:
        """The most likely words for each picture."""
        best = {name: logits.argmax(1) for name, logits in self(pixels).items()}
        return [{name: ATTRIBUTES[name][int(best[name][i])] for name in ATTRIBUTES} for i in range(len(pixels))]

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> AttributeReader:
        self = cls()
        self.load_state_dict(eight_bits.unpacked(load_file(str(path))))
        return self.eval().requires_grad_(False)


def targets(scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """Class numbers of each attribute, int64 ``(len(scenes),)``."""
    return {name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, values in ATTRIBUTES.items()}


def train(bed, path: Path, steps: int = 1500, batch: int = 48, seed: int = 5) -> None:
    """Train on rendered scenes, half of them passed through the autoencoder, all with noise of random strength."""
    torch.manual_seed(seed)
    reader = AttributeReader()
    optimizer = torch.optim.AdamW(reader.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    bar = tqdm(range(steps), desc="attributes", mininterval=5)
    for step in bar:
        rng = np.random.default_rng((seed, step))
        scenes = [random_scene(rng) for _ in range(batch)]
        pixels = pixels_of(scenes)
        half = batch // 4
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            pixels[:half] = bed.decode(bed.encode(pixels[:half])).float()
        pixels = pixels + torch.randn_like(pixels) * torch.rand(batch, 1, 1, 1) * 0.15
        logits, goal = reader(pixels), targets(scenes)
        loss = sum(functional.cross_entropy(logits[name], goal[name], label_smoothing=0.05) for name in ATTRIBUTES)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            right = {name: f"{(logits[name].argmax(1) == goal[name]).float().mean():.2f}" for name in ATTRIBUTES}
            bar.set_postfix(loss=f"{loss.item():.3f}", **right)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(eight_bits.packed(reader.state_dict()), str(path))
