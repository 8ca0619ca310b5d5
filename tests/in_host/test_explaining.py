"""Which words carry a memorized caption, over the host's own model: shares, the smallest rewording that is stable, and where both are shown."""

from __future__ import annotations

import csv
import html
import json

import pytest
from asking import Asker
from test_calibrating import folder  # noqa: F401
from test_scanning import MEMORIZED, SIZE, UNSEEN, run, scanned

from lib_stability.validation import ValidationError
from lib_stability.webui.tasks import background, explaining


def explained(*captions: str, **options) -> list[dict]:
    body = {"captions": list(captions), "profile": "Testbed", "seeds": 2, **SIZE, **options}
    task = explaining.task(explaining.Options.parse(body)).start()
    assert task.wait(300) and task.state == "done", task.to_json()
    return task.result["rows"]


def test_shares_name_what_carries_a_caption_and_the_rewording_is_stable(folder, host):  # noqa: F811
    for row in explained(*MEMORIZED[:3]):
        assert row["verdict"] in ("mild", "strong")
        assert " ".join(word["text"] for word in row["words"]) == row["caption"]
        assert max(word["share"] for word in row["words"]) > 0.5
        found = row["suggestion"]
        # As few words as can be: none of those that are left out may come back.
        assert found and set(found["without"]) < {word["text"] for word in row["words"]}
        (fresh,) = scanned([found["text"]], seeds=8, first_seed=900)["rows"]
        assert fresh["verdict"] == "stable" and found["text"] != row["caption"]


def test_of_one_word_that_does_it_no_second_is_left_out(folder, host):  # noqa: F811
    (row,) = explained(MEMORIZED[0])
    alone = [word for word in row["words"] if word["median"] <= row["threshold"]]
    assert (len(row["suggestion"]["without"]) == 1) == bool(alone)


def test_an_ordinary_caption_has_shares_and_needs_no_rewording(folder, host):  # noqa: F811
    (row,) = explained(UNSEEN[0])
    assert row["verdict"] == "stable" and row["suggestion"] is None and row["note"] == "" and len(row["words"]) == len(UNSEEN[0].split())


def test_a_single_word_and_weights_and_tags(folder, host):  # noqa: F811
    one, weighed = explained("circle", f"({MEMORIZED[0]}:1.2), ")
    assert one["words"] == [] and "two words" in one["note"]
    assert [weighed["caption"][start:end] for word in weighed["words"] for start, end in word["spans"]] == MEMORIZED[0].split()


def test_words_of_the_negative_prompt_are_left_in(folder, host):  # noqa: F811
    first, *rest = MEMORIZED[0].split()
    (row,) = explained(MEMORIZED[0], negative_prompt=first.upper())
    assert [word["text"] for word in row["words"]] == rest


def test_a_caption_that_nothing_judges_says_so(folder, host, checkpoint):  # noqa: F811
    checkpoint("unknown", "v")
    task = explaining.task(explaining.Options.parse({"captions": ["a cat"], "profile": "Testbed"})).start()
    assert task.wait(60) and task.state == "failed" and "calibrate this checkpoint first" in task.error


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "captions"),
        ({"captions": ["a"] * 3 + [str(n) for n in range(64)]}, "captions"),
        ({"captions": ["a"], "negative_prompt": 3}, "negative_prompt"),
    ],
)
def test_bad_options_name_their_field(host, body, field):
    with pytest.raises(ValidationError, match=f"^{field}: "):
        explaining.Options.parse(body)


def test_the_command_line_explains_what_it_flags_and_goes_on(folder, server, tmp_path, capsys, options):  # noqa: F811
    captions, out = tmp_path / "prompts.txt", tmp_path / "out"
    captions.write_text(f"{UNSEEN[0]}\n{MEMORIZED[0]}\n", encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(out), "--seeds", "1", "--width", "128", "--height", "128", "--explain"]
    status, said, _ = run(capsys, *arguments)
    assert status == 0 and "carried by" in said and "stable without" in said
    (kept,) = (json.loads(line) for line in (out / "explain.jsonl").read_text(encoding="utf-8").splitlines())
    assert kept["row"]["caption"] == MEMORIZED[0]
    shown = (out / "scan.html").read_text(encoding="utf-8")
    assert shown.count("<mark ") >= 1 and html.escape(kept["row"]["suggestion"]["text"]) in shown
    worst = next(csv.DictReader((out / "scan.csv").open(encoding="utf-8")))
    assert worst["caption"] == MEMORIZED[0] and worst["shares"] and worst["rewording"] == kept["row"]["suggestion"]["text"]
    # Asked again, nothing is evaluated twice.
    from lib_stability.webui.tasks import api_jobs

    before = api_jobs.latest("explain")
    assert run(capsys, *arguments)[0] == 0 and api_jobs.latest("explain") is before


def test_progress_that_starts_anew_has_no_time_left_to_tell():
    task = background.Task("scan", lambda running: {})
    task.progress(3, 10)
    task.progress(0, 10)
    assert task.to_json()["seconds_left"] is None and task.line() == "Scan: 0 of 10"


def test_the_route_is_kept_from_other_sites(host):
    ask = Asker(host)
    assert ask("POST", "explain", {"captions": ["x"]}, origin="https://evil.example")[0] == 403
    assert ask("POST", "explain", {"captions": []})[0] == 422
