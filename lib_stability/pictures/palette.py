"""Pictures for documents, as PNG files with a palette of 256 colours: a third of the size, and nobody sees the difference."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

COLOURS = 256


def save(path: Path, picture: Image.Image, dotted: bool = True) -> None:
    """Write a picture; colours that the palette does not hold are made of dots of its others, or else the nearest is taken."""
    plain = picture.convert("RGB")
    found = plain.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE)
    if dotted:
        found = plain.quantize(COLOURS, palette=found, dither=Image.Dither.FLOYDSTEINBERG)
    found.save(path, "PNG", optimize=True)


def save_figure(path: Path, figure, dpi: int = 110) -> None:
    """Write a figure of matplotlib's (``matplotlib.figure.Figure``), whose colours are few."""
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=dpi)
    held.seek(0)
    save(path, Image.open(held), dotted=False)
