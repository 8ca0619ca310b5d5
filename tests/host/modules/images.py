"""Saving pictures with their infotext, and grids."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import SimpleNamespace

from modules import script_callbacks, shared
from PIL import Image
from PIL.PngImagePlugin import PngInfo

_number = itertools.count()


def save_image(image, folder, info: str | None = None, suffix: str = "", p=None) -> Path | None:
    """Write a PNG with `info` as its text chunk "parameters"; nothing without a folder. With a `p` extensions are told."""
    folder = folder or shared.opts.outdir_samples
    if not folder:
        return None
    path = Path(folder) / f"{next(_number):05}{suffix}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    params = SimpleNamespace(image=image, p=p, filename=str(path), pnginfo={"parameters": info})
    if p is not None:
        script_callbacks.fire("before_image_saved", params)
    text = PngInfo()
    text.add_text("parameters", params.pnginfo["parameters"] or "")
    image.save(path, pnginfo=text)
    if p is not None:
        script_callbacks.fire("image_saved", params)
    return path


def image_grid(pictures):
    across = math.ceil(len(pictures) ** 0.5)
    width, height = pictures[0].size
    grid = Image.new("RGB", (across * width, math.ceil(len(pictures) / across) * height))
    for number, picture in enumerate(pictures):
        grid.paste(picture, (number % across * width, number // across * height))
    return grid
