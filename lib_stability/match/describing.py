"""What turns pictures into rows of unit length whose products are likenesses: an autoencoder's latents, a copy detector, or pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from . import likeness

#: Side of the squares that an autoencoder is shown, and of the grid that its latents are pooled to: a coarse one for indexes, which finds altered
#: pictures too; a fine one where a picture is held against a few, which tells copies from what is merely composed alike.
SIDE, GRID, FINE = 256, 8, 16
#: Side of the squares that are compared by their pixels.
PIXELS = 16
#: The ways to describe.
KINDS = VAE, SSCD, PLAIN = "vae", "sscd", "pixels"
#: Cosine of two descriptions of the same picture from which on they were made by the same weights: computing in half precision keeps .9999.
SAME = 0.99


@dataclass(frozen=True)
class Describer:
    """One way to describe.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    side : int
        Of the squares that :attr:`rows` wants.
    rows : callable
        From squares, uint8 ``(pictures, side, side, 3)``, to float32 ``(pictures, size)`` of unit length.
    name : str
        Of the weights, for people.
    """

    kind: str
    side: int
    rows: Callable[[np.ndarray], np.ndarray]
    name: str = ""

    @cached_property
    def print(self) -> np.ndarray:
        """What it makes of one fixed picture: by this the same weights are known again, in whatever file, precision or program they are."""
        return self.rows(pattern(self.side)[None])[0]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two prints are those of the same weights."""
    return len(one) == len(other) and float(one @ other) >= SAME


def pattern(side: int) -> np.ndarray:
    """A picture that never changes: slopes, a disc and stripes of plain colours."""
    y, x = np.mgrid[:side, :side] / side
    found = np.stack([x, y, 1 - (x + y) / 2], 2)
    found[(x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.05] = 0.9, 0.2, 0.1
    found[(y > 0.7) & ((x * 10).astype(int) % 2 == 0)] = 0.1, 0.3, 0.8
    return (found * 255).astype(np.uint8)


def of_latents(latents: np.ndarray, grid: int = GRID) -> np.ndarray:
    """Latents ``(pictures, channels, height, width)`` pooled to a grid, each channel less its mean and of the same weight: ``(pictures, size)``."""
    pooled = _pooled(_pooled(np.asarray(latents, np.float32), 2, grid), 3, grid)
    pooled = pooled - pooled.mean((2, 3), keepdims=True)
    return unit(pooled.reshape(len(pooled), -1))


def _pooled(values: np.ndarray, axis: int, grid: int) -> np.ndarray:
    length = values.shape[axis]
    edges = np.linspace(0, length, min(grid, length) + 1).round().astype(int)
    counts = np.diff(edges).reshape([-1 if one == axis else 1 for one in range(values.ndim)])
    return np.add.reduceat(values, edges[:-1], axis) / counts


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length; one without any content, which is like nothing, stays zero, and so does one that is not finite."""
    rows = np.where(np.isfinite(rows).all(1, keepdims=True), rows, 0).astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def by_latents(encode: Callable[[np.ndarray], np.ndarray], name: str = "", side: int | None = None, grid: int = GRID) -> Describer:
    """By an autoencoder: `encode` makes latents of pictures ``(pictures, 3, height, width)`` in 0..1. `side` in the place of :data:`SIDE`."""
    return Describer(VAE, side or SIDE, lambda squares: of_latents(encode(squares.transpose(0, 3, 1, 2).astype(np.float32) / 255), grid), name)


def by_sscd(path: Path) -> Describer:
    """By a copy detector's TorchScript file; ValueError where it is none."""
    describe = likeness.sscd(path)
    return Describer(SSCD, likeness.SSCD_SIDE, lambda squares: unit(describe([Image.fromarray(one) for one in squares])), path.name[:100])


def by_pixels() -> Describer:
    """By the pixels themselves, for whoever has neither: finds what is the same picture but for its size and quality."""

    def rows(squares: np.ndarray) -> np.ndarray:
        small = squares.reshape(len(squares), PIXELS, 4, PIXELS, 4, 3).mean((2, 4))
        return unit((small - small.mean((1, 2), keepdims=True)).reshape(len(small), -1))

    return Describer(PLAIN, 4 * PIXELS, rows, "pixels")


def views(square: np.ndarray) -> np.ndarray:
    """What is asked of an index for one picture: the square, and its mirror image."""
    return np.stack([square, square[:, ::-1]])


def asked(squares: Sequence[np.ndarray], describer: Describer) -> list[np.ndarray]:
    """Rows of all :func:`views` of several pictures, each ``(views, size)``."""
    if not squares:
        return []
    rows = describer.rows(np.concatenate([views(one) for one in squares]))
    return [rows[at : at + 2] for at in range(0, len(rows), 2)]
