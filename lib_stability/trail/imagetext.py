"""The infotext in a picture or a text file, as the web UIs store it, found without decoding a pixel and whatever the file claims.

PNG keeps it in the text chunk "parameters"; JPEG, WebP, AVIF, HEIF and JPEG XL in the EXIF field UserComment; GIF in a comment. The containers are
walked here rather than by Pillow, which knows AVIF from 11.3 on and HEIF and JPEG XL never, takes a damaged EXIF for none, refuses a sound text for
what stands in other chunks or for the size that a picture claims, and decodes the whole picture to look for a text behind its pixels. A walk takes a
fraction of the time, and every length that a file states is held against a bound.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from .containers import MAX_PARTS, MAX_TEXT, TOO_LONG, Unreadable, exactly, exif_box, exif_item

_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286
PICTURES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".heif", ".heic", ".hif", ".jxl", ".gif")
#: Pictures that are not read, so that an audit can name them.
OTHERS = (".bmp", ".tif", ".tiff", ".jp2", ".tga", ".ico", ".psd", ".exr", ".qoi")
TEXTS = (".txt",)
#: Of one picture in a GIF: 255 MB of pixels, and no more than a second to skip.
_MOST_BLOCKS = 1_000_000


def read_text(path: str | Path) -> str | None:
    """The infotext of a file, None where a sound picture holds none; of several the last, as the hosts read it."""
    return (read_texts(path) or [None])[-1]


def read_texts(path: str | Path) -> list[str]:
    """All infotexts of a file, in their order: a PNG may hold several.

    Parameters
    ----------
    path : str or Path
        A PNG, JPEG, WebP, AVIF, HEIF, JPEG XL or GIF, told by its first bytes, or a text file, told by its name.

    Raises
    ------
    Unreadable
        Broken, bounds exceeded, or none of these formats.
    OSError
        From the file system.
    """
    with open(path, "rb") as file:
        if str(path).lower().endswith(TEXTS):
            return [_plain(file)]
        start = file.read(12)
        if not start:
            raise Unreadable("is empty")
        for walk, begins, known in _FORMATS:
            if known(start):
                file.seek(begins)
                try:
                    found = walk(file)
                    return found if isinstance(found, list) else [] if found is None else [found]
                except (struct.error, IndexError):
                    raise Unreadable("its structure makes no sense") from None
        raise Unreadable("is no PNG, JPEG, WebP, AVIF, HEIF, JPEG XL or GIF")


def _plain(file: BinaryIO) -> str:
    data = file.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise Unreadable(TOO_LONG)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise Unreadable("is not text in UTF-8") from None


# -- PNG --------------------------------------------------------------------------------------------------------------------------------


def _png(file: BinaryIO) -> list[str]:
    """Those before the pixels; behind them is searched only where there is none, like Pillow does."""
    found: list[str] = []
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack(">I4s", exactly(file, 8))
        if kind == b"IEND" or (kind == b"IDAT" and found):
            return found
        skip = length + 4
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            start = exactly(file, min(length, 11))
            skip -= len(start)
            if start == b"parameters\0":
                data = start + exactly(file, length - 11)
                if struct.unpack(">I", exactly(file, 4))[0] != zlib.crc32(kind + data):
                    raise Unreadable("the checksum of its text is wrong")
                found.append(_chunk_text(kind, data[11:]))
                skip = 0
                if sum(map(len, found)) > MAX_TEXT:
                    raise Unreadable(TOO_LONG)
        file.seek(skip, 1)
    raise Unreadable("holds too many chunks")


def _chunk_text(kind: bytes, data: bytes) -> str:
    if kind == b"tEXt":
        return data.decode("latin-1")
    if kind == b"zTXt":
        return _inflate(data[1:]).decode("latin-1")
    compressed, (_, _, data) = data[0], data[2:].split(b"\0", 2) if data[2:].count(b"\0") >= 2 else (b"", b"", b"")
    try:
        return (_inflate(data) if compressed else data).decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("its text is not UTF-8") from None


def _inflate(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, MAX_TEXT + 1)
    except zlib.error:
        raise Unreadable("its text cannot be decompressed") from None
    if len(text) > MAX_TEXT:
        raise Unreadable(TOO_LONG)
    if not stream.eof:
        raise Unreadable("its text cannot be decompressed")
    return text


# -- JPEG, WebP, GIF --------------------------------------------------------------------------------------------------------------------


def _jpeg(file: BinaryIO) -> str | None:
    for _ in range(MAX_PARTS):
        mark, kind = exactly(file, 2)
        if mark != 0xFF:
            raise Unreadable("its structure makes no sense")
        if kind == 0xFF:  # a fill byte
            file.seek(-1, 1)
        elif kind in (0xDA, 0xD9):  # pixels, or the end
            return None
        elif not 0xD0 <= kind <= 0xD8 and kind != 0x01:
            length = struct.unpack(">H", exactly(file, 2))[0] - 2
            data = exactly(file, max(length, 0))
            if kind == 0xE1 and data.startswith(b"Exif\0\0"):
                return _exif(data)
    raise Unreadable("holds too many segments")


def _webp(file: BinaryIO) -> str | None:
    for _ in range(MAX_PARTS):
        head = file.read(8)
        if not head:
            return None
        if len(head) < 8:
            raise Unreadable("ends early")
        kind, length = struct.unpack("<4sI", head)
        if kind == b"EXIF":
            return _exif(exactly(file, length))
        # The last byte is asked for, because a seek goes past any end.
        file.seek(max(length - 1, 0), 1)
        exactly(file, min(length, 1))
        file.seek(length % 2, 1)
    raise Unreadable("holds too many chunks")


def _gif(file: BinaryIO) -> str | None:
    """The first comment; pixels are skipped block by block."""
    _colours(file, exactly(file, 7)[4])
    for _ in range(MAX_PARTS):
        kind = exactly(file, 1)
        if kind == b";":
            return None
        if kind == b",":
            _colours(file, exactly(file, 9)[8])
            exactly(file, 1)
            _blocks(file, 0)
        elif kind == b"!":
            comment = exactly(file, 1) == b"\xfe"
            data = _blocks(file, MAX_TEXT if comment else 0)
            if comment:
                return data.decode("utf-8", "replace").strip("\0") or None
        else:
            raise Unreadable("its structure makes no sense")
    raise Unreadable("holds too many blocks")


def _colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        exactly(file, 3 << (flags & 7) + 1)


def _blocks(file: BinaryIO, most: int) -> bytes:
    """Blocks of up to 255 bytes each, up to an empty one; joined where `most` bytes are wanted."""
    found = bytearray()
    for _ in range(_MOST_BLOCKS):
        length = exactly(file, 1)[0]
        if not length:
            return bytes(found)
        data = exactly(file, length)
        if most:
            found += data
            if len(found) > most:
                raise Unreadable(TOO_LONG)
    raise Unreadable("holds too many blocks")


# -- AVIF, HEIF, JPEG XL ----------------------------------------------------------------------------------------------------------------


def _avif(file: BinaryIO) -> str | None:
    data = exif_item(file)
    return None if data is None else _exif(data)


def _jxl(file: BinaryIO) -> str | None:
    data = exif_box(file)
    return None if data is None else _exif(data)


def _bare_jxl(file: BinaryIO) -> str | None:
    """Pixels without a container have no room for text."""
    return None


# -- EXIF -------------------------------------------------------------------------------------------------------------------------------


def _exif(data: bytes) -> str | None:
    data = data.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        raise Unreadable("its EXIF makes no sense")
    (at,) = struct.unpack_from(order + "I", data, 4)
    where = _entry(data, order, at, _EXIF_IFD)
    where = where and _entry(data, order, struct.unpack_from(order + "I", data, where)[0], _USER_COMMENT)
    if not where:
        return None
    length, start = struct.unpack_from(order + "II", data, where - 4)
    start = where if length <= 4 else start
    if start + length > len(data):
        raise Unreadable("its EXIF ends early")
    return _comment(data[start : start + length])


def _entry(data: bytes, order: str, at: int, tag: int) -> int | None:
    """Where the value of a directory's entry stands."""
    (count,) = struct.unpack_from(order + "H", data, at)
    places = range(at + 2, at + 2 + 12 * count, 12)
    return next((place + 8 for place in places if struct.unpack_from(order + "H", data, place)[0] == tag), None)


def _comment(raw: bytes) -> str | None:
    code, body = raw[:8], raw[8:]
    if code == b"UNICODE\0":
        little = body.startswith(b"\xff\xfe") or body[1::2].count(0) > body[::2].count(0)  # the hosts write big-endian, other tools may not
        text = body.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff")
    elif code in (b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(8)):
        text = body.decode("shift_jis" if code[:1] == b"J" else "utf-8", "replace")
    else:
        text = raw.decode("utf-8", "replace")
    return text.strip("\0") or None


#: AVIF and HEIF, alone and in sequences.
_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_FORMATS = (
    (_png, 8, lambda start: start.startswith(b"\x89PNG\r\n\x1a\n")),
    (_jpeg, 2, lambda start: start.startswith(b"\xff\xd8")),
    (_webp, 12, lambda start: start[:4] == b"RIFF" and start[8:] == b"WEBP"),
    (_avif, 0, lambda start: start[4:8] == b"ftyp" and start[8:] in _BRANDS),
    (_jxl, 0, lambda start: start == b"\0\0\0\x0cJXL \r\n\x87\n"),
    (_bare_jxl, 0, lambda start: start.startswith(b"\xff\x0a")),
    (_gif, 6, lambda start: start.startswith((b"GIF87a", b"GIF89a"))),
)
