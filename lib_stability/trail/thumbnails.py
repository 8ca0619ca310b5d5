"""Small pictures of pictures for a page, as data URIs, from files that nobody vouches for."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

from PIL import Image

#: Pixels of a thumbnail's longer side, and what is decoded at most.
SIDE, MOST_PIXELS = 176, 100_000_000
MOST_BYTES = 256 * 1024 * 1024
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
_THREADS = 4


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
    with Image.open(path, formats=[one for one in _FORMATS if one in Image.OPEN]) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError("too large")
        picture.draft("RGB", (2 * SIDE, 2 * SIDE))  # a JPEG is decoded at a fraction of its size
        if picture.mode.startswith("I"):  # 16 bits a pixel, which Pillow cannot scale
            picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        picture.thumbnail((SIDE, SIDE))
        plain = Image.new("RGB", picture.size, "white")
        seen = picture.convert("RGBA" if "A" in picture.getbands() or "transparency" in picture.info else "RGB")
        plain.paste(seen, mask=seen if seen.mode == "RGBA" else None)
    out = io.BytesIO()
    plain.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
