"""How alike pictures are, as dot products of rows of unit length: by their pixels, or by a copy detector whose file somebody has (SSCD)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from . import opening

#: Side that pictures are compared at by their pixels: on the testbed as good as at full size, and a thousand pictures take 12 MB.
SIDE = 32
#: Side, means and spreads that SSCD's published files expect.
SSCD_SIDE = 288
_MEAN, _SPREAD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
_BATCH = 16

#: Turns pictures into rows of unit length.
Describe = Callable[[Sequence[Image.Image]], np.ndarray]


def correlation(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pixels of small pictures less their mean: dot products of two rows are their normalised correlation. ``(pictures, 3072)``."""
    return of_pixels(np.stack([np.asarray(one.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) for one in pictures]))


def of_pixels(pixels: np.ndarray) -> np.ndarray:
    """The same of an array ``(pictures, height, width, channels)`` in any range."""
    rows = pixels.reshape(len(pixels), -1).astype(np.float32)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)


def sscd(path: Path) -> Describe:
    """A copy detector from its TorchScript file, run on the processor.

    Raises
    ------
    ValueError
        The file is none.
    """
    import torch

    try:
        model = torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, OSError, ValueError) as error:
        raise ValueError(f"{path.name}: no TorchScript file ({str(error).splitlines()[0][:100]})") from None

    def describe(pictures: Sequence[Image.Image]) -> np.ndarray:
        small = [np.asarray(one.convert("RGB").resize((SSCD_SIDE, SSCD_SIDE), Image.Resampling.BICUBIC), np.float32) / 255 for one in pictures]
        rows = []
        with torch.inference_mode():
            for first in range(0, len(small), _BATCH):
                part = (np.stack(small[first : first + _BATCH]) - _MEAN) / _SPREAD
                found = model(torch.from_numpy(part).permute(0, 3, 1, 2).contiguous()).flatten(1)
                rows.append(torch.nn.functional.normalize(found.float(), dim=1).numpy())
        return np.concatenate(rows)

    return describe


def of_files(paths: Sequence[Path], describe: Describe, tick: Callable[[int], None] = lambda done: None) -> np.ndarray:
    """Rows of picture files, some at a time; zeros, which are like nothing, for one that cannot be read."""
    rows: list[np.ndarray] = []
    for first in range(0, len(paths), _BATCH):
        opened = [_open(path) for path in paths[first : first + _BATCH]]
        found = describe([Image.new("RGB", (SIDE, SIDE)) if one is None else one for one in opened])
        rows.append(np.where(np.array([one is None for one in opened])[:, None], 0, found).astype(np.float32))
        tick(min(first + _BATCH, len(paths)))
    return np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)


def _open(path: Path) -> Image.Image | None:
    try:
        return opening.whole(path)
    except (opening.Unreadable, OSError):
        return None


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of the folders in it, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if opening.is_supported(path.name) and path.is_file())


def nearest(rows: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """Likeness of each row to the original that is most like it; `originals` may not be empty."""
    found = np.full(len(rows), -np.inf, np.float32)
    for first in range(0, len(originals), 4096):
        found = np.maximum(found, (rows @ originals[first : first + 4096].T).max(1))
    return found
