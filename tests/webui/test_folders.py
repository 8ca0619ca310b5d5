"""Which folders the page may look into."""

from __future__ import annotations

import os

import pytest

from lib_stability.validation import ValidationError
from lib_stability.webui.tasks import folders
from lib_stability.webui.tasks.folders import Root


@pytest.fixture
def place(tmp_path):
    """A host's folder with an output folder in it, and a private one beside."""
    for name in ("host/outputs/day", "host/outputs-of-others", "private/sub"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def refused(text: str, roots: list[Root], base: object) -> str:
    with pytest.raises(ValidationError) as error:
        folders.permitted(text, roots, str(base))
    message = str(error.value)
    assert message.startswith("folder: ") and "\n" not in message
    return message


def test_output_folders_and_what_is_below(place):
    base = str(place / "host")
    roots = [Root.of("outputs", base)]
    for text in ("outputs", "outputs/", "outputs/day", "./outputs//day", str(place / "host" / "outputs"), "outputs/not there"):
        assert folders.permitted(text, roots, base).startswith(str(place / "host" / "outputs"))


@pytest.mark.parametrize(
    "text", ["", ".", "/", "private", "/etc", "outputs-of-others", "outputs\0", "x" * 5000, "~", "C:\\Windows", "//server/share"]
)
def test_anything_else_is_refused(place, text):
    refused(text, [Root.of("outputs", str(place / "host"))], place / "host")
    refused(text, [], place / "host")


@pytest.mark.parametrize("text", ["..", "outputs/..", "outputs/../outputs", "outputs/day/../../../private", "outputs\\..\\..\\private"])
def test_no_way_up(place, text):
    assert "'..'" in refused(text, [Root.of("outputs", str(place / "host"))], place / "host")


def test_links_are_followed_before_the_answer(place):
    base = place / "host"
    os.symlink(place / "private", base / "outputs" / "out")
    os.symlink(base / "outputs" / "day", base / "outputs" / "in")
    os.symlink(place / "private", base / "elsewhere")
    roots = [Root.of("outputs", str(base)), Root.of("elsewhere", str(base))]
    assert folders.permitted("outputs/in", roots, str(base))
    refused("outputs/out", roots[:1], base)
    refused("outputs/out/sub", roots[:1], base)
    # An output folder that is a link itself is where it leads to.
    assert folders.permitted("elsewhere/sub", roots, str(base)) and folders.is_open(str(place / "private" / "sub"), roots)
    assert not folders.is_open(str(place / "private"), roots[:1])


def test_a_name_elsewhere_is_not_looked_up(place, monkeypatch):
    roots = [Root.of("outputs", str(place / "host"))]
    monkeypatch.setattr(os.path, "realpath", lambda path: pytest.fail(f"{path} was looked up"))
    refused(str(place / "private"), roots, place / "host")


def test_one_answer_whether_it_exists_or_not(place):
    roots = [Root.of("outputs", str(place / "host"))]
    assert refused(str(place / "private"), roots, place) == refused(str(place / "no such"), roots, place)
