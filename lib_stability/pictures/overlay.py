"""A map of :mod:`.locality` drawn over its picture: as an image to save, and as inline SVG with a legend for a page."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from ..guard.locality import LocalMap
from ..sentences import spoken

#: The colour of what exceeds ordinary norms, readable over grey and on light and dark pages, and how much of it covers the picture at most.
COLOUR, COVER = (224, 72, 62), 0.6
#: The value from which on the colour no longer deepens.
TOP = 3.0
#: Without a picture the map lies on this grey.
BARE = 128
WIDTH, LEGEND, SIDE = 640, 62, 256
MEASURED, ORDINARY, MORE = "how large the prediction is, part by part", "ordinary", "{times} times and more"
LINE, ALONE = "line: {times} times an ordinary norm", "the map alone: its picture is not at hand"


def heat(found: LocalMap, size: tuple[int, int]) -> np.ndarray:
    """The map at a picture's `size` (width, height), smoothly made larger: float32 ``(height, width)``."""
    small = Image.fromarray(found.array).resize(size, Image.Resampling.BICUBIC)
    return np.maximum(np.asarray(small, dtype=np.float32), 0.0)


def draw(found: LocalMap, picture: Image.Image | None = None, size: tuple[int, int] | None = None) -> Image.Image:
    """The picture in grey, redder the more the map exceeds 1, with a line around what exceeds the threshold.

    Parameters
    ----------
    found : LocalMap
    picture : image, optional
        Without one the map is drawn on plain grey.
    size : (width, height), optional
        Of the result; that of the picture, or :data:`SIDE` on its longer side.
    """
    if size is None:
        height, width = found.array.shape
        scale = SIDE / max(width, height)
        size = picture.size if picture is not None else (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = Image.new("L", size, BARE) if picture is None else picture.convert("L").resize(size, Image.Resampling.LANCZOS)
    values = heat(found, size)
    cover = (COVER * np.clip((values - 1) / (TOP - 1), 0, 1))[..., None]
    mixed = np.asarray(grey, dtype=np.float32)[..., None] * (1 - cover) + np.array(COLOUR, dtype=np.float32) * cover
    for colour, around in ((0, 2 * _line(size) + 1), (255, _line(size))):
        mixed[_border(values > found.threshold, around)] = colour
    return Image.fromarray(mixed.round().astype(np.uint8))


def _line(size: tuple[int, int]) -> int:
    return max(1, round(max(size) / 256))


def _border(above: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a mask within `width` of its edge; where it meets the picture's there is none."""
    padded = np.pad(above, width, mode="edge")
    inner = np.asarray(Image.fromarray(padded.astype(np.uint8) * 255).filter(ImageFilter.MinFilter(2 * width + 1))) > 0
    return above & ~inner[width:-width, width:-width]


def svg(found: LocalMap, picture: Image.Image | None = None, title: str = "", say: Callable[..., str] = spoken) -> str:
    """Inline SVG: the drawing, what its colours and its line mean, and in words where the marked part lies; `say` finds the page's words."""
    scale = SIDE / max(picture.size) if picture is not None else 1
    image = draw(found, picture, picture and tuple(max(1, round(side * scale)) for side in picture.size))
    label = html.escape(title or "Map of where the memorized content sits")
    width, height = image.size
    left, total = width + 24, max(height, 150) + 8
    bar = "".join(
        f'<rect x="{left + 20 * number}" y="52" width="20" height="14" fill="rgb{COLOUR}" fill-opacity="{COVER * number / 10:.2f}"/>'
        for number in range(11)
    )
    at = left + 10 + 200 * (found.threshold - 1) / (TOP - 1)
    told = wrapped(found.describe(say))
    lines = [
        f'<text x="{left}" y="16" font-weight="bold">{label}</text>',
        f'<text x="{left}" y="40">{html.escape(say(MEASURED))}</text>',
        f'<rect x="{left}" y="52" width="220" height="14" fill="none" stroke="currentColor" stroke-opacity="0.6"/>{bar}',
        f'<path d="M{at:.0f},48 V70" stroke="currentColor" stroke-width="2"/>',
        f'<text x="{left}" y="84">{html.escape(say(ORDINARY))}</text>'
        f'<text x="{left + 220}" y="84" text-anchor="end">{html.escape(say(MORE, times=f"{TOP:g}"))}</text>',
        f'<text x="{left}" y="102">{html.escape(say(LINE, times=f"{found.threshold:g}"))}</text>',
        *(f'<text x="{left}" y="{126 + 16 * number}">{html.escape(text)}</text>' for number, text in enumerate(told)),
    ]
    if picture is None:
        lines.append(f'<text x="{left}" y="{126 + 16 * len(told)}">{html.escape(say(ALONE))}</text>')
    return (
        f'<svg class="memorization-guard-map" viewBox="0 0 {WIDTH} {total}" role="img" aria-label="{label}: {html.escape(found.describe(say))}" '
        f'style="max-width:100%;height:auto;color:inherit" font-family="sans-serif" font-size="11" fill="currentColor"><title>{label}</title>'
        f'<image x="4" y="4" width="{width}" height="{height}" href="{data_uri(image)}"/>{"".join(lines)}</svg>'
    )


def wrapped(text: str, longest: int = 56) -> list[str]:
    """A description in lines of at most so many letters, those of Chinese counting double."""
    wide = any(ord(letter) > 0x2E80 for letter in text)
    return textwrap.wrap(text, longest // 2 if wide else longest)


def data_uri(image: Image.Image) -> str:
    """The image as a JPEG in a data URI."""
    held = io.BytesIO()
    image.save(held, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode("ascii")
