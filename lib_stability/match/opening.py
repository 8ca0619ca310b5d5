"""Pictures from files that nobody vouches for: upright, on white, in three colours, of any size and mode."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps

#: Pixels and bytes of a picture at most.
MOST_PIXELS, MOST_BYTES = 200_000_000, 1024 * 1024 * 1024
#: Spread of the values 0..255 of every channel below which a picture is one colour.
BLANK = 1.5
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
#: Pixels from which on pictures are decoded one at a time, whatever the number of threads.
_LARGE = 30_000_000
_one_at_a_time = Lock()


class Unreadable(ValueError):
    """A file that holds no picture which can be read; one line that says why."""


def is_supported(name: str) -> bool:
    """Whether a file's name says that it is a picture of a kind that is read here."""
    return name.lower().endswith(_SUFFIXES)


def whole(source: Path | str | bytes, side: int = 0) -> Image.Image:
    """A picture in RGB, turned as its camera says; where a `side` is given a JPEG may be decoded smaller, but not below twice that.

    Raises
    ------
    Unreadable
        It is broken, too large, or no picture.
    OSError
        The file cannot be read.
    """
    Image.init()
    if not isinstance(source, bytes):
        with open(source, "rb") as file:
            source = file.read(MOST_BYTES + 1)
    if len(source) > MOST_BYTES:
        raise Unreadable("too large a file")
    try:
        return _decoded(source, side)
    except Unreadable:
        raise
    except Exception as error:  # Pillow raises what it likes
        said = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise Unreadable("no picture" if "cannot identify" in said else said) from None


def _decoded(data: bytes, side: int) -> Image.Image:
    known = [one for one in _FORMATS if one in Image.OPEN]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours counts, and no warning is printed
    try:
        picture = Image.open(io.BytesIO(data), formats=known)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    with picture:
        pixels = picture.width * picture.height
        if pixels > MOST_PIXELS:
            raise Unreadable(f"{picture.width}x{picture.height} pixels are too many")
        with _one_at_a_time if pixels > _LARGE else nullcontext():
            if side:
                picture.draft("RGB", (2 * side, 2 * side))
            return _plain(ImageOps.exif_transpose(picture))


def _plain(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits a pixel and more, which Pillow cuts off
        values = np.asarray(picture, dtype=np.float32)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if "A" in picture.getbands() or "transparency" in picture.info:
        seen = picture.convert("RGBA")
        plain = Image.new("RGB", seen.size, "white")
        plain.paste(seen, mask=seen)
        return plain
    return picture.convert("RGB")


def square(picture: Image.Image, side: int) -> np.ndarray:
    """The square in the middle of a picture, as most trainings crop it: uint8 ``(side, side, 3)``."""
    short = min(picture.size)
    left, top = ((length - short) / 2 for length in picture.size)
    box = (left, top, left + short, top + short)
    return np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC, box, reducing_gap=3.0))


def is_blank(square: np.ndarray) -> bool:
    """Whether there is one colour all over: such a picture would be like every other of its kind, and like every faint one."""
    return bool(square.reshape(-1, 3).std(0).max() < BLANK)


def png(square: np.ndarray) -> bytes:
    """A square as a file."""
    out = io.BytesIO()
    Image.fromarray(square).save(out, "PNG", compress_level=1)
    return out.getvalue()
