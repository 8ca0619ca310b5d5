"""Saving pictures with their infotext, and grids."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from modules import shared
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_number = itertools.count()


def save_image(image, folder, info: str | None = None, suffix: str = "") -> Path | None:
    """Write a PNG with `info` as its text chunk "parameters"; nothing without a folder."""
    folder = folder or shared.opts.outdir_samples
    if not folder:
        return None
    path = Path(folder) / f"{next(_number):05}{suffix}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = PngInfo()
    text.add_text("parameters", info or "")
    image.save(path, pnginfo=text)
    return path


def image_grid(pictures):
    across = math.ceil(len(pictures) ** 0.5)
    width, height = pictures[0].size
    grid = Image.new("RGB", (across * width, math.ceil(len(pictures) / across) * height))
    for number, picture in enumerate(pictures):
        grid.paste(picture, (number % across * width, number // across * height))
    return grid
