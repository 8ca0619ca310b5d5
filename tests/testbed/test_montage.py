"""The montage: what it picks, and that it says of a picture only what is so."""

from __future__ import annotations

from PIL import Image

from lib_stability.testbed import montage


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (128, 128), colour)


def row(caption: str, training: str | None, guarded: str = "red", **more) -> montage.Row:
    known = {"copy": training is not None, "copy_left": False, "flagged": training is not None, **more}
    return montage.Row(caption, training and picture(training), picture("red"), picture(guarded), **known)


def said(one: montage.Row) -> list[str]:
    return [words for words, _ in montage._words(one)]


def test_it_picks_the_clearest_copies_and_an_ordinary_caption():
    rows = [row("x", "red", "blue", copy_left=True), row("y", "red", "blue"), row("z", None), row(montage.SHOWN[0], "red", "blue"), row("w", None)]
    assert [one.caption for one in montage.pick(rows)] == [montage.SHOWN[0], "y", "z"]


def test_unchanged_is_said_of_equal_bits_alone():
    assert said(row("a", None)) == ["", "nothing memorized", "unchanged, bit for bit"]
    assert "unchanged" not in str(said(row("a", None, "#fe0000"))) and "unchanged" not in str(said(row("a", None, flagged=True)))
    assert said(row("a", "red", "blue")) == ["somebody’s picture", "a copy of it", "steered away"]
    assert said(row("a", "red", "blue", copy_left=True))[2] == "still a copy" and said(row("a", "red", "blue", copy=False))[1] == "not a copy"


def test_pictures_are_shown_at_twice_their_size_at_least():
    sheet = montage.draw([row("a", "lime", "blue"), row("b", None)])
    counts = {colour: count for count, colour in sheet.getcolors(10**6)}
    for colour in ((0, 255, 0), (255, 0, 0), (0, 0, 255)):
        assert counts[colour] > 0.95 * (2 * 128) ** 2
