"""Profiles in the tab: shown, exported, imported, deleted; and what is said of a small calibration."""

from __future__ import annotations

import html
import json
import shutil
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import tabbing
from conftest import FORGE
from tabbing import open_section, unfold
from test_calibrating import ORDINARY, SMALL, calibrated, folder  # noqa: F401
from test_served import ROOT, page  # noqa: F401

from lib_stability.profile import calibration, profiles, storage
from lib_stability.webui.job import library
from lib_stability.webui.page import tab_calibrate, tab_profiles
from lib_stability.webui.tasks import calibrating
from lib_stability.webui.tasks.background import Task


@pytest.fixture
def upload(tmp_path):
    """Makes a file as gradio leaves an upload: in the folder for temporary files."""
    made = Path(tempfile.mkdtemp(prefix="gradio-like-"))

    def upload(name: str = "My model (v2)", file: str = "x.json", text: str | None = None) -> object:
        data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8"))
        path = made / file
        path.write_text(json.dumps({**data, "name": name}) if text is None else text, encoding="utf-8")
        return SimpleNamespace(name=str(path))

    yield upload
    shutil.rmtree(made)


@pytest.fixture
def strangers(host):
    """A web UI that is open to others."""
    host.shared.cmd_opts.disable_extension_access = True
    yield
    host.shared.cmd_opts.disable_extension_access = False


def test_a_profile_is_shown_in_words_and_as_a_plot(host, folder):  # noqa: F811
    said, plot = tab_profiles.show("Testbed")
    assert "Testbed: bundled calibration, 1535 runs, 2026-11-28. Made for testbed." in said and "Low: flags from " in said
    assert plot.size[0] > 500
    for nothing in (None, "", "no such", "../x"):
        assert tab_profiles.show(nothing) == (tab_profiles.line("Choose a profile first."), None)


def test_there_and_back(host, folder, upload):  # noqa: F811
    said, chosen, table = tab_profiles.bring(upload())
    assert (
        "My model (v2) imported" in said and chosen["value"] == "My model (v2)" and "My model (v2)" in chosen["choices"] and "My model (v2)" in table
    )
    said, file = tab_profiles.export("My model (v2)")
    assert storage.read(Path(file["value"])).name == "My model (v2)" and Path(file["value"]).name.startswith("My-model-v2.")
    assert "Choose a profile first" in tab_profiles.export("../x")[0]
    said, asked, really, _ = tab_profiles.ask("My model (v2)")
    assert "Delete My model (v2) and its older" in said and asked == "My model (v2)" and really["visible"] and len(list(folder.iterdir())) == 1
    said, asked, really, _, chosen, table = tab_profiles.delete(asked)
    assert "deleted" in said and asked == "" and not really["visible"] and "My model" not in table and list(folder.iterdir()) == []
    assert "no profile is named" in html.unescape(tab_profiles.delete("My model (v2)")[0])


def test_what_an_import_displaces_is_said_first(host, folder, upload):  # noqa: F811
    said, _, table, sure, leave = tab_profiles.ask_import(upload())
    assert "It serves testbed in place of Testbed (bundled calibration, 1535 runs" in said
    assert sure["visible"] and leave["visible"] and "My model" not in table and not folder.exists()
    tab_profiles.bring(upload())
    said, *_ = tab_profiles.ask_import(upload())
    assert "It replaces My model (v2) (imported calibration, 1535 runs" in said
    data = json.loads((storage.BUNDLED / "generic-prior.json").read_text(encoding="utf-8"))
    data |= {"name": "Other prior", "model": {"family": "sd1", "prediction": "epsilon"}}
    said, _, _, sure, _ = tab_profiles.ask_import(upload(text=json.dumps(data)))
    assert "every checkpoint of the family sd1" in said and "in place of SD 1.x prior" in said and sure["visible"]
    data["model"] = {"family": "other", "prediction": "flow"}
    assert "Refused" in tab_profiles.ask_import(upload(text=json.dumps(data)))[0]
    assert "Refused" in tab_profiles.ask_import(upload(text="{}"))[0] and "Choose a profile" in tab_profiles.ask_import(None)[0]


def test_an_import_that_displaces_nothing_asks_nothing(host, folder, upload):  # noqa: F811
    data = json.loads((storage.BUNDLED / "generic-prior.json").read_text(encoding="utf-8"))
    data |= {"name": "Second", "model": {**data["model"], "sha256": "ab" * 32, "family": "sd1"}, "kind": "calibrated"}
    for key in ("watch", "probe"):
        data[key]["reference_scores"] = [number / 10 for number in range(24)]
    said, _, table, sure, _ = tab_profiles.ask_import(upload(text=json.dumps(data)))
    assert "Second imported" in said and not sure["visible"] and "imported trial, 24 runs" in table


def test_going_back_is_one_click(host, folder, upload, strangers):  # noqa: F811
    host.shared.cmd_opts.disable_extension_access = False
    first = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")) | {"name": "Mine"}
    second = {**first, "provenance": {**first["provenance"], "date": "2027-01-01"}}
    for one in (first, second):
        tab_profiles.bring(upload(text=json.dumps(one)))
    (file,) = folder.glob("*.json")
    for date in ("2026-11-28", "2027-01-01"):
        said, table = tab_profiles.back("Mine")
        assert f"1535 runs, {date}" in said and date in table and storage.read(file).provenance["date"] == date
    assert "no older version" in tab_profiles.back("Testbed")[0] and "Choose a profile" in tab_profiles.back(None)[0]
    host.shared.cmd_opts.disable_extension_access = True
    assert "open to others" in tab_profiles.back("Mine")[0]


def test_a_calibration_that_displaces_another_asks_first(host, folder, monkeypatch):  # noqa: F811
    model = calibrating.checkpoint()
    assert "in place of SD 1.x prior" in tab_calibrate.said_before(200.0, "") and "It is a trial" in tab_calibrate.said_before(99.0, "")
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8"))
    data |= {"name": calibrating.profile_name(model), "model": dict(vars(model))}
    folder.mkdir()
    (folder / "mine.json").write_text(json.dumps(data))
    given = 1535, 4.0, 64.0, 64.0, 4.0, tab_calibrate.IN_TURN, "", ""
    started = []
    monkeypatch.setattr(tab_calibrate, "begin", lambda kind, body: started.append(kind) or ("started", "7"))
    said, ident, really, rather_not = tab_calibrate.start(*given)
    assert "It replaces" in said and ident == "" and really["visible"] and rather_not["visible"] and started == []
    said, ident, really, rather_not = tab_calibrate.start_it(*given)
    assert (said, ident) == ("started", "7") and not really["visible"] and not rather_not["visible"] and started == ["calibrate"]


def test_trials_have_a_colour_of_their_own(host, folder):  # noqa: F811
    assert "color: #b7791f" not in tab_profiles.table()
    name = calibrated()["profile"]
    row = next(row for row in tab_profiles.table().split("<tr") if name in row)
    assert "color: #b7791f" in row and "own trial, 20 runs" in row and "A trial: it serves only" in tab_profiles.show(name)[0]


def test_bundled_ones_stay(host, folder, upload):  # noqa: F811
    assert "cannot be deleted" in tab_profiles.ask("Testbed")[0] and tab_profiles.ask("Testbed")[1] == ""
    assert "cannot be deleted" in tab_profiles.delete("Testbed")[0] and (storage.BUNDLED / "testbed.json").exists()
    assert "is the name of a bundled profile" in tab_profiles.bring(upload("Testbed"))[0] and not folder.exists()
    assert "Choose a profile first" in tab_profiles.delete("")[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [("../../x", None), ("<b>x</b>", None), ("", None), ("x", "{}"), ("x", "<script>"), ("x", "[" * 100_000), ("x", " " * (storage.MAX_BYTES + 1))],
)
def test_what_is_no_profile_is_refused_in_one_line(host, folder, upload, name, text):  # noqa: F811
    said, _, table = tab_profiles.bring(upload(name, text=text))
    assert "Refused: " in said and said.count("<") == 2 and "\n" not in said and not folder.exists() and "<script>" not in table


def test_only_uploads_are_read(host, folder, upload, tmp_path, monkeypatch):  # noqa: F811
    """An old gradio takes the page's word for where the upload lies."""
    inside, outside = tmp_path / "temporary", tmp_path / "not uploaded.json"
    inside.mkdir()
    shutil.copy(upload().name, outside)
    # The repository itself may lie in the folder for temporary files.
    monkeypatch.setattr(tempfile, "tempdir", str(inside))
    assert "was not uploaded" in tab_profiles.bring(SimpleNamespace(name=str(outside)))[0] and not folder.exists()
    link = inside / "link.json"
    link.symlink_to(outside)
    assert "was not uploaded" in tab_profiles.bring(str(link))[0] and not folder.exists()
    link.unlink()
    shutil.copy(outside, link)
    assert "imported" in tab_profiles.bring(str(link))[0]
    assert "Choose a profile" in tab_profiles.bring(None)[0]


def test_strangers_neither_import_nor_delete(host, folder, upload, strangers):  # noqa: F811
    host.shared.cmd_opts.disable_extension_access = False
    tab_profiles.bring(upload())
    host.shared.cmd_opts.disable_extension_access = True
    assert "open to others" in tab_profiles.bring(upload("Another"))[0] and "open to others" in tab_profiles.ask("My model (v2)")[0]
    assert "open to others" in tab_profiles.delete("My model (v2)")[0] and len(list(folder.iterdir())) == 1
    assert tab_profiles.export("My model (v2)")[1]["value"] and tab_profiles.show("My model (v2)")[1]


def test_a_small_calibration_says_so_before_and_after(host, folder):  # noqa: F811
    said, ident, *_ = tab_calibrate.start(SMALL["runs"], 4.0, 64.0, 64.0, 4.0, tab_calibrate.IN_TURN, "", "\n".join(ORDINARY))
    steps = [(said, None), *tab_calibrate.watched(ident, SMALL["runs"])]
    assert all("Only 20 reference runs" in step[0] and "rest on extrapolation" in step[0] for step in steps)
    assert "Calibration done" in steps[-1][0] and steps[-1][1]["value"].size[0] > 500
    assert calibrated()["warning"] == calibration.caution(20) != ""


def test_from_a_hundred_runs_on_nothing_is_said():
    assert calibration.caution(99).startswith("Only 99 reference runs") and calibration.caution(100) == "" == calibration.caution(400)


def test_a_profile_for_another_prediction_never_serves(host, folder):  # noqa: F811
    result = calibrated()
    made = storage.read(folder / result["file"])
    other = profiles.Model(made.model.family, "v", made.model.checkpoint, made.model.sha256)
    assert library.LIBRARY.serve(made.name, made.model).profile.name == made.name
    for general in (False, True):
        chosen = library.LIBRARY.serve("Auto", other, general).profile
        assert chosen is None or (chosen.model.prediction, chosen.model.family) == ("v", profiles.ANY)
    served = library.LIBRARY.serve(made.name, other)
    assert served.profile is None and "is for epsilon prediction" in served.why


def test_time_left_is_told_from_the_pace():
    task = Task("calibration", lambda running: {})
    assert task.to_json()["seconds_left"] is None
    task.progress(500, 0, "files found")
    assert task.to_json()["seconds_left"] is None and "500 of …" in task.line()
    task.progress(10, 110)
    task._first = (task._first[0] - 5, 10)
    task.progress(20, 110)
    assert task.to_json()["seconds_left"] == pytest.approx(45, abs=1) and ", about 45 s left" in task.line()


def test_what_cannot_be_written_leaves_nothing_behind(host, folder, monkeypatch, logged):  # noqa: F811
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(storage.os, "replace", full)
    task = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.wait(120) and task.state == "failed" and "no space left" in task.error
    assert list(folder.iterdir()) == [] and logged.pop().exc_info


def test_in_a_browser(page, folder, upload):  # noqa: F811
    """Import a file, show it, export it, and delete it after being asked."""
    open_section(page, "profiles")
    says, prefix = partial(tabbing.says, page), tabbing.PREFIX
    # The one that serves is chosen, and drawn; it is bundled, so that there is nothing to delete and nothing to go back to.
    page.wait_for_selector(f"{prefix}profile_plot img", timeout=60_000)
    says("profile_facts", "Testbed: bundled calibration")
    export, back, delete = (page.locator(f"{prefix}profile_{name}") for name in ("export", "back", "delete"))
    assert export.is_enabled() and back.is_disabled() and delete.is_disabled()
    unfold(page, "Import a profile")
    assert page.locator(prefix + "profile_import").is_disabled()
    page.locator(f"{prefix}profile_upload input[type=file]").set_input_files(upload("My model (v2)", "anything.json").name)
    # The name is shown from the start of the upload, the link when the page has the file.
    page.wait_for_selector(f"{prefix}profile_upload a[href]", timeout=60_000)
    page.locator(prefix + "profile_import").click()
    says("profile_said", "in place of Testbed (bundled calibration, 1535 runs")
    page.locator(prefix + "profile_import_really").click()
    says("profile_said", "My model (v2) imported")
    assert "My model (v2)" in page.locator(prefix + "profiles").first.text_content()
    says("profile_facts", "My model (v2): imported calibration")
    export.click()
    page.wait_for_selector(f"{prefix}profile_file a[href]", timeout=60_000)
    with page.expect_download() as started:
        page.locator(f"{prefix}profile_file a[href]").first.click()
    assert storage.read(Path(started.value.path())).name == "My model (v2)"
    target = ROOT / "outputs" / "screenshots" / f"profiles-{'forge' if FORGE else 'a1111'}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    delete.click()
    says("profile_said", "for good?")
    page.screenshot(path=str(target), full_page=True)
    page.locator(prefix + "profile_really").click()
    says("profile_said", "deleted")
    page.wait_for_function("id => !document.querySelector(id).textContent.includes('My model')", arg=prefix + "profiles", timeout=60_000)
    assert list(folder.iterdir()) == [] and not page.locator(prefix + "profile_really").is_visible()
