"""Import, export and deletion of the user's profiles."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lib_stability.profile import older, own_profiles, storage
from lib_stability.shell import cli
from lib_stability.validation import ValidationError


@pytest.fixture
def mine(tmp_path):
    """A profile file called "My model (v2)", and the user's folder."""
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8"))
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
    status, said, _ = run(capsys, folder, "import", str(path), "--yes")
    assert status == 0 and "It serves testbed in place of Testbed (bundled calibration, 1535 runs" in said
    (file,) = folder.iterdir()
    assert file.name.startswith("My-model-v2.") and storage.read(file).name == "My model (v2)"
    assert "My model (v2)" in run(capsys, folder)[1]
    assert run(capsys, folder, "import", str(path))[0] == 0 and list(folder.iterdir()) == [file]
    assert run(capsys, folder, "export", "My model (v2)", str(tmp_path / "out.json"))[0] == 0
    assert storage.read(tmp_path / "out.json").to_json() == storage.read(path).to_json()
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 0 and list(folder.iterdir()) == []
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 2


def test_bundled_ones_stay(mine, capsys):
    _, folder = mine
    status, _, said = run(capsys, folder, "delete", "Testbed")
    assert status == 2 and "is bundled and cannot be deleted" in said and (storage.BUNDLED / "testbed.json").exists()
    status, _, said = run(capsys, folder, "import", str(storage.BUNDLED / "testbed.json"))
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
    names = {own_profiles.file_name(name) for name in ("../../x", "a/b", "a-b", "", "ä", "A b")}
    assert len(names) == 6 and not any("/" in name or name.startswith(".") for name in names)


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.mkdir])
def test_what_is_no_file_is_refused_and_waited_for_by_nobody(tmp_path, make):
    make(tmp_path / "odd.json")
    assert [message.split(":")[0] for message in storage.load_all([tmp_path])[1]] == ["odd.json"]
    assert own_profiles.find("nobody", tmp_path) == []
    with pytest.raises((OSError, ValidationError)):
        storage.read(tmp_path / "odd.json")


def rewritten(path, **changes) -> None:
    """The same profile with other provenance."""
    data = json.loads(path.read_text(encoding="utf-8"))
    data["provenance"] |= changes
    path.write_text(json.dumps(data), encoding="utf-8")


def test_what_an_import_displaces_is_said_and_has_to_be_agreed_to(mine, capsys):
    path, folder = mine
    status, out, said = run(capsys, folder, "import", str(path))
    assert status == 2 and "in place of Testbed" in out and "--yes" in said and not folder.exists()
    data = json.loads(path.read_text(encoding="utf-8"))
    data["model"] |= {"family": "sd1", "sha256": ""}
    path.write_text(json.dumps(data), encoding="utf-8")
    status, out, _ = run(capsys, folder, "import", str(path))
    assert (
        status == 2 and "every checkpoint of the family sd1 (epsilon) that has no profile of its own in place of SD 1.x prior (bundled prior)" in out
    )


def test_nothing_is_overwritten_for_good(mine, capsys):
    path, folder = mine
    for note in ("first", "second", "third"):
        rewritten(path, note=note)
        status, out, _ = run(capsys, folder, "import", str(path), "--yes")
        assert status == 0 and ("It replaces My model (v2) (imported calibration" in out) == (note != "first")
    (file,) = folder.glob("*.json")

    def note() -> str:
        return storage.read(file).provenance["note"]

    assert note() == "third" and len(run(capsys, folder, "versions", "My model (v2)")[1].splitlines()) == 2
    assert run(capsys, folder, "back", "My model (v2)")[0] == 0 and note() == "second"
    assert run(capsys, folder, "back", "My model (v2)")[0] == 0 and note() == "third"
    assert run(capsys, folder, "back", "My model (v2)", "2")[0] == 0 and note() == "first"
    for wrong in (["back", "My model (v2)", "9"], ["back", "My model (v2)", "x"], ["back", "no such"], ["back"]):
        assert run(capsys, folder, *wrong)[0] == 2
    assert storage.read(file).origin == "imported" and storage.load_all([folder])[1] == []
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 0 and list(folder.iterdir()) == []


def test_only_so_many_versions_are_kept(mine, monkeypatch):
    path, folder = mine
    monkeypatch.setattr(older, "MOST", 3)
    for number in range(6):
        rewritten(path, note=number)
        own_profiles.bring(path, folder)
    assert [profile.provenance["note"] for _, profile in older.versions("My model (v2)", folder)] == [4, 3, 2]


def test_spaces_between_words_do_not_matter(mine):
    path, folder = mine
    for note in (1, 2, 3):
        rewritten(path, note=note)
        own_profiles.bring(path, folder)
    assert own_profiles.back("My   model (v2)", folder).provenance["note"] == 2
    assert len(older.versions("My  model (v2)", folder)) == 2
    assert len(own_profiles.delete("My  model (v2)", folder)) == 1 and list(folder.iterdir()) == []


def test_a_clock_put_back_costs_no_version(mine, monkeypatch):
    path, folder = mine
    monkeypatch.setattr(older, "MOST", 3)
    for number in range(8):
        if number == 5:
            monkeypatch.setattr(older.time, "time_ns", lambda: 10**18)
        rewritten(path, note=number)
        own_profiles.bring(path, folder)
    assert [profile.provenance["note"] for _, profile in older.versions("My model (v2)", folder)] == [6, 5, 4]


def test_a_file_does_not_say_where_it_comes_from(mine, tmp_path):
    """The folder does, and what was done here."""
    path, folder = mine
    rewritten(path, origin="bundled")
    _, file = own_profiles.bring(path, folder)
    assert storage.read(file).origin == "imported" and storage.read(file).standing == "imported calibration"
    own_profiles.hand_out("My model (v2)", tmp_path / "out.json", [folder])
    assert "origin" not in storage.read(tmp_path / "out.json").provenance
    assert {profile.origin for profile in storage.load_all([storage.BUNDLED])[0]} == {"bundled"}


def test_a_file_of_another_profile_is_not_written_over(mine, capsys):
    """It lies where the new one's usually would; both are there afterwards, and stay apart."""
    path, folder = mine
    folder.mkdir()
    usual = folder / own_profiles.file_name("My model (v2)")
    data = json.loads(path.read_text(encoding="utf-8"))
    usual.write_text(json.dumps({**data, "name": "Another"}), encoding="utf-8")
    before = usual.read_bytes()
    for note in ("first", "second"):
        rewritten(path, note=note)
        assert run(capsys, folder, "import", str(path), "--yes")[0] == 0
    assert usual.read_bytes() == before and len(list(folder.glob("*.json"))) == 2
    (found,) = own_profiles.find("My model (v2)", folder)
    assert found.name == usual.name.replace(".json", "-2.json") and [one.name for _, one in older.versions("My model (v2)", folder)] == [
        "My model (v2)"
    ]
    assert run(capsys, folder, "delete", "My model (v2)")[0] == 0 and usual.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path), lambda path: path.symlink_to("gone"), Path.mkdir])
def test_what_is_no_file_in_the_place_of_a_profile_stays(mine, capsys, make):
    path, folder = mine
    folder.mkdir()
    make(folder / own_profiles.file_name("My model (v2)"))
    assert run(capsys, folder, "import", str(path), "--yes")[0] == 0 and len(own_profiles.find("My model (v2)", folder)) == 1
    assert os.path.lexists(folder / own_profiles.file_name("My model (v2)"))


def test_what_nobody_can_read_is_replaced_and_kept(mine, capsys):
    path, folder = mine
    folder.mkdir()
    (folder / own_profiles.file_name("My model (v2)")).write_text("{", encoding="utf-8")
    assert run(capsys, folder, "import", str(path), "--yes")[0] == 0
    assert len(list(folder.glob("*.json"))) == 1 and [one.read_text() for one in (folder / older.FOLDER).iterdir()] == ["{"]
