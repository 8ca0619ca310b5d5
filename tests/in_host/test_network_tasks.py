"""Calibration and scan with extra networks: over the task, from the command line, on the tab."""

from __future__ import annotations

import csv
import json

import pytest
from conftest import FORGE
from PIL import Image
from test_calibrating import SMALL, calibrated, folder  # noqa: F401
from test_judging import FULL, verdict
from test_networks import known  # noqa: F401
from test_scanning import MEMORIZED, run, scanned
from test_served import ROOT, page  # noqa: F401

from lib_stability.profile import storage
from lib_stability.testbed.world.kinds import ordinary_samples
from lib_stability.webui.job import library
from lib_stability.webui.page import panel, tab_calibrate
from lib_stability.webui.tasks import background, calibrating, scanning

HUNDRED = {**SMALL, "runs": 100, "batch_size": 20, "prompts": []}
SIZE = {"width": 128, "height": 128}
ORDINARY = "small blue square"


@pytest.fixture
def bundled(monkeypatch):
    """Reference prompts in the testbed's words."""
    captions = [caption for caption, _ in ordinary_samples(100, 1_000_000, "calibration")]
    monkeypatch.setattr(calibrating.reference, "prompts", lambda count: captions[:count])


def failed(make, **options) -> str:
    task = make.task(make.Options.parse(options)).start()
    assert task.wait(300) and task.state == "failed", task.to_json()
    return task.error


# -- calibration -------------------------------------------------------------------------------------------------------------------------


def test_a_calibration_has_the_networks_on_and_serves_them_alone(folder, host, lora, generate, options):  # noqa: F811
    mine = lora("mine", text=True)
    bare = storage.read(folder / calibrated(**SMALL)["file"])
    result = calibrated(**SMALL, networks=f" {mine} ")
    profile = storage.read(folder / result["file"])
    (network,) = profile.model.networks
    assert (network.name, network.unet, network.text, len(network.sha256)) == ("mine", 0.8, 0.8, 64) and result["networks"] == "mine 0.8"
    assert "-with-mine-0-8-" in profile.name and profile.name.endswith("-trial") and profile.name != bare.name
    # Same prompts, seeds and samplers: what differs comes from the network.
    assert profile.watch.scores_.tolist() != bare.watch.scores_.tolist()
    assert verdict(generate({"profile": profile.name}, prompt=f"{ORDINARY} {mine}", **FULL)).verdict != "not judged"
    assert verdict(generate({"profile": profile.name}, prompt=ORDINARY, **FULL)).reason == "no profile"


def test_networks_in_ordinary_prompts_are_left_out_of_a_calibration(folder, host, lora):  # noqa: F811
    mine = lora("mine")
    with_tags = calibrated(**{**SMALL, "prompts": [f"{prompt} {mine}" for prompt in SMALL["prompts"]]})
    scores = storage.read(folder / with_tags["file"]).watch.scores_.tolist()
    assert with_tags["networks"] == "" and scores == storage.read(folder / calibrated(**SMALL)["file"]).watch.scores_.tolist()


@pytest.mark.parametrize("networks, said", [("<lora:nowhere:1>", "finds no network called 'nowhere'"), ("mine", "is not the tag of a network")])
def test_a_calibration_names_what_is_not_there(folder, host, lora, logged, networks, said):  # noqa: F811
    evaluations = host.shared.sd_model.evaluations
    assert said in failed(calibrating, **SMALL, networks=networks)
    assert host.shared.sd_model.evaluations == evaluations and not list(folder.glob("*.json"))
    logged.clear()


@pytest.mark.skipif(not FORGE, reason="A1111 loads it all the same")
def test_a_network_that_the_host_does_not_apply_is_named(folder, host, lora, logged):  # noqa: F811
    assert "has not applied foreign 0.8" in failed(calibrating, **SMALL, networks=lora("foreign", matching=False))
    logged.clear()


def test_a_network_that_was_not_asked_for_is_named(folder, host, lora, logged, monkeypatch):  # noqa: F811
    """As a host's setting has it that adds one to every prompt."""
    mine = host.extra_networks.parse_prompts([lora("mine")])[1]["lora"]
    activate = host.networks.ExtraNetworkLora.activate
    with monkeypatch.context() as patch:
        patch.setattr(host.networks.ExtraNetworkLora, "activate", lambda self, p, params: activate(self, p, params + mine))
        assert "mine 0.8 is on and was not asked for" in failed(calibrating, **SMALL)
    logged.clear()


def test_what_it_displaces_is_said_before(folder, host, lora, bundled):  # noqa: F811
    mine, other = lora("mine"), lora("other")
    calibrated(**HUNDRED)
    first = calibrated(**HUNDRED, networks=mine)
    assert "with mine 0.8, which nothing served so far" in first["changes"][0]
    assert [one.name for one in calibrating.outlook(calibrating.Options(runs=100, networks=mine)).calibrations] == [first["profile"]]
    assert calibrating.outlook(calibrating.Options(runs=100, networks=other)).calibrations == []
    assert "finds no network" in calibrating.outlook(calibrating.Options(runs=100, networks="<lora:nowhere:1>")).lines[0]
    names = {library.LIBRARY.serve("Auto", one.model).profile.name for one in library.LIBRARY.profiles() if one.origin == "own"}
    assert len(names) == 2 and first["profile"] in names


# -- scan --------------------------------------------------------------------------------------------------------------------------------


def test_a_scan_applies_the_tags_of_each_caption(folder, host, lora, known, options):  # noqa: F811
    mine, other = lora("mine", strength=0.3), lora("other")
    known(mine)
    options.set("memorization_guard_profile", "Auto")
    captions = [f"{mine} {MEMORIZED[0]}", ORDINARY, f"{ORDINARY} {mine}", f"{ORDINARY} {other}"]
    rows = scanned(captions, profile="Auto", seeds=2)["rows"]
    assert [row["caption"] for row in rows] == captions
    assert [row["networks"] for row in rows] == ["mine 0.8", "", "mine 0.8", "other 0.8"]
    assert rows[3]["verdict"] == "not judged" and rows[3]["reason"] == "networks that no profile knows (other 0.8)"
    assert rows[3]["scores"] == [None, None]
    bare = scanned([MEMORIZED[0]], profile="Testbed", seeds=2)["rows"][0]["scores"]
    assert rows[0]["scores"] != bare and None not in rows[0]["scores"]


def test_networks_for_all_captions(folder, host, lora, known):  # noqa: F811
    mine = lora("mine", strength=0.3)
    known(mine)
    of_each = scanned([f"{mine} {MEMORIZED[0]}"], profile="Auto", seeds=2)["rows"][0]
    of_all = scanned([MEMORIZED[0]], profile="Auto", seeds=2, networks=mine)
    assert of_all["rows"][0]["scores"] == of_each["scores"] and of_all["networks"] == "mine 0.8"
    assert "finds no network called 'nowhere'" in failed(scanning, captions=["a"], networks="<lora:nowhere:1>")
    assert "finds no network called 'nowhere'" in failed(scanning, captions=["a <lora:nowhere:1>"])


def test_networks_that_no_profile_knows_are_not_scanned(folder, host, lora):  # noqa: F811
    said = failed(scanning, captions=["a"], networks=lora("mine"), profile="Testbed")
    assert "networks that no profile knows (mine 0.8); calibrate this checkpoint first with these networks: <lora:mine:0.8>" in said


# -- command line ------------------------------------------------------------------------------------------------------------------------


def test_the_command_line_calibrates_with_networks(folder, server, lora, capsys, tmp_path):  # noqa: F811
    prompts = tmp_path / "own.txt"
    prompts.write_text("\n".join(SMALL["prompts"]), encoding="utf-8")
    size = ["--runs", "20", "--width", "64", "--height", "64", "--steps", "4", "--prompts", str(prompts)]
    status, said, _ = run(capsys, "calibrate", "--webui-url", server, "--networks", lora("mine"), *size)
    assert status == 0 and "-with-mine-0-8-" in said
    status, _, complaint = run(capsys, "calibrate", "--webui-url", server, "--networks", "<lora:nowhere:1>", *size)
    assert status == 2 and "finds no network called 'nowhere'" in complaint


def dataset(root) -> None:
    """A folder as kohya's trainer takes it."""
    for name, captions in (("10_mine", [MEMORIZED[0], ORDINARY]), ("2_other", [ORDINARY, "big (red) circle"])):
        where = root / name
        where.mkdir(parents=True)
        for number, caption in enumerate(captions):
            Image.new("RGB", (64, 64), (200, 10 * number, 0)).save(where / f"{number}.png")
            (where / f"{number}.txt").write_text(caption, encoding="utf-8")


def test_the_command_line_scans_a_training_set_with_networks(folder, server, lora, known, capsys, tmp_path, options):  # noqa: F811
    mine = lora("mine", strength=0.3)
    known(mine)
    dataset(tmp_path / "set")
    arguments = ["scan", "--webui-url", server, str(tmp_path / "set"), "--out", str(tmp_path / "out"), "--seeds", "1", "--profile", "Auto"]
    status, said, shown = run(capsys, *arguments, "--networks", mine, "--width", "128", "--height", "128")
    assert status == 0 and "With networks" in said, shown
    rows = list(csv.DictReader((tmp_path / "out" / "scan.csv").open(encoding="utf-8")))
    assert sorted((row["caption"], row["count"], row["networks"]) for row in rows) == sorted(
        [(MEMORIZED[0], "10", "mine 0.8"), (ORDINARY, "12", "mine 0.8"), ("big (red) circle", "2", "mine 0.8")]
    )
    assert {row["picture"].replace("\\", "/") for row in rows} == {"10_mine/0.png", "10_mine/1.png", "2_other/1.png"}
    assert (tmp_path / "out" / "scan.html").read_text(encoding="utf-8").count("<img src='data:image/jpeg;base64,") == 3
    sent = [json.loads(line)["row"]["caption"] for line in (tmp_path / "out" / "scan.jsonl").read_text(encoding="utf-8").splitlines()]
    assert "big \\(red\\) circle" in sent


def test_captions_with_networks_that_no_profile_knows_leave_the_others(folder, server, lora, known, capsys, tmp_path):  # noqa: F811
    captions = tmp_path / "captions.txt"
    captions.write_text(f"{ORDINARY}\n{MEMORIZED[0]} {lora('mine')}\n", encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(tmp_path / "out"), "--seeds", "1", "--profile", "Testbed"]
    status, said, shown = run(capsys, *arguments, "--width", "64", "--height", "64")
    assert status == 0 and "1 captions: networks that no profile knows (mine 0.8)" in said, shown
    assert len((tmp_path / "out" / "scan.jsonl").read_text(encoding="utf-8").splitlines()) == 1  # the other one is scanned once a profile knows it
    captions.write_text(f"{MEMORIZED[0]} <lora:mine:0.8>\n", encoding="utf-8")
    status, _, shown = run(capsys, *arguments[:4], "--out", str(tmp_path / "other"), "--profile", "Testbed")
    assert status == 2 and "networks that no profile knows (mine 0.8)" in shown


def test_a_sweep_counts_flags_of_epochs(folder, server, lora, known, capsys, tmp_path):  # noqa: F811
    for number, strength in ((2, 0.01), (10, 0.02), (11, 0.03)):
        lora(f"mine-{number}", strength=strength)
    known("<lora:mine-2:1>", "Two")
    known("<lora:mine-10:1>", "Ten")
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join([*MEMORIZED[:3], ORDINARY]), encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(tmp_path / "out"), "--seeds", "1", "--profile", "Auto"]
    arguments += ["--width", "128", "--height", "128", "--each", str(tmp_path / "Lora" / "mine-*.safetensors")]
    status, said, shown = run(capsys, *arguments)
    assert status == 0, shown
    assert "mine-2: 3 of 4 captions flagged" in said and "mine-11: not judged, networks that no profile knows" in said
    assert said.index("mine-2: ") < said.index("mine-10: ") < said.index("mine-11: ")
    assert "Captions flagged: 3 of 4 with mine-2, 3 of 4 with mine-10; fewer flags of a later epoch" in said and "it copies:" not in said
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").open(encoding="utf-8")))
    assert [row["network"] for row in rows][-1] == "mine-11" and {row["flagged"] for row in rows[:2]} == {"3"}
    shown = (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    assert shown.count("<rect") == 3 and "href='mine-2/scan.html'" in shown and (tmp_path / "out" / "mine-2" / "scan.html").exists()
    assert run(capsys, *arguments[:-1], str(tmp_path / "none-*"))[0] == 2


def test_a_sweep_calibrates_first_where_asked_to(folder, server, lora, capsys, tmp_path, bundled):  # noqa: F811
    lora("mine-1", strength=0.05)
    captions = tmp_path / "captions.txt"
    captions.write_text(ORDINARY, encoding="utf-8")
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(tmp_path / "out"), "--seeds", "1", "--profile", "Auto"]
    arguments += ["--width", "128", "--height", "128", "--each", str(tmp_path / "Lora" / "*.safetensors"), "--weight", "0.5", "--calibrate", "20"]
    status, said, shown = run(capsys, *arguments)
    assert status == 0 and "mine-1: 0 of 1 captions flagged" in said, shown
    assert said.count("trial profiles (only 20 reference runs)") == 1 and "--calibrate 200" in said
    (made,) = folder.glob("*.json")
    assert storage.read(made).model.networks[0].unet == 0.5


def test_a_sweep_goes_on_where_a_calibration_fails(folder, server, lora, known, capsys, tmp_path, bundled, monkeypatch, logged):  # noqa: F811
    for number in (1, 2, 3):
        lora(f"mine-{number}", strength=0.01 * number)
    known("<lora:mine-1:1>", "One")
    captions = tmp_path / "captions.txt"
    captions.write_text(ORDINARY, encoding="utf-8")
    fit = calibrating.fit_profile

    def weak(name, *given, **more):
        if "mine-2" in name:
            raise ValueError("refused: too weak")
        return fit(name, *given, **more)

    monkeypatch.setattr(calibrating, "fit_profile", weak)
    arguments = ["scan", "--webui-url", server, str(captions), "--out", str(tmp_path / "out"), "--seeds", "1", "--profile", "Auto"]
    arguments += ["--width", "128", "--height", "128", "--each", str(tmp_path / "Lora" / "mine-*.safetensors"), "--calibrate", "20"]
    status, said, shown = run(capsys, *arguments)
    assert status == 1 and "the web UI failed with 1 of 3: mine-2" in shown, shown
    assert "mine-1: 0 of 1 captions" in said and "mine-2: not judged, refused: too weak" in said and "mine-3: 0 of 1 captions" in said
    rows = list(csv.DictReader((tmp_path / "out" / "sweep.csv").open(encoding="utf-8")))
    assert [row["reason"] for row in rows] == ["", "refused: too weak", ""]
    assert "not judged: refused: too weak" in (tmp_path / "out" / "sweep.html").read_text(encoding="utf-8")
    logged.clear()


# -- page --------------------------------------------------------------------------------------------------------------------------------


def test_the_line_under_the_picture_offers_a_calibration_with_them(generate, lora):
    done = generate({}, prompt=f"{ORDINARY} {lora('mine')}", **FULL)
    said = panel.lines(done.infotexts[0])
    assert "Not judged: nothing was measured with these networks: mine 0.8." in said
    assert 'memorization-guard-calibrate\' data-networks="&lt;lora:mine:0.8&gt;">Calibrate with these networks</button>' in said
    assert "memorization-guard-calibrate" not in panel.lines(generate({}, prompt=ORDINARY, **FULL).infotexts[0])


def test_of_the_hires_pass_it_offers_those_of_its_own_prompt():
    line = "Steps: 4, Sampler: Euler, Seed: 1, MG verdict: stable, MG hires verdict: not judged (networks that no profile knows (b 1)), MG version: 1"
    text = f'x <lora:a:1>\n{line}, Hires prompt: "x <lora:b:1>"'
    assert 'data-networks="&lt;lora:b:1&gt;"' in panel.lines(text) and "lora:a" not in panel.lines(text)


def test_the_tab_calibrates_with_networks(folder, host, lora):  # noqa: F811
    mine = lora("mine")
    given = [float(SMALL["runs"]), 4.0, 64.0, 64.0, 4.0, tab_calibrate.IN_TURN, "", "\n".join(SMALL["prompts"])]
    _, ident, *_ = tab_calibrate.start(*given, mine)
    line, _, table, _ = list(tab_calibrate.watched(ident, SMALL["runs"]))[-1]
    assert "-with-mine-0-8-" in line and "with mine 0.8" in table
    assert "It is a trial" in tab_calibrate.said_before(20.0, "", mine)
    assert "finds no network called" in tab_calibrate.said_before(20.0, "", "<lora:nowhere:1>")


def test_the_buttons_in_a_browser(page, folder, options, lora):  # noqa: F811
    lora("mine")
    options.set("memorization_guard_enabled", True)
    page.locator("#txt2img_prompt textarea, #txt2img_prompt input").first.fill(f"{ORDINARY} <lora:mine:0.7>")
    box = page.locator("#memorization_guard_tab_networks textarea, #memorization_guard_tab_networks input").first
    page.locator("#memorization_guard_txt2img_enabled-checkbox input, #memorization_guard_txt2img_enabled input").first.check(force=True)
    page.locator("#txt2img_generate").click()
    page.locator("#memorization_guard_verdict_txt2img .memorization-guard-calibrate").click(timeout=60_000)
    page.wait_for_function("(box) => box.value === '<lora:mine:0.7>'", arg=box.element_handle())
    box.fill("")
    page.locator("#memorization_guard_tab_networks_fill").click()
    page.wait_for_function("(box) => box.value === '<lora:mine:0.7>'", arg=box.element_handle(), timeout=20_000)
    target = ROOT / "outputs" / "screenshots" / f"networks-{'forge' if FORGE else 'a1111'}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(target), full_page=True)


@pytest.fixture(autouse=True)
def nothing_runs_on():
    yield
    for task in background._running.values():
        task.cancel()
        assert task.wait(60)
