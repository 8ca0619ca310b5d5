"""``trial`` on the command line, as far as no web UI is wanted: what is refused, what is passed on, tables of many."""

from __future__ import annotations

import json

import pytest

from lib_stability.shell import cli, trial_commands
from lib_stability.trial.plan import Plan


def run(capsys, *arguments) -> tuple[int, str, str]:
    status = cli.main(["trial", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err.strip()


def test_what_is_missing_is_named(capsys, tmp_path):
    status, _, said = run(capsys, "--webui-url", "http://127.0.0.1:9", "--out", tmp_path)
    assert status == 2 and said.endswith("trial wants --memorized, --ordinary") and len(said.splitlines()) == 1


def test_prompts_in_both_files_are_refused(capsys, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"{name}\nthe same\n")
    files = "--memorized", tmp_path / "a.txt", "--ordinary", tmp_path / "b.txt"
    status, _, said = run(capsys, "--webui-url", "http://127.0.0.1:9", *files, "--out", tmp_path / "out")
    assert status == 2 and "1 prompts stand in both files, such as 'the same'" in said and not (tmp_path / "out").exists()


def test_a_web_ui_that_does_not_answer_is_said_in_one_line(capsys, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    files = "--memorized", tmp_path / "a", "--ordinary", tmp_path / "b"
    status, _, said = run(capsys, "--webui-url", "http://127.0.0.1:9", *files, "--out", tmp_path / "out")
    assert status == 2 and "does not answer" in said and len(said.splitlines()) == 1


def test_a_calibration_gets_the_prompts_that_are_its_own():
    asked = []

    class Fake:
        def follow(self, kind: str, body: dict) -> dict:
            asked.append((kind, body))
            return {"profile": "Mine", "runs": 200, "levels": {}}

    plan = Plan(("a",), ("b",), calibrate=200, width=64, height=96)
    assert trial_commands._calibrate(Fake(), plan, ["c", "d"]) == "Mine"
    (kind, body) = asked[0]
    assert kind == "calibrate" and (body["runs"], body["width"], body["height"], body["prompts"]) == (200, 64, 96, ["c", "d"])


def test_merging_refuses_what_is_no_shared_trial(capsys, tmp_path):
    (tmp_path / "odd.json").write_text(json.dumps({"format": "other"}))
    status, _, said = run(capsys, "--merge", tmp_path / "odd.json", tmp_path / "none.json")
    assert status == 2 and "odd.json" in said and "none.json" in said and "none of these files" in said


@pytest.mark.parametrize("option", ["--seeds", "--steps", "--guidance", "--calibrate", "--width"])
def test_bad_numbers_name_their_option(capsys, option):
    with pytest.raises(SystemExit):
        cli.main(["trial", option, "many"])
    assert option in capsys.readouterr().err
