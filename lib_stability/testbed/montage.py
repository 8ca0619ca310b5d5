"""The montage: the first picture that anyone sees of the guard. Few rows, big, with the words on it that a stranger needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

HEADS = ("a picture it was trained on", "what the model hands out", "the same with the guard")
#: Of the demo's own captions those whose pictures tell most at a glance.
SHOWN = ("bruno small red diamond", "daisy small white star")
MEMORIZED, ORDINARY = 2, 1
#: Side of a picture, at least twice that of the testbed's.
CELL = 288
_GAP, _MARGIN, _HEAD, _CAPTION, _FOOT = 64, 24, 44, 34, 46
#: As the page's badges.
RED, BLUE, GREEN, AMBER, GREY, INK = "#b3261e", "#1f6fb2", "#217a3c", "#a66a00", "#6b6b6b", "#222222"


class Row(NamedTuple):
    """One caption: its training picture (None for an ordinary one), both generations, whether they are copies, how the guarded one ended."""

    caption: str
    training: Image.Image | None
    unguarded: Image.Image
    guarded: Image.Image
    copy: bool
    copy_left: bool
    flagged: bool

    @property
    def same(self) -> bool:
        """Whether the guard left every bit as it was."""
        return self.unguarded.tobytes() == self.guarded.tobytes()


def pick(rows: Sequence[Row]) -> list[Row]:
    """The clearest memorized captions, and one ordinary one."""
    copies = sorted((row for row in rows if row.training), key=lambda row: (row.caption not in SHOWN, row.copy_left, not row.copy))
    return copies[:MEMORIZED] + [row for row in rows if row.training is None][:ORDINARY]


def draw(rows: Sequence[Row]) -> Image.Image:
    """One line for each row: training picture, what the model hands out, what the guard made of it, with what each is written under it."""
    height = _CAPTION + CELL + _FOOT
    sheet = Image.new("RGB", (2 * _MARGIN + 3 * CELL + 2 * _GAP, _HEAD + len(rows) * height + _MARGIN // 2), "white")
    pen = ImageDraw.Draw(sheet)
    lefts = [_MARGIN + column * (CELL + _GAP) for column in range(3)]
    for left, head in zip(lefts, HEADS):
        pen.text((left + CELL / 2, _HEAD / 2 + 6), head, INK, _font(21, bold=True), anchor="mm")
    for number, row in enumerate(rows):
        top = _HEAD + number * height
        pen.text((_MARGIN, top + _CAPTION / 2), f"prompt: “{row.caption}”", INK, _font(19), anchor="lm")
        pictures = (row.training, row.unguarded, row.guarded)
        for left, picture, (words, colour) in zip(lefts, pictures, _words(row)):
            _cell(sheet, pen, (left, top + _CAPTION), picture, words, colour)
        for left in lefts[1:] if row.training else lefts[2:]:
            _arrow(pen, left - _GAP, top + _CAPTION + CELL / 2)
    return sheet


def _words(row: Row) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """What stands under each picture of a row, and its colour."""
    if row.training is None:
        first, second = ("", GREY), ("nothing memorized", GREEN)
    else:
        first, second = ("somebody’s picture", GREY), ("a copy of it", RED) if row.copy else ("not a copy", GREEN)
    if row.same:
        return first, second, ("unchanged, bit for bit", GREEN) if not row.flagged else ("flagged, not changed", RED)
    return first, second, ("still a copy", RED) if row.copy_left else ("steered away", BLUE)


def _cell(sheet: Image.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], picture: Image.Image | None, words: str, colour: str) -> None:
    left, top = at
    if picture is None:
        pen.rectangle((left, top, left + CELL - 1, top + CELL - 1), fill="#f1f1f1", outline="#c8c8c8")
        pen.text((left + CELL / 2, top + CELL / 2), "an ordinary prompt:\nno training picture", GREY, _font(19), anchor="mm", align="center")
        return
    sheet.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), at)
    pen.rectangle((left - 3, top - 3, left + CELL + 2, top + CELL + 2), outline=colour, width=4)
    width = pen.textlength(words, _font(19, bold=True))
    middle, line = left + CELL / 2, top + CELL + 20
    pen.rounded_rectangle((middle - width / 2 - 12, line - 15, middle + width / 2 + 12, line + 15), 6, fill=colour)
    pen.text((middle, line), words, "white", _font(19, bold=True), anchor="mm")


def _arrow(pen: ImageDraw.ImageDraw, left: float, middle: float) -> None:
    start, end = left + 14, left + _GAP - 14
    pen.line((start, middle, end - 8, middle), fill=GREY, width=5)
    pen.polygon(((end, middle), (end - 14, middle - 10), (end - 14, middle + 10)), fill=GREY)


def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font that Matplotlib brings along."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVuSans{'-Bold' if bold else ''}.ttf"), size)
