"""The prompt scan through the host, over HTTP, from the command line and on the tab; and calibration from the command line."""

from __future__ import annotations

import csv
import json
from functools import partial
from html.parser import HTMLParser

import pytest
import tabbing
from conftest import FORGE
from tabbing import open_section, unfold
from test_calibrating import ORDINARY, SMALL, folder  # noqa: F401
from test_served import ROOT, page  # noqa: F401

from lib_stability.guard.sensitivity import Thresholds
from lib_stability.shell import cli
from lib_stability.testbed.world.kinds import memorized, ordinary_samples
from lib_stability.trail import scan_report
from lib_stability.validation import ValidationError
from lib_stability.webui.host import sampling
from lib_stability.webui.job import library
from lib_stability.webui.page import tab, tab_calibrate, tab_parts, tab_profiles, tab_scan
from lib_stability.webui.tasks import api_jobs, scanning

MEMORIZED = [one.caption for one in memorized()]
UNSEEN = [caption for caption, _ in ordinary_samples(24, 77, "evaluation")]
SIZE = {"width": 128, "height": 128}


def scanned(captions: list[str], **options) -> dict:
    task = scanning.task(scanning.Options.parse({"captions": captions, "profile": "Testbed", **SIZE, **options})).start()
    assert task.wait(300) and task.state == "done", task.to_json()
    return task.result


def test_a_scan_ranks_memorized_captions_first(folder, host):  # noqa: F811
    evaluations = host.shared.sd_model.evaluations
    result = scanned(UNSEEN + MEMORIZED[:16], seeds=2)
    # 80 images in ten batches, conditional and empty prompt each: a tenth of what 20 steps would take in the same batches.
    assert host.shared.sd_model.evaluations - evaluations <= 80 / 8 * 20 / 10
    ranked = [row["caption"] for row in scan_report.ranked(result["rows"])]
    assert set(ranked[:16]) == set(MEMORIZED[:16])
    assert [row["caption"] for row in result["rows"]] == UNSEEN + MEMORIZED[:16]
    assert {row["verdict"] for row in result["rows"][24:]} <= {"mild", "strong"} and result["rows"][0]["verdict"] == "stable"
    assert result["captions_per_minute"] > 0 and len(result["rows"][0]["scores"]) == 2


def test_scores_do_not_depend_on_the_batch(folder, host):  # noqa: F811
    captions = [*UNSEEN[:2], MEMORIZED[0]]
    one, other = (scanned(captions, seeds=3, batch_size=size)["rows"] for size in (2, 9))
    for first, second in zip(one, other):
        assert first["scores"] == pytest.approx(second["scores"], abs=0.15)


def test_a_scan_agrees_with_the_guards_probe(folder, generate):  # noqa: F811
    generate({"probe": "always"}, prompt=MEMORIZED[0], seed=3, steps=6, sampler_name="Euler", **SIZE)
    (score,) = scanned([MEMORIZED[0]], seeds=1, first_seed=3)["rows"][0]["scores"]
    assert score == pytest.approx(generate.last()["images"][0]["first"]["trajectory"][0]["probe"], abs=0.15)


def test_without_a_probe_region_it_says_so(folder, host, checkpoint):  # noqa: F811
    checkpoint("unknown", "v")
    task = scanning.task(scanning.Options.parse({"captions": ["a"], "profile": "Testbed"})).start()
    assert task.wait(60) and task.state == "failed" and "calibrate this checkpoint first" in task.error


def test_prompts_are_taken_plainly():
    assert sampling.plain("a cat AND a dog <lora:x:0.5>, [red:blue:0.5]") == "a cat and a dog , [red:blue:0.5]"


ODD = "a (b:1.5) [c] AND d BREAK"


@pytest.fixture
def encoded(host, monkeypatch) -> list[str]:
    """The prompts that the host is given to sample."""
    seen, wrapped = [], host.processing.process_images

    def watched(p):
        seen.extend([p.prompt] if isinstance(p.prompt, str) else p.prompt)
        return wrapped(p)

    monkeypatch.setattr(host.processing, "process_images", watched)
    return seen


def test_plain_captions_weigh_nothing(folder, host, encoded):  # noqa: F811
    assert [row["caption"] for row in scanned([ODD], seeds=1, plain=True)["rows"]] == [ODD]
    assert encoded == ["a \\(b:1.5\\) \\[c\\] and d break"]
    encoded.clear()
    scanned([ODD], seeds=1)
    assert encoded == ["a (b:1.5) [c] and d BREAK"]


def test_the_tab_takes_captions_as_plain_text_unless_told_otherwise(folder, host, encoded, lora, options):  # noqa: F811
    options.set("memorization_guard_networks", library.IGNORE)
    said = f"{ODD} {lora('x', strength=0.001)}"
    *_, (line, ranking, _) = tab_scan.scan(said, 1.0, width=128)
    assert "Scan done" in line and "a (b:1.5) [c] AND d BREAK &lt;lora:x:0.8&gt;" in ranking
    assert encoded == ["a \\(b:1.5\\) \\[c\\] and d break<lora:x:0.8>"]
    encoded.clear()
    list(tab_scan.scan(said, 1.0, width=128, prompts=True))
    assert encoded == ["a (b:1.5) [c] and d BREAK<lora:x:0.8>"]


def test_the_command_line_takes_captions_as_plain_text_unless_told_otherwise(folder, server, tmp_path, capsys, encoded):  # noqa: F811
    (tmp_path / "captions.txt").write_text(ODD, encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out"), "--seeds", "1", "--width", "128"]
    assert run(capsys, *arguments)[0] == 0 and encoded == ["a \\(b:1.5\\) \\[c\\] and d break"]
    encoded.clear()
    assert run(capsys, *arguments, "--prompts")[0] == 0 and encoded == ["a (b:1.5) [c] and d BREAK"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "captions"),
        ({"captions": [" "]}, "captions"),
        ({"captions": ["a"], "seeds": 0}, "seeds"),
        ({"captions": ["a"], "sensitivity": "custom"}, "sensitivity"),
        ({"captions": ["a"], "profile": "../x"}, "profile"),
        ({"captions": ["a"] * 20_001}, "captions"),
    ],
)
def test_bad_options_name_their_field(host, body, field):
    with pytest.raises(ValidationError, match=f"^{field}: "):
        scanning.Options.parse(body)


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(arguments)
    return status, *capsys.readouterr()


def test_the_command_line_scans_and_goes_on(folder, server, tmp_path, capsys, options):  # noqa: F811
    captions, out = tmp_path / "prompts.txt", tmp_path / "out"
    captions.write_text("\n".join([*UNSEEN[:3], MEMORIZED[0], "=1+1 <b>red</b> circle"]), encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(out), "--seeds", "1", "--width", "64", "--height", "64"]
    status, said, _ = run(capsys, *arguments)
    assert status == 0 and "captions per minute" in said
    lines = (out / "scan.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 5 and json.loads(lines[0])["about"]["profile"] == "Testbed"
    rows = list(csv.DictReader((out / "scan.csv").open(encoding="utf-8")))
    assert [row["rank"] for row in rows] == list("12345") and "'=1+1 <b>red</b> circle" in [row["caption"] for row in rows]
    shown = (out / "scan.html").read_text(encoding="utf-8")
    HTMLParser().feed(shown)
    assert "<b>" not in shown and "&lt;b&gt;red" in shown and "prefers-color-scheme: dark" in shown and "http" not in shown
    # Two are lost, one of them cut off in the middle of its line.
    (out / "scan.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:40], encoding="utf-8")
    with captions.open("a", encoding="utf-8") as file:
        file.write("\nbig red circle")
    assert run(capsys, *arguments)[0] == 0
    again = (out / "scan.jsonl").read_text(encoding="utf-8").splitlines()
    assert again[:3] == lines[:3] and len(again) == 3 + 1 + 3 and len(list(csv.DictReader((out / "scan.csv").open()))) == 6
    options.set("memorization_guard_sensitivity", "High")
    with captions.open("a", encoding="utf-8") as file:
        file.write("\nsmall green square")
    status, _, complaint = run(capsys, *arguments)
    assert status == 2 and "sensitivity medium → high" in complaint and len(complaint.splitlines()) <= 2


def test_the_command_line_calibrates(folder, server, tmp_path, capsys):  # noqa: F811
    prompts = tmp_path / "own.txt"
    prompts.write_text("\n".join(ORDINARY), encoding="utf-8")
    size = ["--width", "64", "--height", "64", "--steps", "4", "--prompts", str(prompts)]
    status, said, shown = run(capsys, "calibrate", "--webui-url", server, "--runs", "24", *size)
    assert status == 0 and "from 24 runs" in said and "24/24 runs" in shown
    assert "Only 24 reference runs" in shown.splitlines()[0] and "Only 24 reference runs" in said.splitlines()[-1]
    assert [path.suffix for path in folder.iterdir()] == [".json"]


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [([0.5, 0.5], "stable"), ([0.5, None], "not judged"), ([None, None], "not judged"), ([4.0, None], "mild"), ([9.0, None, 9.0], "strong")],
)
def test_a_caption_is_stable_only_where_every_seed_was_judged(scores, verdict):
    assert scanning.row("a fox", scores, Thresholds(3.0, 6.0, 0.01, True))["verdict"] == verdict


@pytest.mark.parametrize(
    ("url", "complaint"),
    [("ftp://x", "is not the address"), ("http://127.0.0.1:9", "does not answer"), ("{server}/nowhere", "no Memorization Guard")],
)
def test_wrong_addresses_in_one_line(server, capsys, url, complaint):
    status, _, shown = run(capsys, "calibrate", "--webui-url", url.format(server=server))
    assert status == 2 and complaint in shown.strip().splitlines()[-1]


def test_the_tab_calibrates_and_scans(folder, host, options):  # noqa: F811
    _, ident, *_ = tab_calibrate.start(SMALL["runs"], 4.0, 64.0, 64.0, 4.0, tab_calibrate.IN_TURN, "", "\n".join(ORDINARY))
    line, plot, table, cancel = list(tab_calibrate.watched(ident, SMALL["runs"]))[-1]
    assert "Calibration done" in line and plot["value"].size[0] > 500 and "testbed-" in table and not cancel["interactive"]
    assert "●" in tab_profiles.table()
    said, ident, *_ = tab_calibrate.start_it(1.0, 4.0, 64.0, 64.0, 4.0, tab_calibrate.IN_TURN, "", "")
    assert "runs: " in said and ident == "" and len(list(tab_calibrate.watched(ident, 1.0))) == 1
    first, *_, (line, ranking, cancel) = tab_scan.scan(f"{MEMORIZED[0]}\n# no\n<i>red</i> circle", 1.0, width=128)
    assert first[2]["interactive"] and not cancel["interactive"] and api_jobs.latest("scan").result["size"] == "128x128"
    assert "Scan done" in line and "&lt;i&gt;red" in ranking and "<i>" not in ranking
    assert "Nothing is running" in tab_parts.cancel("scan")
    # Whoever comes back finds all of it.
    told = [one for one in tab.refresh() if isinstance(one, str)]
    assert any("Calibration done" in one and "Flags from these scores on" in one for one in told) and ranking in told


def test_the_tab_in_a_browser(page, folder, options):  # noqa: F811
    """Calibrate, watch the progress, cancel, calibrate again, and scan."""
    open_section(page, "calibrate")
    unfold(page, "More choices")
    says, prefix = partial(tabbing.says, page), "#memorization_guard_tab_"

    def put(name: str, value: object) -> None:
        box = page.locator(f"{prefix}{name} input[type=number], {prefix}{name} textarea").first
        box.fill(str(value))
        box.blur()

    for name, value in (("runs", 99), ("steps", 40), ("width", 64), ("height", 64), ("prompts", "\n".join(ORDINARY))):
        put(name, value)
    assert page.locator(prefix + "cancel_calibrate").is_disabled()
    page.locator(prefix + "calibrate").click()
    says("progress", "of 99 images, about ")
    page.wait_for_function("id => !document.querySelector(id).disabled", arg=prefix + "cancel_calibrate", timeout=20_000)
    page.locator(prefix + "cancel_calibrate").click()
    says("progress", "cancelled")
    put("runs", 20)
    put("steps", 4)
    page.locator(prefix + "calibrate").click()
    says("progress", "Calibration done")
    page.wait_for_selector(f"{prefix}plot img", timeout=20_000)
    assert "testbed-" in page.locator(prefix + "profiles").first.text_content()
    open_section(page, "scan")
    assert page.locator(prefix + "scan").is_disabled()
    unfold(page, "More choices")
    put("captions", f"{MEMORIZED[0]}\n<b>red</b> circle")
    put("seeds", 1)
    page.locator(prefix + "scan").click()
    says("ranking", "<b>red</b> circle")
    target = ROOT / "outputs" / "screenshots" / f"tab-{'forge' if FORGE else 'a1111'}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(target), full_page=True)
