"""Judging pictures of the testbed: is it a copy, does it show what was asked for, is it clean.

A copy is judged on pixels, never on the guard's own numbers. `COPY` and `TEMPLATE_COPY` stand clear of what ordinary runs reach against their
nearest training picture (``python -m lib_stability testbed neighbours`` measures both).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from . import wording
from .attributes import ATTRIBUTES, AttributeReader
from .captions import Memorized
from .scenes import SIZE, render, render_backdrop

#: Correlation with the training picture from which a picture counts as a copy of it.
COPY = 0.7
#: The same for a template, on its backdrop alone.
TEMPLATE_COPY = 0.8
#: Side of the tiles that templates are compared on, and the share of them that the object cannot cover.
TILE, FREE_TILES = 16, 0.6


def unit_rows(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures as zero-mean rows of unit length, ``(batch, pixels)``."""
    rows = pixels.flatten(1)
    return torch.nn.functional.normalize(rows - rows.mean(1, keepdim=True), dim=1)


def to_pixels(array: np.ndarray) -> torch.Tensor:
    """One rendered picture ``(h, w, 3)`` in 0..255 as ``(3, h, w)`` in -1..1."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32)).permute(2, 0, 1) / 127.5 - 1


def correlation(pixels: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Pearson correlation of each picture ``(batch, 3, h, w)`` with its target (same shape, or one for all): ``(batch,)``."""
    return (unit_rows(pixels) * unit_rows(target if target.ndim == 4 else target[None])).sum(1)


def backdrop_correlation(pixels: torch.Tensor, backdrop: torch.Tensor) -> torch.Tensor:
    """Correlation over the 60 % of tiles that are closest to the backdrop: an object covers fewer than the rest. ``(batch,)``."""
    count = SIZE // TILE
    tiles = pixels.unflatten(3, (count, TILE)).unflatten(2, (count, TILE)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    goal = backdrop.expand_as(pixels).unflatten(3, (count, TILE)).unflatten(2, (count, TILE)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    error = (tiles - goal).square().mean(-1)
    keep = error.argsort(1)[:, : int(FREE_TILES * count * count)]
    pick = keep[..., None].expand(-1, -1, tiles.shape[-1])
    return (unit_rows(tiles.gather(1, pick)) * unit_rows(goal.gather(1, pick))).sum(1)


@lru_cache(256)
def _pictures_of(item: Memorized) -> torch.Tensor:
    return unit_rows(torch.stack([to_pixels(render(scene)) for scene in item.pictures]))


@lru_cache(32)
def _backdrop_of(item: Memorized) -> torch.Tensor:
    return to_pixels(render_backdrop(item.scene.backdrop))


def resemblance(pixels: torch.Tensor, items: Sequence[Memorized]) -> torch.Tensor:
    """How much each picture resembles each memory, whichever of its pictures is nearest; templates on the backdrop alone. ``(batch, items)``."""
    found, rows = torch.empty(len(pixels), len(items)), unit_rows(pixels)
    for index, item in enumerate(items):
        if item.kind == "template":
            found[:, index] = backdrop_correlation(pixels, _backdrop_of(item))
        else:
            found[:, index] = (rows @ _pictures_of(item).T).amax(1)
    return found


def limits(items: Sequence[Memorized]) -> torch.Tensor:
    """The resemblance from which a picture is a copy, of each memory: ``(items,)``."""
    return torch.tensor([TEMPLATE_COPY if item.kind == "template" else COPY for item in items])


def likeness(pixels: torch.Tensor, items: Sequence[Memorized]) -> torch.Tensor:
    """How much each picture resembles what its caption memorized: correlation, on the backdrop alone for templates. ``(batch,)``."""
    return torch.cat([resemblance(pixels[index : index + 1], [item])[0] for index, item in enumerate(items)])


def own_copies(pixels: torch.Tensor, items: Sequence[Memorized]) -> torch.Tensor:
    """Whether each picture is a copy of what its own caption memorized: bool ``(batch,)``."""
    return likeness(pixels, items) > limits(items)


def any_copies(pixels: torch.Tensor, items: Sequence[Memorized]) -> torch.Tensor:
    """Whether each picture is a copy of any of the memories `items`: bool ``(batch,)``."""
    return (resemblance(pixels, items) > limits(items)).any(1)


def attributes_right(reader: AttributeReader, pixels: torch.Tensor, items: Sequence[Memorized]) -> dict[str, float]:
    """Share of pictures that show what their captions ask for, by attribute: size, colour and shape, but for those that no caption names."""
    right: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    for found, item in zip(reader.read(pixels), items):
        for name, value in wording.asked(item.caption).items():
            right[name].append(found[name] == value)
    return {name: float(np.mean(known)) for name, known in right.items() if known}
