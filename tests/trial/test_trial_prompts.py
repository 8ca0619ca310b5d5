"""Prompt sets as they are published, and captions that a web UI is not to take for its own syntax."""

import json

import pytest

from lib_stability.trial import prompts

#: A line of the 500 memorized prompts of SD 1.x, as they are handed around.
PUBLISHED = {"caption": "<i>Breaking Bad</i> Fans Get a Chance", "index": 269481798, "url": "http://cdn.example/x.jpg"}


def test_json_lines_with_captions_and_addresses(tmp_path):
    path = tmp_path / "sdv1_500_memorized.jsonl"
    path.write_text(json.dumps(PUBLISHED) + "\n\n" + json.dumps({"caption": "a  Caf\u00e9", "url": "x"}) + "\n" + json.dumps(PUBLISHED))
    assert prompts.read(path) == ["<i>Breaking Bad</i> Fans Get a Chance", "a Café"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'index,url,Prompt\n0,http://x,"red, round"\n1,http://y,blue\n'),
        ("a.csv", '\ufeffCAPTION\n"red, round"\nblue\n'),
        ("a.tsv", "text\turl\nred, round\tx\nblue\ty\n"),
        ("a.json", '["red, round", "blue"]'),
        ("a.json", '[{"prompt": "red, round"}, {"prompt": "blue", "n": 1}]'),
        ("a.jsonl", '"red, round"\n"blue"\n'),
        ("a.txt", "# a comment\nred, round\n\nblue\nblue\n"),
    ],
)
def test_every_form_gives_the_same_prompts(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert prompts.read(tmp_path / name) == ["red, round", "blue"]


def test_a_caption_goes_before_another_column(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "no", "caption": "yes"}\n')
    assert prompts.read(tmp_path / "a.jsonl") == ["yes"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"caption": "x"}\n{broken\n', "a.jsonl, line 2: not JSON"),
        ("a.jsonl", b'{"url": "x"}\n', "a.jsonl, line 1: has no column called caption"),
        ("a.csv", b"url,size\nx,1\n", "a.csv, line 2: has no column"),
        ("a.jsonl", b'{"caption": 7}\n', "line 1: the prompt is no text"),
        ("a.csv", b"prompt\n" + b"x" * 2001 + b"\n", "line 2: longer than 2000"),
        ("a.jsonl", b'{"caption": "x\\u0000y"}\n', "line 1: holds a control character"),
        ("a.csv", b"prompt\n\xff\n", "a.csv: not UTF-8"),
        ("a.json", b"[]", "a.json: holds no prompt"),
        ("a.csv", b"", "a.csv: empty"),
        ("a.txt", b"\n", "a.txt: holds no prompt"),
    ],
)
def test_refusals_name_file_and_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        prompts.read(tmp_path / name)


def test_every_letter_of_a_caption_is_text_to_a_web_ui():
    assert prompts.literal("Lifted Up (1985) [live] a\\b") == r"Lifted Up \(1985\) \[live\] a\\b"
    assert prompts.literal("Rock AND Roll BREAK SANDY") == "Rock and Roll break SANDY"
    assert prompts.literal("<i>x</i> <lora:y:1>") == "<i>x</i> < lora:y:1>"


def test_a_set_is_known_by_its_prompts_in_any_order():
    assert prompts.digest(["a", "b"]) == prompts.digest(["b", "a"]) != prompts.digest(["a", "c"])
