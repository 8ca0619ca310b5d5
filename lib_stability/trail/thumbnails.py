"""Small pictures of pictures for a page, as data URIs, from files that nobody vouches for."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import lru_cache
from threading import Lock

from PIL import Image

#: Pixels of a thumbnail's longer side, and what is decoded at most.
SIDE, MOST_PIXELS = 176, 100_000_000
MOST_BYTES = 256 * 1024 * 1024
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
_THREADS = 4
#: Pixels from which on pictures are decoded one at a time: one may take 400 MB, whatever its file's size.
_LARGE = 8_000_000
_one_at_a_time = Lock()
#: So many times a thumbnail's side is what a larger picture is thinned out to before it is converted: a conversion makes a second copy.
_THINNED = 8


def thumbnails(paths: Sequence[str]) -> list[str | None]:
    """Thumbnails of several pictures in their order; decoding lets other threads run."""
    if not paths:
        return []
    with ThreadPoolExecutor(min(_THREADS, len(paths))) as pool:
        return list(pool.map(thumbnail, paths))


def thumbnail(path: str) -> str | None:
    """A JPEG of at most :data:`SIDE` pixels a side as a ``data:`` URI; None for what is broken, too large, or no picture. Never raises."""
    try:
        stat = os.stat(path)
        return _made(path, stat.st_mtime_ns, stat.st_size) if stat.st_size <= MOST_BYTES else None
    except Exception:  # Pillow raises what it likes
        return None


@lru_cache(512)
def _made(path: str, changed: int, size: int) -> str:
    Image.init()
    with _opened(path) as picture:
        pixels = picture.width * picture.height
    if pixels > MOST_PIXELS:
        raise ValueError("too large")
    with _one_at_a_time if pixels > _LARGE else nullcontext():
        small = _thinned(path)
    if small.mode.startswith("I"):  # 16 bits a pixel, which Pillow cannot scale
        small = small.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    small.thumbnail((SIDE, SIDE))
    plain = Image.new("RGB", small.size, "white")
    seen = small.convert("RGBA" if "A" in small.getbands() or "transparency" in small.info else "RGB")
    plain.paste(seen, mask=seen if seen.mode == "RGBA" else None)
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def _opened(path: str) -> Image.Image:
    return Image.open(path, formats=[one for one in _FORMATS if one in Image.OPEN])


def _thinned(path: str) -> Image.Image:
    """The decoded picture; of a large one a few pixels in each row and column, as they stand in the file."""
    with _opened(path) as picture:
        picture.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at a fraction of its size
        share = _THINNED * SIDE / max(picture.size)
        if share >= 1:
            return picture.copy()
        small = picture.resize([max(round(side * share), 1) for side in picture.size], Image.Resampling.NEAREST)
        small.info = picture.info
        return small
