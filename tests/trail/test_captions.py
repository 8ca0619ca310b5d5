"""Training sets as trainers have them: each kind told by its content, captions with their pictures, what makes no sense named and passed over."""

from __future__ import annotations

import json

import pytest
from PIL import Image, PngImagePlugin

from lib_stability.trail.captions import entry, folders

INFOTEXT = "a (red:1.2) fox <lora:mine:0.8>\nNegative prompt: blurry\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1"


def picture(path, text: str = ""):
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    if text:
        info.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    return path


def read(path, **options) -> tuple[list[tuple], list[str]]:
    captions, problems = folders.read(path, **options)
    return [(one.text, one.count, [where.name for where in one.pictures]) for one in captions], problems


# -- text --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("a cat (orange), [sleeping]", r"a cat \(orange\), \[sleeping\]"),
        (r"miku \(vocaloid\)", r"miku \(vocaloid\)"),
        ("a cat AND a dog BREAK", "a cat and a dog break"),
        ("mine, 1girl <lora:mine:0.8>", "mine, 1girl <lora:mine:0.8>"),
        ("<lora:my (best):1> a (cat)", r"a \(cat\) <lora:my (best):1>"),
        ("ratio 3:2, tags: a", "ratio 3:2, tags: a"),
        ("a (b:1.5) [c] <lora:x:1> AND d BREAK", r"a \(b:1.5\) \[c\] and d break <lora:x:1>"),
        (r"a \\(b\)", r"a \\\(b\)"),  # a backslash that stands for itself escapes nothing
    ],
)
def test_a_plain_caption_as_a_prompt(text, prompt):
    assert entry.escaped(text) == prompt


def test_lines_of_a_text_file(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes("\ufeffa fox\r\n\r\n# no\r\na fox\r\na (blue) fox\r\n".encode())
    assert read(path) == ([("a fox", 2, []), ("a (blue) fox", 1, [])], [])
    (_, blue), _ = folders.read(path)
    (_, weighted), _ = folders.read(path, prompts=True)
    assert blue.prompt == r"a \(blue\) fox" and weighted.prompt == "a (blue) fox"


def test_a_prompt_file_with_options(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text('--prompt "a (red:1.2) fox" --steps 20\n--steps 20\n--prompt "open\nplain line\n', encoding="utf-8")
    captions, problems = folders.read(path)
    assert [one.prompt for one in captions] == ["a (red:1.2) fox", "plain line"]
    assert problems == [f"prompts.txt, line {number}: has no --prompt that can be read, left out" for number in (2, 3)]


def test_infotexts_one_below_the_other(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(f"{INFOTEXT}\n\n{INFOTEXT.replace('fox', 'cat')}\n", encoding="utf-8")
    captions, _ = folders.read(path)
    assert [one.prompt for one in captions] == ["a (red:1.2) fox <lora:mine:0.8>", "a (red:1.2) cat <lora:mine:0.8>"]


def test_what_no_web_ui_would_take_is_named(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_bytes(b"good\n" + b"x" * 3000 + b"\nbro\xffken\nnul\x00l\nalso good\n")
    captions, problems = read(path)
    assert [one[0] for one in captions] == ["good", "also good"]
    assert [part for part in ("longer than 2000", "line 3: not UTF-8", "control character") if any(part in one for one in problems)] and len(
        problems
    ) == 3


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"\xff" * 40])
def test_nothing_at_all_is_an_error_in_one_line(tmp_path, content):
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^captions\.txt: holds no caption") as error:
        folders.read(path)
    assert "\n" not in str(error.value)


def test_utf_16(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("ein Fuchs\nein Hase\n", encoding="utf-16")
    assert [one[0] for one in read(path)[0]] == ["ein Fuchs", "ein Hase"]


# -- tables ------------------------------------------------------------------------------------------------------------------------------


def test_metadata_jsonl(tmp_path):
    rows = [{"file_name": "a.png", "text": "a fox"}, {"file_name": "b.png", "caption": "a (cat)"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join([json.dumps(rows[0]), "{broken", json.dumps(rows[1]), '{"file_name": "c.png"}']), "utf-8")
    found, problems = read(tmp_path / "metadata.jsonl")
    assert found == [("a fox", 1, ["a.png"]), ("a (cat)", 1, ["b.png"])]
    assert problems == ["metadata.jsonl, line 2: is not JSON, left out", "metadata.jsonl, line 4: holds no caption, left out"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"img/a.png": {"caption": "a fox", "tags": "x"}, "img/b": {"tags": "1girl, solo"}}, [("a fox", ["a.png"]), ("1girl, solo", ["b.webp"])]),
        ({"a.png": "a fox"}, [("a fox", ["a.png"])]),
        ([{"image": "a.png", "prompt": "a fox"}, "a hare"], [("a fox", ["a.png"]), ("a hare", [])]),
        ({"images": [{"path": "a.png", "captions": ["a fox", "a red fox"]}]}, [("a fox", ["a.png"]), ("a red fox", ["a.png"])]),
        ({"caption": "a fox"}, [("a fox", [])]),
        ({"caption": ["a", 1, None]}, [("a", [])]),
    ],
)
def test_json(tmp_path, value, found):
    picture(tmp_path / "img" / "b.webp")
    (tmp_path / "set.json").write_text(json.dumps(value), encoding="utf-8")
    assert [(text, pictures) for text, _, pictures in read(tmp_path / "set.json")[0]] == found


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": 1}', "[1, null, true]", "{}", "[]"])
def test_json_that_holds_none(tmp_path, text):
    (tmp_path / "set.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="holds no caption"):
        folders.read(tmp_path / "set.json")


def test_csv_with_and_without_names(tmp_path):
    (tmp_path / "a.csv").write_text('file_name,num_repeats,text\na.png,3,"a fox, red"\nb.png,x,\n', encoding="utf-8")
    assert read(tmp_path / "a.csv") == ([("a fox, red", 3, ["a.png"])], ["a.csv, row 3: holds no caption, left out"])
    (tmp_path / "b.csv").write_text('a.png,"a fox, red"\nb.png,a hare\n', encoding="utf-8")
    assert [one[0] for one in read(tmp_path / "b.csv")[0]] == ["a fox, red", "a hare"]
    (tmp_path / "c.tsv").write_text("caption\timage\na fox, red\ta.png\n", encoding="utf-8")
    assert read(tmp_path / "c.tsv")[0] == [("a fox, red", 1, ["a.png"])]


def test_parquet(tmp_path):
    arrow, parquet = (pytest.importorskip(name, exc_type=ImportError) for name in ("pyarrow", "pyarrow.parquet"))

    table = arrow.table({"TEXT": ["a fox", "a hare", "a fox"], "image": [{"bytes": b"x", "path": "a.png"}] * 3, "other": [1, 2, 3]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == [("a fox", 2, ["a.png"]), ("a hare", 1, ["a.png"])]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="is no Parquet file that can be read"):
        folders.read(tmp_path / "b.parquet")


def test_parquet_without_pyarrow_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="needs pyarrow"):
        folders.read(tmp_path / "a.parquet")


# -- folders -----------------------------------------------------------------------------------------------------------------------------


def test_kohyas_folders(tmp_path):
    for name, captions in (("10_mine girl", {"a": "mine, red hat\nsecond line", "b": None}), ("2_other", {"c": "mine, red hat", "d": "blue"})):
        for stem, caption in captions.items():
            picture(tmp_path / name / f"{stem}.png")
            if caption:
                (tmp_path / name / f"{stem}.{'caption' if stem == 'd' else 'txt'}").write_text(caption, encoding="utf-8")
    found, problems = read(tmp_path)
    assert found == [("mine, red hat", 12, ["a.png", "c.png"]), ("mine girl", 10, ["b.png"]), ("blue", 2, ["d.png"])] and problems == []
    assert read(tmp_path / "10_mine girl")[0] == [("mine, red hat", 10, ["a.png"]), ("mine girl", 10, ["b.png"])]


def test_a_folder_of_many_kinds(tmp_path):
    picture(tmp_path / "listed.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "listed.png", "text": "from the list"}\n', encoding="utf-8")
    picture(tmp_path / "generated.png", INFOTEXT)
    picture(tmp_path / "own.png")
    (tmp_path / "own.json").write_text('{"caption": "from its own file"}', encoding="utf-8")
    picture(tmp_path / "bare.png")
    (tmp_path / "more.txt").write_text("a fox\n", encoding="utf-8")
    (tmp_path / ".hidden.txt").write_text("no\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no\n", encoding="utf-8")
    found, problems = read(tmp_path)
    assert sorted(one[0] for one in found) == ["a (red:1.2) fox <lora:mine:0.8>", "a fox", "from its own file", "from the list"]
    assert {text: pictures for text, _, pictures in found}["from its own file"] == ["own.png"]
    assert problems == ["bare.png: has no caption, left out"]


def test_a_caption_that_cannot_be_read_costs_its_picture_alone(tmp_path):
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfeb")  # half of a character
    (tmp_path / "b.txt").write_text("good", encoding="utf-8")
    found, problems = read(tmp_path)
    assert found == [("good", 1, ["b.png"])] and len(problems) == 1 and problems[0].startswith("a: its caption cannot be read")


def test_no_more_than_a_web_ui_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(entry, "MOST", 3)
    path = tmp_path / "captions.txt"
    path.write_text("\n".join(["a", "b", "a", "c", "d", "e"]), encoding="utf-8")
    found, problems = read(path)
    assert found == [("a", 2, []), ("b", 1, []), ("c", 1, [])] and problems == ["more than 3 captions, the rest is left out"]
