"""Import, export and deletion of the user's profiles."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lib_stability.profile import files, profiles
from lib_stability.shell import cli
from lib_stability.validation import ValidationError


@pytest.fixture
def mine(tmp_path):
    """A profile file called "My model (v2)", and the user's folder."""
    data = json.loads((profiles.BUNDLED / "testbed.json").read_text(encoding="utf-8"))
    data["name"] = "My model (v2)"
    path = tmp_path / "somewhere" / "any name.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data), encoding="utf-8")
    return path, tmp_path / "user"


def run(capsys, folder, *words: str) -> tuple[int, str, str]:
    status = cli.main(["profiles", *words, "--folder", str(folder)])
    return status, *capsys.readouterr()


def test_there_and_back(mine, capsys, tmp_path):
    path, folder = mine
    assert run(capsys, folder, "import", str(path))[0] == 0
    (file,) = folder.iterdir()
    assert file.name.startswith("My-model-v2.") and profiles.read(file).name == "My model (v2)"
    assert "My model (v2)" in run(capsys, folder)[1]
    assert run(capsys, folder, "import", str(path))[0] == 0 and list(folder.iterdir()) == [file]
    assert run(capsys, folder, "export", "My model (v2)", str(tmp_path / "out.json"))[0] == 0
    assert profiles.read(tmp_path / "out.json").to_json() == profiles.read(path).to_json()
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 0 and list(folder.iterdir()) == []
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 2


def test_bundled_ones_stay(mine, capsys):
    _, folder = mine
    status, _, said = run(capsys, folder, "delete", "Testbed")
    assert status == 2 and "is bundled and cannot be deleted" in said and (profiles.BUNDLED / "testbed.json").exists()
    status, _, said = run(capsys, folder, "import", str(profiles.BUNDLED / "testbed.json"))
    assert status == 2 and "bundled" in said and not folder.exists()


@pytest.mark.parametrize("words", [["import"], ["delete"], ["export", "Testbed"], ["import", "a", "b"], ["Testbed", "more"]])
def test_wrong_words_in_one_line(mine, capsys, words):
    status, _, said = run(capsys, mine[1], *words)
    assert status == 2 and len(said.strip().splitlines()) == 1


def test_what_is_no_profile_is_refused(mine, capsys):
    path, folder = mine
    path.write_text('{"format": "memorization-guard-profile", "version": 1}', encoding="utf-8")
    status, _, said = run(capsys, folder, "import", str(path))
    assert status == 2 and "any name.json" in said and not folder.exists()


def test_file_names_are_never_paths():
    names = {files.file_name(name) for name in ("../../x", "a/b", "a-b", "", "ä", "A b")}
    assert len(names) == 6 and not any("/" in name or name.startswith(".") for name in names)


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.mkdir])
def test_what_is_no_file_is_refused_and_waited_for_by_nobody(tmp_path, make):
    make(tmp_path / "odd.json")
    assert [message.split(":")[0] for message in profiles.load_all([tmp_path])[1]] == ["odd.json"]
    assert files.find("nobody", tmp_path) == []
    with pytest.raises((OSError, ValidationError)):
        profiles.read(tmp_path / "odd.json")
