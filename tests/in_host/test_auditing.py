"""The audit in the tab and over HTTP, on pictures that were generated here, and the rule which folders may be looked into."""

from __future__ import annotations

import csv
import html
import re
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import tabbing
from conftest import FORGE
from PIL import Image
from tabbing import open_section
from test_calibrating import SMALL, call, folder, wait_for  # noqa: F401
from test_judging import MEMORIZED
from test_served import ROOT, page  # noqa: F401

from lib_stability.trail import audit_page
from lib_stability.validation import ValidationError
from lib_stability.webui.page import tab_audit, tab_parts
from lib_stability.webui.tasks import api_jobs, auditing, background, calibrating, folders

SIZE = {"width": 128, "height": 128, "steps": 12, "do_not_save_samples": False}


@pytest.fixture
def outputs(options, tmp_path):
    """The host's output folder, and the command line put back afterwards."""
    from modules import shared

    before = dict(vars(shared.cmd_opts))
    out = tmp_path / "out"
    out.mkdir()
    options.set("outdir_samples", str(out))
    yield out
    vars(shared.cmd_opts).clear()
    vars(shared.cmd_opts).update(before)
    for task in background._running.values():
        task.cancel()
        assert task.wait(60)


@pytest.fixture
def pictures(outputs, generate):
    """Generated with the guard and without, and what does not belong there."""
    generate({"sensitivity": "high"}, prompt=MEMORIZED, cfg_scale=7.5, batch_size=2, **SIZE)
    generate({"sensitivity": "low"}, prompt="small blue square", cfg_scale=7.5, **SIZE)
    generate({"probe": "never"}, prompt="small blue square", negative_prompt="red", **SIZE)
    generate(None, prompt="small blue square", **SIZE)
    (outputs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (outputs / "params.txt").unlink()
    return outputs


def audited(body: dict | None = None) -> background.Task:
    task = api_jobs.start("audit", body or {})
    assert task.wait(60) and task.state == "done", task.to_json()
    return task


def names(cards: str) -> list[str]:
    return re.findall(r"<figure title='([^']*)'", cards)


# -- pictures ---------------------------------------------------------------------------------------------------------------------------


def test_generated_pictures_are_found_again(pictures):
    task = audited()
    counts = task.result["counts"]
    assert counts["strong"] + counts["mild"] == 2 and (counts["stable"], counts["not judged"], counts["no verdict"], counts["unreadable"]) == (1,) * 4
    assert task.result["files"] == 6 and task.result["folder"] == "" and task.result["files_per_second"] > 0
    found = auditing.kept(task.id)
    cards = audit_page.page(found.table, "", 0, found.options.admits)
    flagged = [f"{number:05}.png" for number in sorted(int(path.stem) for path in pictures.glob("0*.png"))[:2]]
    assert sorted(names(cards)[:2]) == flagged and names(cards)[-1] == "broken.png"
    assert cards.count("data:image/jpeg") == 5 and "flagged at" in cards and "profile Testbed" in cards


def test_the_handlers_of_the_tab(pictures):
    steps = list(tab_audit.start(tab_audit.EVERYTHING, ""))
    assert len({len(step) for step in steps}) == 1
    said, ident, shown, summary, cards, number, position, file, *buttons = steps[-1]
    assert (
        "Audit done" in said and shown == "All" and "6 files read" in summary and len(names(cards)) == 6 and number == 0 and "1 to 6 of 6" in position
    )
    assert file["visible"] is False
    # One page: there is none before and none after it, and its rows can be had.
    assert [one["interactive"] for one in buttons] == [False, False, True, False]
    cards, number, position, _ = tab_audit.turn(ident, "Stable", 7)
    assert len(names(cards)) == 1 and number == 0 and "1 to 1 of 1" in position

    said, file = tab_audit.download(ident, "Broken")
    (row,) = csv.DictReader(Path(file["value"]).read_text(encoding="utf-8").splitlines())
    assert "1 rows" in said and row["file"] == "broken.png" and row["verdict"] == "unreadable" and Path(file["value"]).name == "audit-unreadable.csv"
    assert "start it again" in tab_audit.turn("gone", "All", 0)[0] and "Audit a folder first" in tab_audit.download("", "All")[0]
    choices, ident, *_ = tab_audit.again()
    assert str(pictures) in choices["choices"] and ident


def test_a_folder_below_and_one_elsewhere(pictures, tmp_path):
    (pictures / "day").mkdir()
    Image.new("RGB", (9, 9)).save(pictures / "day" / "x.png")
    assert audited({"folder": str(pictures / "day")}).result["counts"]["no verdict"] == 1
    for text, said in ((str(tmp_path), "only this web UI's output folders"), (f"{pictures}/..", "'..'"), (f"{pictures}/no such", "is no folder")):
        (only,) = list(tab_audit.start("anything", text))
        assert said in html.unescape(only[0]) and only[0].count("<p") == 1


def test_links_that_lead_out_are_not_followed(pictures, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    Image.new("RGB", (9, 9)).save(secret / "mine.png")
    (pictures / "link").symlink_to(secret)
    (pictures / "one.png").symlink_to(secret / "mine.png")
    task = audited()
    assert task.result["files"] == 6
    # A picture that becomes such a link afterwards is not shown either.
    stable = next(iter(auditing.kept(task.id).table.rows("stable")))["file"]
    Path(stable).unlink()
    Path(stable).symlink_to(secret / "mine.png")
    assert "data:image" not in tab_audit.turn(task.id, "Stable", 0)[0]


def test_only_the_latest_tables_are_kept(pictures):
    idents = [audited().id for _ in range(auditing.KEPT + 1)]
    assert auditing.kept(idents[0]) is None and all(map(auditing.kept, idents[1:]))


# -- in the background ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slowly(pictures, monkeypatch):
    """Many files, and a disk that takes its time."""
    for number in range(600):
        (pictures / f"x{number}.png").write_bytes(b"no picture")
    real = auditing.examine_all

    def examine_all(part):
        time.sleep(0.3)
        return real(part)

    monkeypatch.setattr(auditing, "examine_all", examine_all)
    return pictures


def test_progress_and_cancelling(slowly):
    task = api_jobs.start("audit", {})
    with pytest.raises(background.Busy, match="an audit is running"):
        api_jobs.start("audit", {})
    wait_for(lambda: task.to_json()["seconds_left"] is not None)
    assert "Audit: " in tab_parts.progress(task) and " of 606 files" in tab_parts.progress(task) and "s left" in task.line()
    assert "<progress" in tab_parts.progress(task) and "max='606'" in tab_parts.progress(task)
    said = tab_parts.cancel("audit")
    assert task.wait(10) and task.state == "cancelled" and auditing.kept(task.id) is None
    assert "ancelled" in said or "Audit: " in said
    assert "<progress" not in tab_parts.progress(task)


def test_a_calibration_may_go_on_beside_it(slowly, folder):  # noqa: F811
    task = api_jobs.start("audit", {})
    other = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.state == "running"
    task.cancel()
    assert other.wait(60) and other.state == "done"


def test_it_rests_while_the_host_generates(pictures, host, monkeypatch):
    rests = []
    monkeypatch.setattr(auditing, "time", SimpleNamespace(monotonic=time.monotonic, sleep=rests.append))
    audited()
    assert rests == []
    host.shared.state.begin("txt2img")
    try:
        audited()
    finally:
        host.shared.state.end()
    assert len(rests) == 1 and 0 < rests[0] <= auditing.LONGEST_REST


# -- the rule ---------------------------------------------------------------------------------------------------------------------------


def allowed(text: object) -> bool:
    try:
        return bool(auditing.Options.parse({"folder": str(text)}))
    except ValidationError:
        return False


def test_what_the_administrator_opens(host, outputs, tmp_path, options):
    other, mine = tmp_path / "other", tmp_path / "mine"
    other.mkdir()
    mine.mkdir()
    command = host.shared.cmd_opts
    assert allowed(outputs) and not allowed(other) and not allowed(ROOT) and not allowed(ROOT / "regions")
    command.gradio_allowed_path = [*command.gradio_allowed_path, str(other)]
    assert allowed(other) and not allowed(mine) and not allowed(ROOT / "regions") and tab_audit.choices()[1:] == [str(outputs), str(other)]
    options.set(folders.MORE, f"\n{mine}\n/\n")
    assert allowed(mine) and not allowed("/etc")
    command.disable_extension_access = True
    assert allowed(other) and not allowed(mine)


def test_visitors_open_nothing_by_the_settings(host, outputs, tmp_path, options):
    """On an open server an output folder counts where the host keeps visitors from changing it, or where the host's own folder holds it."""
    command = host.shared.cmd_opts
    options.set("outdir_img2img_grids", str(tmp_path))
    options.set("outdir_save", "regions")
    assert allowed(outputs) and allowed(tmp_path) and allowed("regions")
    command.disable_extension_access = True
    assert not allowed(outputs) and not allowed(tmp_path) and allowed("regions") and [root.label for root in folders.offered()] == ["regions"]
    command.hide_ui_dir_config = True
    assert allowed(outputs) and not allowed(tmp_path)
    command.disable_extension_access = False
    assert allowed(outputs) and not allowed(tmp_path)
    options.set("outdir_samples", "/")
    assert not allowed("/") and not allowed("/etc")
    del command.disable_extension_access, command.hide_ui_dir_config
    command.listen = True
    assert folders.shared()


@pytest.mark.parametrize("body", [{"folder": 7}, {"folder": "x" * 5000}, {"folder": "a\0b"}, {"folder": ".."}, {"roots": []}, {"tops": ["/"]}, []])
def test_bad_options_name_their_field(outputs, body):
    with pytest.raises(ValidationError, match=r"^(folder|roots|tops|body): "):
        auditing.Options.parse(body)


def test_without_any_output_folder(outputs, options):
    options.set("outdir_samples", "")
    with pytest.raises(ValidationError, match="no output folder"):
        auditing.Options.parse({})


def test_over_http(pictures, server):
    assert call(server, "GET", "audit/folders")[1] == {"folders": [str(pictures)]}
    status, answer = call(server, "POST", "audit", {"folder": "/etc"})
    assert status == 422 and answer["detail"][0]["loc"] == ["body", "folder"]
    status, answer = call(server, "POST", "audit", {"folder": str(pictures)})
    assert status == 202
    wait_for(lambda: call(server, "GET", "audit")[1]["state"] == "done")
    progress = call(server, "GET", "audit")[1]
    assert progress["id"] == answer["id"] and progress["result"]["counts"]["unreadable"] == 1
    rows = call(server, "GET", "audit/rows?count=3")[1]
    assert rows["total"] == 6 and len(rows["rows"]) == 3 and rows["rows"][0]["verdict"] in ("strong", "mild") and "/" not in rows["rows"][0]["file"]
    assert [row["group"] for row in call(server, "GET", "audit/rows?verdict=not%20judged")[1]["rows"]] == ["not judged"]
    assert call(server, "GET", "audit/rows?start=5")[1]["rows"][0]["group"] == "unreadable"
    for query in ("verdict=grave", "count=0", "count=100000", "start=-1", "start=x"):
        assert call(server, "GET", f"audit/rows?{query}")[0] == 422
    assert call(server, "DELETE", "audit")[0] == 404


# -- in a browser -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_in_a_browser(page, pictures, options, server, theme, monkeypatch):  # noqa: F811
    """Audit, filter, turn pages, download, and be refused a folder elsewhere; what has nothing to act on cannot be pressed."""
    monkeypatch.setattr(api_jobs, "_latest", {})
    for number in range(60):
        Image.new("RGB", (64, 64), (4 * number, 90, 90)).save(pictures / f"other {number:02}.png")
    page.goto(f"{server}/?__theme={theme}")
    prefix = "#memorization_guard_tab_"
    open_section(page, "audit")
    says = partial(tabbing.says, page)
    before, after, csv = (page.locator(f"{prefix}audit_{name}") for name in ("before", "after", "csv"))
    assert before.is_disabled() and after.is_disabled() and csv.is_disabled() and page.locator(f"{prefix}cancel_audit").is_disabled()
    page.locator(prefix + "audit").click()
    says("audit_summary", "66 files read")
    says("audit_position", "1 to 48 of 66")
    page.wait_for_selector(f"{prefix}audit_cards figure img")
    target = ROOT / "outputs" / "screenshots" / f"audit-{'forge' if FORGE else 'a1111'}-{theme}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(target), full_page=True)
    first = page.locator(f"{prefix}audit_cards figure").first
    assert first.locator(".memorization-guard-badge").inner_text() in ("Strong", "Mild")
    assert first.locator("img").evaluate("image => image.complete && image.naturalWidth") == 128
    assert page.locator(f"{prefix}audit_cards figure").count() == 48
    assert before.is_disabled() and after.is_enabled()
    after.click()
    says("audit_position", "49 to 66 of 66")
    page.wait_for_function("id => document.querySelector(id).disabled", arg=prefix + "audit_after")
    before.click()
    says("audit_position", "1 to 48 of 66")
    page.locator(prefix + "audit_filter").get_by_text("Broken", exact=True).click()
    says("audit_position", "1 to 1 of 1")
    says("audit_cards", "broken.png")
    assert page.locator(f"{prefix}audit_cards figure img").count() == 0
    page.locator(prefix + "audit_csv").click()
    says("audit_position", "1 rows")
    page.wait_for_selector(f"{prefix}audit_file a[href]")
    with page.expect_download() as started:
        page.locator(f"{prefix}audit_file a[href]").first.click()
    assert "broken.png" in Path(started.value.path()).read_text(encoding="utf-8")
    page.locator(f"{prefix}audit_path textarea, {prefix}audit_path input").first.fill("/etc")
    page.locator(prefix + "audit").click()
    says("audit_progress", "only this web UI's output folders")
