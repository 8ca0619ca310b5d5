"""Bounded reading of binary files, and the EXIF block of those made of boxes.

In AVIF and HEIF the box ``meta`` lists the items and where they lie, in JPEG XL the block has a box of its own; nothing else is looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

#: The longest text, EXIF block or AVIF header that is read, before and after decompression.
MAX_TEXT = 1 << 20
#: More chunks than any encoder writes.
MAX_PARTS = 100_000
TOO_LONG = f"holds a text or header of more than {MAX_TEXT} bytes"
#: More pieces than any encoder splits an EXIF block into.
_EXTENTS = 64


class Unreadable(ValueError):
    """A file that cannot be read; the message is the end of a sentence about it."""


def exactly(file: BinaryIO, length: int) -> bytes:
    """The next `length` bytes, never more than :data:`MAX_TEXT`."""
    if length > MAX_TEXT:
        raise Unreadable(TOO_LONG)
    data = file.read(length)
    if len(data) < length:
        raise Unreadable("ends early")
    return data


def exif_box(file: BinaryIO) -> bytes | None:
    """The EXIF block of a JPEG XL, from its TIFF header on; None where it has none.

    Raises
    ------
    Unreadable, struct.error, IndexError
        For a file whose structure makes no sense, and for a compressed block.
    """
    for kind, rest in _top(file):
        if kind == b"Exif":
            data = exactly(file, rest)
            return data[4 + struct.unpack_from(">I", data)[0] :]
        if kind == b"brob" and exactly(file, 4) == b"Exif":
            raise Unreadable("keeps its EXIF compressed, which cannot be read here")
    return None


def _top(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The outermost boxes: kind and length of what follows, where the file stands meanwhile. Ends at one that goes up to the end."""
    at, end = file.tell(), file.seek(0, 2)
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if not head:
            return
        length, kind = struct.unpack(">I4s", head)
        start = at + (16 if length == 1 else 8)
        if length == 1:
            length = struct.unpack(">Q", exactly(file, 8))[0]
        rest = (at + length if length else end) - start
        if rest < 0 or start + rest > end:
            raise Unreadable("ends early")
        yield kind, rest
        at = start + rest
    raise Unreadable("holds too many boxes")


def exif_item(file: BinaryIO) -> bytes | None:
    """The EXIF block of an AVIF or HEIF, from its TIFF header on; None where it has none.

    Raises
    ------
    Unreadable, struct.error, IndexError
        For a file whose structure makes no sense.
    """
    for _ in range(MAX_PARTS):
        head = file.read(8)
        if len(head) < 8:
            raise Unreadable("ends early" if head else "holds no metadata box")
        length, kind = struct.unpack(">I4s", head)
        rest = struct.unpack(">Q", exactly(file, 8))[0] - 16 if length == 1 else length - 8
        if kind == b"meta" and length:
            return _item(file, exactly(file, max(rest, 0)))
        if rest < 0 or rest > 1 << 62:  # such as 0: up to the end of the file
            raise Unreadable("holds no metadata box")
        file.seek(rest, 1)
    raise Unreadable("holds too many boxes")


def _item(file: BinaryIO, meta: bytes) -> bytes | None:
    boxes = dict(_boxes(meta[4:]))
    items = boxes.get(b"iinf", b"\0" * 6)
    number = None
    for kind, body in _boxes(items[6 if items[0] == 0 else 8 :]):
        wide = body[0] == 3
        if kind == b"infe" and body[0] in (2, 3) and body[8 + 2 * wide : 12 + 2 * wide] == b"Exif":
            number = struct.unpack_from(">I" if wide else ">H", body, 4)[0]
            break
    if number is None:
        return None
    data = b""
    for inside, offset, length in _extents(boxes.get(b"iloc", b""), number):
        if len(data) + length > MAX_TEXT:
            raise Unreadable(TOO_LONG)
        if inside:
            data += boxes.get(b"idat", b"")[offset : offset + length]
        else:
            file.seek(min(offset, 1 << 62))
            data += exactly(file, length)
    return data[4 + struct.unpack_from(">I", data)[0] :]


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            raise Unreadable("its structure makes no sense")
        yield kind, data[at + 8 : at + length]
        at += length


def _extents(iloc: bytes, wanted: int) -> list[tuple[bool, int, int]]:
    """Where an item lies: whether in the box ``idat``, offset, length."""
    version, sizes = iloc[0], (iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if iloc[0] else 0)
    of_offset, of_length, of_base, of_index = sizes
    wide, at = ("I", 4) if version >= 2 else ("H", 2), 6
    count, at = struct.unpack_from(">" + wide[0], iloc, at)[0], at + wide[1]

    def number(where: int, size: int) -> int:
        if where + size > len(iloc):
            raise IndexError
        return int.from_bytes(iloc[where : where + size], "big")

    for _ in range(count):
        item, at = number(at, wide[1]), at + wide[1]
        method, at = (number(at, 2) & 15, at + 2) if version else (0, at)
        base, at = number(at + 2, of_base), at + 2 + of_base
        pieces, at = number(at, 2), at + 2
        size = of_index + of_offset + of_length
        if item == wanted:
            if pieces > _EXTENTS or method > 1:
                raise Unreadable("keeps its EXIF in a way that cannot be read here")
            starts = [at + piece * size + of_index for piece in range(pieces)]
            return [(method == 1, base + number(start, of_offset), number(start + of_offset, of_length)) for start in starts]
        at += pieces * size
    return []
