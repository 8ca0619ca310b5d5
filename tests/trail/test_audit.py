"""Verdicts read back from files as the web UIs write them, and from files that nobody should have written."""

import csv
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from PIL.PngImagePlugin import PngInfo

from lib_stability.guard.verdict import Verdict
from lib_stability.shell import cli
from lib_stability.trail import audit, ledger
from lib_stability.trail.containers import MAX_TEXT, Unreadable
from lib_stability.trail.image_row import COLUMNS, Item, examine, prompt_hash
from lib_stability.trail.imagetext import read_text
from lib_stability.trail.infotext import Settings, format_text, write

HAS_AVIF = "avif" in features.get_supported()
STRONG = Verdict("strong", 18.2, flagged_at=2, evaluations=20, damped=6, detector="watch")
STABLE = Verdict("stable", 0.4, detector="watch", evaluations=20)
HOST = {"Steps": "20", "Sampler": "Euler", "Seed": "7", "Size": "512x512", "Model hash": "abc123", "Model": "model, one"}


def infotext(verdict=STRONG, hires=None, prompt="a red fox", chosen=None, **host):
    return format_text(prompt, "blurry", {**HOST, **host, **write(chosen or Settings(enabled=True, mode="damp"), verdict, hires, "testbed")})


def exif(text: str | bytes, order: str = ">") -> bytes:
    """What piexif, the hosts' writer, makes: an IFD with the pointer to another that holds UserComment."""
    comment = text if isinstance(text, bytes) else b"UNICODE\0" + text.encode("utf-16-be")
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    first = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)
    return b"Exif\0\0" + head + first + struct.pack(order + "HHHIII", 1, 0x9286, 7, len(comment), 44, 0) + comment


def avif(block: bytes, version: int = 0, inside: bool = False) -> bytes:
    """An AVIF without pixels: EXIF in a box of its own or within `meta`."""

    def box(kind, body):
        return struct.pack(">I4s", 8 + len(body), kind) + body

    item = b"\0\0\0\0" + block.removeprefix(b"Exif\0\0")
    infe = [box(b"infe", b"\2\0\0\0" + struct.pack(">HH4s", number, 0, kind) + b"\0") for number, kind in ((1, b"av01"), (2, b"Exif"))]
    start = box(b"ftyp", b"avif\0\0\0\0avifmif1")

    def meta(offset):
        method = struct.pack(">H", int(inside)) if version else b""
        other = struct.pack(">H", 1) + (b"\0\0" if version else b"") + struct.pack(">HHII", 0, 1, 0, 4)
        ours = struct.pack(">H", 2) + method + struct.pack(">HHII", 0, 1, offset, len(item))
        iloc = box(b"iloc", bytes([version, 0, 0, 0, 0x44, 0]) + struct.pack(">H", 2) + other + ours)
        iinf = box(b"iinf", b"\0\0\0\0" + struct.pack(">H", 2) + b"".join(infe))
        return box(b"meta", b"\0\0\0\0" + iinf + iloc + (box(b"idat", item) if inside else b""))

    if inside:
        return start + meta(0)
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", item)


def jxl(boxes: bytes) -> bytes:
    """The container of a JPEG XL without pixels."""
    return b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4s", 20, b"ftyp") + b"jxl \0\0\0\0jxl " + boxes


def encoded(kind: str, text: str) -> bytes:
    picture, out = Image.new("RGB", (16, 16), "red"), io.BytesIO()
    if kind == "png":
        info = PngInfo()
        info.add_text("parameters", text)
        picture.save(out, "PNG", pnginfo=info)
    elif kind == "avif-by-hand":
        return avif(exif(text))
    elif kind == "heif-by-hand":
        return avif(exif(text)).replace(b"ftypavif", b"ftypheic")
    elif kind == "jxl-by-hand":
        block = b"\0\0\0\0" + exif(text).removeprefix(b"Exif\0\0")
        pixels = struct.pack(">I4s", 0, b"jxlc") + b"pixels up to the end"
        return jxl(struct.pack(">I4s", 8 + len(block), b"Exif") + block + pixels)
    elif kind == "gif":
        picture.save(out, "GIF", comment=text.encode())
    else:
        picture.save(out, kind.upper(), exif=exif(text))
    return out.getvalue()


KINDS = ["png", "jpeg", "webp", "gif", "avif-by-hand", "heif-by-hand", "jxl-by-hand", *(["avif"] if HAS_AVIF else [])]


def read_bytes(data: bytes, name: str = "picture"):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return read_text(path)


def run(capsys, *arguments):
    try:
        status = cli.main(["audit", *map(str, arguments)])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def tree(tmp_path):
    """Pictures of every kind and verdict in several folders."""
    top = tmp_path / "tree"
    for number, (kind, text) in enumerate(
        [
            ("png", infotext(STRONG)),
            ("jpeg", infotext(STABLE, hires=Verdict("mild", 4.0, flagged_at=3, evaluations=10, detector="probe"))),
            ("webp", infotext(Verdict("not judged", reason="no profile"))),
            ("avif-by-hand", infotext(STABLE)),
            ("png", format_text("no guard", "", HOST)),
        ]
    ):
        folder = top / f"day {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.{kind.split('-')[0]}").write_bytes(encoded(kind, text))
    (top / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (top / "empty.jpg").write_bytes(b"")
    (top / "alone.txt").write_text(infotext(STRONG) + "\n", encoding="utf-8")
    (top / "readme.txt").write_text("Nothing: to see\n", encoding="utf-8")
    return top


# -- reading ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [infotext(), infotext(prompt="愛 ünï 🦊\nsecond line, (weight:1.2)"), infotext(prompt="x" * 9000)], ids=["plain", "unicode", "long"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_gives_its_text_back(kind, text):
    assert read_bytes(encoded(kind, text)) == text


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1, max_size=300))
def test_any_text_survives(text):
    for kind in ("png", "webp", "avif-by-hand"):
        assert read_bytes(encoded(kind, "a: b\n" + text + "\nc")) == "a: b\n" + text + "\nc"


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_png_chunks_of_every_sort(compressed, international):
    info, out = PngInfo(), io.BytesIO()
    (info.add_itxt if international else info.add_text)("parameters", "caf\xe9: 1", zip=compressed)
    info.add_text("workflow", "x" * (MAX_TEXT + 5))  # somebody else's, however long
    Image.new("L", (4, 4)).save(out, "PNG", pnginfo=info)
    assert read_bytes(out.getvalue()) == "caf\xe9: 1"


def test_png_text_behind_the_pixels_and_the_last_of_several():
    plain = encoded("png", "first")
    first = plain.index(b"tEXt") - 4
    size = struct.unpack(">I", plain[first : first + 4])[0] + 12
    other = encoded("png", "second")
    chunk = other[other.index(b"tEXt") - 4 :][: size + 1]
    assert read_bytes(plain[:first] + plain[first + size : -12] + chunk + plain[-12:]) == "second"
    assert read_bytes(plain[: first + size] + chunk + plain[first + size :]) == "second"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "comment",
    [
        b"ASCII\0\0\0steps: 1",
        b"UNICODE\0" + "steps: 1".encode("utf-16-be"),
        b"UNICODE\0" + "steps: 1".encode("utf-16-le"),
        b"UNICODE\0" + "\ufeffsteps: 1".encode("utf-16-le"),
        bytes(8) + b"steps: 1\0",
        b"steps: 1",
        b"JIS\0\0\0\0\0steps: 1",
    ],
)
def test_comments_of_other_tools(comment, order):
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "JPEG", exif=exif(comment, order))
    assert read_bytes(out.getvalue()) == "steps: 1"


def test_pillows_own_exif():
    for kind in ("JPEG", "WEBP"):
        block, out = Image.Exif(), io.BytesIO()
        block[0x8769] = {0x9286: b"UNICODE\0" + infotext().encode("utf-16-be")}
        Image.new("RGB", (8, 8)).save(out, kind, exif=block)
        assert read_bytes(out.getvalue()) == infotext()


@pytest.mark.parametrize(("version", "inside"), [(0, False), (1, False), (1, True)])
def test_avif_keeps_exif_in_several_places(version, inside):
    assert read_bytes(avif(exif(infotext()), version, inside)) == infotext()


def test_a_gif_with_its_comment_behind_the_pictures():
    out = io.BytesIO()
    frames = [Image.new("P", (64, 64), colour) for colour in (1, 2, 3)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=50)
    text = infotext().encode()
    blocks = b"".join(bytes([len(text[at : at + 200])]) + text[at : at + 200] for at in range(0, len(text), 200))
    behind = out.getvalue()[:-1] + b"!\xfe" + blocks + b"\0;"
    assert read_bytes(out.getvalue()) is None and read_bytes(behind) == infotext()


def test_a_jpeg_xl_without_a_container_holds_no_text():
    assert read_bytes(b"\xff\x0a" + bytes(40)) is None
    assert read_bytes(jxl(struct.pack(">I4s", 28, b"jxlc") + bytes(20))) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", *(["AVIF"] if HAS_AVIF else [])])
def test_a_picture_without_text(kind):
    out = io.BytesIO()
    Image.new("RGB", (300, 300)).save(out, kind)
    assert read_bytes(out.getvalue()) is None


# -- files that lie ---------------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_decompression_bomb_is_bounded(kind):
    bomb = zlib.compress(b"a" * 500_000_000, 9) if kind == b"zTXt" else zlib.compress(b"a" * (MAX_TEXT + 1))
    head = b"parameters\0\0" if kind == b"zTXt" else b"parameters\0\1\0\0\0"
    started = time.process_time()
    with pytest.raises(Unreadable, match="more than"):
        read_bytes(b"\x89PNG\r\n\x1a\n" + chunk(kind, head + bomb) + chunk(b"IEND", b""))
    assert time.process_time() - started < 1


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


LONG = b"x" * (MAX_TEXT + 1)
LIARS = {
    "empty": (b"", "empty"),
    "another format": (b"BM" + bytes(20), "no PNG, JPEG, WebP, AVIF, HEIF, JPEG XL or GIF"),
    "gif cut": (encoded("gif", infotext())[:100], "ends early"),
    "gif of noise": (b"GIF89a" + bytes(50), "makes no sense"),
    "gif with a long comment": (b"GIF89a" + bytes(7) + b"!\xfe" + (b"\xff" + b"x" * 255) * 5000, "more than"),
    "jpeg xl cut": (encoded("jxl-by-hand", infotext())[:100], "ends early"),
    "jpeg xl with compressed exif": (jxl(struct.pack(">I4s", 20, b"brob") + b"Exif" + bytes(8)), "compressed"),
    "png cut in a chunk": (encoded("png", infotext())[:80], "ends early"),
    "png without an end": (png(chunk(b"IHDR", bytes(13))), "ends early"),
    "png with an endless chunk": (png(struct.pack(">I", 0xFFFFFFFF) + b"tEXtparameters\0"), "more than"),
    "png with a long text": (png(chunk(b"tEXt", b"parameters\0" + LONG)), "more than"),
    "png with a wrong checksum": (encoded("png", infotext()).replace(b"a red fox", b"a red hen"), "checksum"),
    "png with a torn stream": (png(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"abc")[:-3])), "decompressed"),
    "png with bytes that are no text": (png(chunk(b"iTXt", b"parameters\0\0\0\0\0\xff\xfe")), "UTF-8"),
    "png of chunks alone": (png(chunk(b"junk", b"") * 100_001), "too many"),
    "jpeg cut": (encoded("jpeg", infotext())[:100], "ends early"),
    "jpeg of noise": (b"\xff\xd8" + bytes(50), "makes no sense"),
    "webp cut": (encoded("webp", infotext())[:100], "ends early"),
    "exif that is none": (avif(b"Exif\0\0XX\0*" + bytes(40)), "EXIF makes no sense"),
    "exif that points outside": (avif(exif("abcdef")[:-4]), "EXIF ends early"),
    "avif cut": (avif(exif(infotext()))[:60], "ends early"),
    "avif without metadata": (struct.pack(">I4s", 16, b"ftyp") + b"avif\0\0\0\0", "no metadata"),
    "avif with a box of 8 EiB": (avif(b"")[:24] + struct.pack(">I4sQ", 1, b"mdat", 1 << 63), "no metadata"),
    "avif with a large header": (avif(b"")[:24] + struct.pack(">I4s", 1 << 24, b"meta"), "more than"),
    "avif with no box length": (avif(b"")[:24] + struct.pack(">I4s", 24, b"meta") + bytes(16), "makes no sense"),
}


@pytest.mark.parametrize("name", LIARS)
def test_a_broken_file_is_named_with_its_reason(name):
    data, reason = LIARS[name]
    with pytest.raises(Unreadable, match=reason):
        read_bytes(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 400), st.binary(min_size=1, max_size=6), st.booleans())
def test_damage_anywhere_is_harmless(kind, at, damage, cut):
    data = bytearray(encoded(kind, infotext()))
    data[at : at + len(damage)] = damage
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(data[:at] if cut else data)
        row = examine(Item(str(path)))
    assert row["verdict"] in ("strong", "stable", "mild", "not judged", "no verdict", "unreadable")
    assert row["verdict"] != "unreadable" or row["problem"]


@pytest.mark.parametrize(
    "text", ['a: "' * 200_000, ",a a" * 250_000, "a: b, " * 150_000, " " * 1_000_000, '\\"' * 500_000, "MG score: " + "9" * 1_000_000]
)
def test_hostile_text_takes_no_time(tmp_path, text):
    path = tmp_path / "hostile.txt"
    path.write_text("x\nSteps: 1, Seed: 2, MG verdict: " + text, encoding="utf-8")
    started = time.process_time()
    row = examine(Item(str(path), named=True))
    assert row["verdict"] in ("no verdict", "unreadable") and time.process_time() - started < 2


def test_values_that_make_no_sense_are_said_and_not_believed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(
        infotext(STABLE).replace("MG verdict: stable", "MG verdict: splendid").replace("MG mode: damp", "MG mode: explode"), encoding="utf-8"
    )
    row = examine(Item(str(path)))
    assert row["verdict"] == "no verdict" and row["mode"] == "report"
    assert "splendid" in row["problem"] and "explode" in row["problem"]


# -- rows -------------------------------------------------------------------------------------------------------------------------------


def test_a_row_says_everything(tmp_path):
    path = tmp_path / "a.png"
    chosen = Settings(enabled=True, mode="damp", sensitivity="high", profile="testbed")
    path.write_bytes(encoded("png", infotext(STRONG, Verdict("stable", 0.0, detector="watch"), chosen=chosen)))
    row = examine(Item(str(path)))
    expected = {"verdict": "strong", "score": 18.2, "flagged_at": 2, "evaluations": 20, "flagged_by": "watch", "damped": 6, "stopped_at": None}
    expected |= {"hires_verdict": "stable", "hires_score": 0.0, "mode": "damp", "sensitivity": "high", "profile": "testbed", "region": "testbed"}
    expected |= {"model": "model, one", "model_hash": "abc123", "seed": "7", "problem": "", "prompt_hash": prompt_hash("a  red\nfox ")}
    assert {name: row[name] for name in expected} == expected
    assert row["version"] and "prompt" not in row and tuple(row) == COLUMNS
    assert examine(Item(str(path)), prompts=True)["prompt"] == "a red fox"


def test_a_damped_image_has_a_score_before_and_one_after(tmp_path):
    damped = Verdict("strong", 9.0, flagged_at=3, evaluations=20, damped=18, detector="watch", outcome="steered away", score_after=0.0)
    path = tmp_path / "a.txt"
    path.write_text(infotext(damped, replace(damped, score_after=-0.75)), encoding="utf-8")
    row = examine(Item(str(path)))
    assert [row[name] for name in ("score", "score_after", "hires_score", "hires_score_after")] == [9.0, 0.0, 9.0, -0.75]
    path.write_text(infotext(STRONG), encoding="utf-8")
    assert examine(Item(str(path)))["score_after"] is None


def test_a_stopped_image(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(infotext(Verdict("strong", 9.0, flagged_at=3, evaluations=20, stopped_at=3, detector="probe")), encoding="utf-8")
    assert (examine(Item(str(path)))["stopped_at"], examine(Item(str(path)))["flagged_by"]) == (3, "probe")


def test_no_verdict_says_why(tmp_path):
    for name, text, why in (
        ("off", format_text("x", "", HOST), "guard off"),
        ("early", infotext(verdict=None), "guard on, no verdict in it"),
        ("none", "just a prompt", "no infotext"),
    ):
        path = tmp_path / f"{name}.png"
        path.write_bytes(encoded("png", text))
        assert (examine(Item(str(path)))["verdict"], examine(Item(str(path)))["problem"]) == ("no verdict", why)


def test_the_text_beside_a_picture(tmp_path):
    """The hosts can write both: one image, one row."""
    for name in ("stripped", "both"):
        (tmp_path / f"{name}.txt").write_text(infotext(STABLE), encoding="utf-8")
    Image.new("RGB", (8, 8)).save(tmp_path / "stripped.png")
    (tmp_path / "both.png").write_bytes(encoded("png", infotext(STRONG)))
    table = list(audit.rows(list(audit.find([tmp_path]))))
    assert [(Path(row["file"]).name, row["verdict"]) for row in table] == [("both.png", "strong"), ("stripped.png", "stable")]


@pytest.mark.parametrize("beside, verdict", [(STABLE, "unreadable"), (Verdict("not judged", reason="no profile"), "unreadable"), (STRONG, "strong")])
def test_a_text_beside_makes_no_broken_picture_stable(tmp_path, beside, verdict):
    (tmp_path / "broken.png").write_bytes(encoded("png", infotext(STRONG)).replace(b"Steps: ", b"Stops: ", 1))
    (tmp_path / "broken.txt").write_text(infotext(beside), encoding="utf-8")
    (row,) = audit.rows(list(audit.find([tmp_path])))
    assert row["verdict"] == verdict and "the checksum of its text is wrong" in row["problem"]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_infotexts_in_a_picture_the_graver_counts(tmp_path, order):
    info = PngInfo()
    for one, prompt in [(STRONG, "first"), (STABLE, "second")][::order]:
        info.add_text("parameters", infotext(one).replace(infotext(one).split("\n")[0], prompt, 1))
    Image.new("RGB", (8, 8)).save(tmp_path / "twice.png", pnginfo=info)
    row = examine(Item(str(tmp_path / "twice.png")), prompts=True)
    assert row["verdict"] == "strong" and row["prompt"] == ("second" if order == 1 else "first")
    assert ("more than one verdict" in row["problem"]) == (order == 1)


@pytest.mark.parametrize("behind", ["\nTemplate: {red|green} fox", "\nTemplate: x, MG verdict: stable\nNegative Template: y"])
def test_lines_behind_the_parameters_do_not_hide_a_verdict(capsys, tmp_path, behind):
    """As sd-dynamic-prompts writes them."""
    (tmp_path / "a.png").write_bytes(encoded("png", infotext(STRONG) + behind))
    status, out, _ = run(capsys, tmp_path, "--fail-on", "strong")
    assert status == 1 and "strong                1" in out
    assert examine(Item(str(tmp_path / "a.png")))["prompt_hash"] == prompt_hash("a red fox")


def test_a_raw_newline_in_anothers_value_does_not_hide_a_verdict(capsys, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("png", infotext(STRONG).replace("MG mode", "Wildcard: one\ntwo, MG mode")))
    assert run(capsys, tmp_path, "--fail-on", "strong")[0] == 1


@pytest.mark.parametrize("name", ["a.heif", "a.heic", "a.jxl", "a.jfif", "a.gif", "a.JFIF"])
def test_rarer_endings_are_read(capsys, tmp_path, name):
    kind = {"heif": "heif-by-hand", "heic": "heif-by-hand", "jxl": "jxl-by-hand", "jfif": "jpeg", "gif": "gif"}[name[2:].lower()]
    (tmp_path / name).write_bytes(encoded(kind, infotext(STRONG)))
    status, out, _ = run(capsys, tmp_path, "--fail-on", "strong")
    assert status == 1 and out.startswith("1 files")


@pytest.mark.parametrize("ending", ["bmp", "TIFF", "tif"])
def test_pictures_that_are_not_read_are_named(capsys, tmp_path, ending):
    Image.new("RGB", (8, 8)).save(tmp_path / f"a.{ending}")
    status, out, err = run(capsys, tmp_path, "--fail-on", "no-verdict")
    assert status == 1 and out.startswith("1 files") and f"a.{ending}: pictures of this kind are not read: .{ending.lower()}" in err


def test_copies_that_systems_keep_do_not_count(capsys, tmp_path):
    (tmp_path / "00001.png").write_bytes(encoded("png", infotext()))
    for folder in ("@eaDir/00001.png", ".thumbnails/normal", "#recycle", "__MACOSX", ".Trash-1000/files", "$RECYCLE.BIN"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "SYNOPHOTO_THUMB_M.jpg").write_bytes(encoded("jpeg", infotext(STABLE)))
    (tmp_path / "._00001.png").write_bytes(b"\0\x05\x16\x07" + bytes(100))
    assert run(capsys, tmp_path)[1].startswith("1 files")
    # A picture that is only called so is one.
    (tmp_path / "._real.png").write_bytes(encoded("png", infotext()))
    assert run(capsys, tmp_path)[1].startswith("2 files")
    assert run(capsys, tmp_path / ".thumbnails")[1].startswith("1 files")


# -- the command ------------------------------------------------------------------------------------------------------------------------


def test_summary(capsys, tree):
    status, out, err = run(capsys, tree)
    assert status == 0
    counts = {line[:12].strip(): line[12:].split() for line in out.splitlines()[2:]}
    expected = {"stable": ["2"], "mild": ["0", "1"], "strong": ["2"], "not judged": ["1"], "no verdict": ["1"], "unreadable": ["2"]}
    assert out.startswith("8 files") and counts == expected | {"damped": ["2"], "stopped": ["0"]}
    assert "broken.png: ends early" in err and "empty.jpg: is empty" in err and "readme" not in err


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_out(capsys, tree, tmp_path, suffix):
    target = tmp_path / "new" / f"table.{suffix}"
    run(capsys, tree, "--out", target, "--prompts")
    with open(target, encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file)) if suffix == "csv" else [json.loads(line) for line in file]
    assert list(table[0]) == [*COLUMNS, "prompt", "carriers"] and len(table) == 8
    by_name = {Path(row["file"]).name: row for row in table}
    assert by_name["0.png"]["verdict"] == "strong" and str(by_name["0.png"]["score"]) == "18.2" and by_name["0.png"]["prompt"] == "a red fox"
    assert by_name["1.jpeg"]["hires_verdict"] == "mild" and by_name["2.webp"]["reason"] == "no profile"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("kept", "choice", "status"),
    [
        ("0.png", "mild", 1),
        ("0.png", "strong", 1),
        ("0.png", "not-judged", 0),
        ("1.jpeg", "mild", 1),  # its hires pass
        ("1.jpeg", "strong", 0),
        ("2.webp", "not-judged", 1),
        ("2.webp", "no-verdict", 0),
        ("3.avif", "mild", 0),
        ("4.png", "no-verdict", 1),
        ("broken.png", "no-verdict", 1),
        ("broken.png", "strong", 0),
    ],
)
def test_fail_on(capsys, tree, kept, choice, status):
    (path,) = tree.rglob(kept)
    assert run(capsys, path, "--fail-on", choice)[0] == status


def test_fail_on_several(capsys, tree):
    (path,) = tree.rglob("2.webp")
    assert run(capsys, path, "--fail-on", "strong", "--fail-on", "not-judged")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nowhere"],
        [os.devnull],
        [".", "--out", "x.png"],
        [".", "--fail-on", "stable"],
        [".", "--jobs", "-1"],
        [".", "--expect", "0"],
        ["--verify-ledger", "nowhere"],
        ["--verify-ledger", ".", "."],
        ["--verify-ledger", ".", "--expect", "xyz"],
    ],
)
def test_bad_use_is_one_line(capsys, arguments):
    status, out, err = run(capsys, *arguments)
    assert status == 2 and not out and err.count("\n") == 1 and "Traceback" not in err


def test_links_in_circles(capsys, tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.png").write_bytes(encoded("png", infotext()))
    (folder / "back").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(folder)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "dangling.png").symlink_to(tmp_path / "gone.png")
    status, out, _ = run(capsys, tmp_path, folder, tmp_path)
    assert status == 0 and out.startswith("1 files")


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_hostile_names(capsys, tmp_path):
    (tmp_path / "=cmd()\x1b[31m\n.png").write_bytes(b"nothing")
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(encoded("png", infotext(Model="=1+1")))
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "nothing.txt")
    assert run(capsys, tmp_path / "pipe.png")[0] == 2
    for suffix in ("csv", "jsonl"):
        status, _, err = run(capsys, tmp_path, "--out", tmp_path / f"o.{suffix}")
        assert status == 0 and "\x1b" not in err and err.count("\n") == 1
    with open(tmp_path / "o.csv", encoding="utf-8", newline="") as file:
        assert sorted(row["model"] for row in csv.DictReader(file)) == ["", "'=1+1"]
    table = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(row["model"] or "" for row in table) == ["", "=1+1"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden here")
def test_what_may_not_be_read(capsys, tree):
    (tree / "day 0").chmod(0)
    try:
        status, out, err = run(capsys, tree)
    finally:
        (tree / "day 0").chmod(0o755)
    assert status == 0 and "Permission denied" in err and out.startswith("5 files")


def test_processes_say_the_same(tree):
    items = list(audit.find([tree])) * 60
    assert list(audit.rows(items, jobs=2)) == list(audit.rows(items, jobs=1))


def test_a_bar_on_a_terminal_and_nothing_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(audit._with_progress([{}, {}], 2)) == [{}, {}]
    assert "0/2 [" in capsys.readouterr().err
    monkeypatch.undo()
    assert list(audit._with_progress([{}], 1)) == [{}] and capsys.readouterr().err == ""


def test_verify_ledger(capsys, tmp_path):
    ledger.append(tmp_path, [{"verdict": "strong"}, {"verdict": "stable"}])
    noted = ledger.last_hash(tmp_path)
    status, out, _ = run(capsys, "--verify-ledger", tmp_path)
    assert status == 0 and f"last hash: {noted}" in out and "sound: 2 lines in 1 file" in out
    ledger.append(tmp_path, [{"verdict": "mild"}])
    assert run(capsys, "--verify-ledger", tmp_path, "--expect", noted)[0] == 0
    (path,) = ledger.files(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    assert run(capsys, "--verify-ledger", tmp_path)[0] == 0
    status, out, _ = run(capsys, "--verify-ledger", tmp_path, "--expect", noted)
    assert status == 1 and "cut off" in out and "NOT sound" in out


def test_verify_ledger_says_what_was_lost_and_mended(capsys, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        ledger.append(tmp_path, [{}, {}])
    ledger.append(tmp_path, [{}])
    (path,) = ledger.files(tmp_path)
    with open(path, "ab") as file:
        file.write(b"torn")
    ledger.append(tmp_path, [{}])
    status, out, _ = run(capsys, "--verify-ledger", tmp_path)
    assert status == 0 and out.startswith(f"note: before {path.name} line 1, 2 line(s) could not be written: No space left on device\n")
    assert "4 bytes of a torn line were taken out" in out and "\nsound: 2 lines in 1 file\n" in out


def test_as_a_program(tree):
    done = subprocess.run([sys.executable, "-m", "lib_stability", "audit", str(tree), "--fail-on", "strong"], capture_output=True, text=True)
    assert done.returncode == 1 and "8 files" in done.stdout
