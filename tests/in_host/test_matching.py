"""Indexes of training pictures in the web UI: over its routes, in the infotext, by whom, and with which autoencoder."""

from __future__ import annotations

import base64
import io
import json
import re
from functools import cache

import numpy as np
import pytest
from asking import Asker, basic
from PIL import Image
from tabbing import PREFIX, SECTIONS, open_section, says
from test_judging import MEMORIZED
from test_routes import command  # noqa: F401
from test_served import fill, page  # noqa: F401

from lib_stability.match import describing, store
from lib_stability.shell import cli, match_commands, webui_answers
from lib_stability.testbed.world.kinds import memorized
from lib_stability.testbed.world.scenes import random_scene, render
from lib_stability.trail.reading import verdicts_of
from lib_stability.validation import ValidationError
from lib_stability.webui.host import encoding
from lib_stability.webui.job import indexes, places
from lib_stability.webui.page import flagged, panel, tab_match
from lib_stability.webui.tasks import api_jobs, matching

ITEM = next(one for one in memorized() if one.caption == MEMORIZED)
SIZE = {"width": 128, "height": 128, "steps": 12, "cfg_scale": 7.5}


@cache
def drawn() -> dict[str, bytes]:
    """60 ordinary training pictures and the memorized one, by their files' names."""
    draw = np.random.default_rng(5)
    scenes = {f"{number:02}.png": random_scene(draw) for number in range(60)} | {"the one, itself.png": ITEM.scene}
    found = {}
    for name, scene in scenes.items():
        out = io.BytesIO()
        Image.fromarray(np.asarray(render(scene), np.uint8)).save(out, "PNG")
        found[name] = out.getvalue()
    return found


@pytest.fixture
def training(options, tmp_path, monkeypatch, host):
    """A folder of what is :func:`drawn`, that may be looked into; the guard's own folder is elsewhere."""
    monkeypatch.setattr(describing, "SIDE", 64)  # a quarter of the work
    monkeypatch.setattr(places, "home", lambda: tmp_path / "home")
    top, out = tmp_path / "training", tmp_path / "out"
    top.mkdir()
    out.mkdir()
    options.set("outdir_samples", str(out))
    for name, data in drawn().items():
        (top / name).write_bytes(data)
    options.set("memorization_guard_audit_folders", str(top))
    return top


def made(folder, name="mine") -> dict:
    task = api_jobs.start("match/index", {"index": name, "folder": str(folder)})
    assert task.wait(120) and task.state == "done", task.to_json()
    return task.result


def encoded(image: Image.Image) -> str:
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def test_an_index_is_made_and_finds_what_a_generation_has_copied(training, generate):
    result = made(training)
    assert (result["rows"], result["problems"], result["new"], result["complete"]) == (61, 0, 61, True) and 0.3 < result["limit"] < 0.95
    done = generate(None, prompt=MEMORIZED, **SIZE)
    ask = Asker(generate.host)
    status, answer = ask("POST", "match/find", {"picture": encoded(done.images[0]), "index": "mine", "count": 2})
    best, other = answer["nearest"]
    assert status == 200 and best["file"] == "the one, itself.png" and best["copy"] is True and other["copy"] is False
    ordinary = generate(None, prompt="small blue square", seed=5, **SIZE)
    status, answer = ask("POST", "match/find", {"picture": encoded(ordinary.images[0])})
    assert status == 200 and answer["index"] == "mine" and len(answer["nearest"]) == 5 and not answer["nearest"][0]["copy"]
    assert ask("GET", "match")[1]["indexes"][0]["rows"] == 61
    # Nothing has changed: nothing is described again.
    assert api_jobs.start("match/index", {"index": "mine"}).wait(60) and api_jobs.latest("match/index").result["new"] == 0
    assert ask("POST", "match/delete", {"index": "mine"})[0] == 200 and indexes.names() == [] and len(list(training.iterdir())) == 61
    assert "there is none yet" in ask("POST", "match/find", {"picture": encoded(ordinary.images[0])})[1]["detail"][0]["msg"]


def test_no_generation_is_disturbed(training, generate):
    import torch

    before = generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).images[0]
    state = torch.random.get_rng_state()
    made(training)
    assert torch.equal(state, torch.random.get_rng_state())
    assert np.array_equal(np.asarray(before), np.asarray(generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).images[0]))


@pytest.mark.parametrize("batch", [1, 2])
def test_the_infotext_names_the_file_alone_and_only_where_that_is_wished(training, generate, options, command, batch):  # noqa: F811
    made(training)
    wish = {"prompt": MEMORIZED, "batch_size": batch, **SIZE}
    assert "MG match" not in "".join(generate({"sensitivity": "high"}, **wish).infotexts)
    options.set("memorization_guard_match", True)
    found = generate({"sensitivity": "high"}, **wish)
    assert all(re.search(r"MG match: the one itself.png (0\.9|1\.0)", text) for text in found.infotexts[-batch:]) and str(training) not in "".join(
        found.infotexts
    )
    assert "MG match" not in generate({"sensitivity": "low"}, prompt="small blue square", **SIZE).infotexts[-1]
    assert "MG match" not in generate(None, **wish).infotexts[-1]
    command(gradio_auth="anna:secret")
    assert "MG match" not in "".join(generate({"sensitivity": "high"}, **wish).infotexts)


def test_an_infotext_stands_where_no_index_can_be_asked(training, generate, options):
    options.set("memorization_guard_match", True)
    assert "MG verdict" in generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).infotexts[-1]
    made(training)
    next((indexes.home() / "mine").glob("rows-*")).write_bytes(b"")
    text = generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).infotexts[-1]
    assert "MG verdict" in text and "MG match" not in text


def other_autoencoder(monkeypatch) -> None:
    plain = encoding.encode
    monkeypatch.setattr(encoding, "encode", lambda pictures: plain(1 - pictures[:, :, ::-1])[:, ::-1])


def test_the_index_of_another_autoencoder_is_told(training, host, monkeypatch):
    made(training)
    other_autoencoder(monkeypatch)
    picture = Image.open(training / "00.png")
    with pytest.raises(ValidationError, match="describes pictures in another way"):
        matching.find(picture, "mine")
    task = api_jobs.start("match/index", {"index": "mine"})
    assert task.wait(60) and task.state == "failed" and "was made with the autoencoder of" in task.error


def test_a_checkpoint_that_changes_meanwhile_ends_it(training, host, monkeypatch):
    how = indexes.same_throughout(indexes.by_checkpoint)
    squares = np.zeros((1, how.side, how.side, 3), np.uint8)
    assert len(how.rows(squares)) == 1
    other_autoencoder(monkeypatch)
    with pytest.raises(ValueError, match="was loaded meanwhile"):
        how.rows(squares)


def test_cancelled_it_keeps_what_is_done(training, host, monkeypatch):
    from lib_stability.match import building

    monkeypatch.setattr(building, "BATCH", 8)
    plain, task = building._Building._take, None

    def take(self, *args):
        plain(self, *args)
        task.cancel()

    monkeypatch.setattr(building._Building, "_take", take)
    task = api_jobs.start("match/index", {"index": "mine", "folder": str(training)})
    assert task.wait(60) and task.state == "cancelled"
    assert 0 < store.read(indexes.home() / "mine").rows < 61


@pytest.mark.parametrize("folder", ["/etc", "..", "../training", "nowhere"])
def test_only_folders_that_are_open(training, host, folder):
    status, answer = Asker(host)("POST", "match/index", {"index": "mine", "folder": folder})
    assert status == 422 and "folder" in answer["detail"][0]["loc"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "..", 7, None])
def test_names_of_indexes_are_no_paths(training, host, name):
    ask = Asker(host)
    bodies = (("match/index", {"folder": str(training)}), ("match/delete", {}), ("match/find", {"picture": encoded(Image.new("RGB", (8, 8)))}))
    for path, body in bodies:
        if not (path == "match/find" and name == ""):
            assert ask("POST", path, {**body, "index": name})[0] == 422


def test_a_folder_that_was_closed_is_not_looked_into_again(training, host, options):
    made(training)
    options.set("memorization_guard_audit_folders", "")
    status, answer = Asker(host)("POST", "match/index", {"index": "mine"})
    assert status == 422 and "may no longer be looked into" in answer["detail"][0]["msg"]


def test_links_out_of_a_folder_are_not_followed(training, host, tmp_path):
    (tmp_path / "secret").mkdir()
    Image.open(training / "00.png").save(tmp_path / "secret" / "x.png")
    (training / "link").symlink_to(tmp_path / "secret")
    (training / "x.png").symlink_to(tmp_path / "secret" / "x.png")
    assert made(training)["rows"] == 61


def test_visitors_learn_whether_it_is_a_copy_and_not_of_which_picture(training, host, command):  # noqa: F811
    made(training)
    body = {"picture": encoded(Image.open(training / "the one, itself.png")), "count": 1}
    command(gradio_auth="anna:secret,bert:secret")
    ask = Asker(host, [("anna", "secret"), ("bert", "secret")])
    status, answer = ask("POST", "match/find", body, **basic("anna:secret"))
    assert status == 200 and answer["nearest"] == [{"likeness": pytest.approx(1.0, abs=0.02), "mirrored": False, "copy": True}]
    for path, changed in (("match/index", {"index": "mine", "folder": ""}), ("match/delete", {"index": "mine"})):
        assert ask("POST", path, changed, **basic("anna:secret"))[0] == 403
    assert indexes.names() == ["mine"]


@pytest.mark.parametrize("picture", ["", "???", base64.b64encode(b"none").decode(), 7, None])
def test_what_is_no_picture_is_refused(training, host, picture):
    assert Asker(host)("POST", "match/find", {"picture": picture})[0] == 422
    assert Asker(host)("POST", "match/describe", {"pictures": [picture]})[0] == 422


def test_pictures_are_described_for_others(training, host):
    picture = Image.open(training / "03.png")
    status, answer = Asker(host)("POST", "match/describe", {"pictures": [encoded(picture)]})
    rows = np.frombuffer(base64.b64decode(answer["rows"]), "<f2").reshape(-1, answer["size"])
    assert status == 200 and len(rows) == 2 and describing.same(rows[1].astype(np.float32), indexes.by_checkpoint().print)


def test_a_copy_detector_beside_the_indexes_serves(training, host, tmp_path):
    import torch

    class Pooled(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x, 8).flatten(1)

    status, _ = Asker(host)("POST", "match/index", {"index": "other", "folder": str(training), "by": "sscd"})
    task = api_jobs.latest("match/index")
    assert status == 202 and task.wait(60) and task.state == "failed" and "no copy detector is there" in task.error
    indexes.home().mkdir(parents=True)
    torch.jit.trace(Pooled(), torch.zeros(1, 3, 288, 288)).save(str(indexes.home() / "sscd_x.pt"))
    task = api_jobs.start("match/index", {"index": "other", "folder": str(training), "by": "sscd"})
    assert task.wait(60) and task.state == "done", task.to_json()
    assert task.result["kind"] == "sscd" and matching.find(Image.open(training / "03.png"), "other")[1][0].file == "03.png"


# -- the page ----------------------------------------------------------------------------------------------------------------------------


def sent(infotext: str = "", picture: str = "") -> str:
    return json.dumps({"infotext": infotext, "picture": picture})


def test_buttons_stand_at_flagged_images_and_the_second_wherever_there_is_an_index(training, generate):
    told = generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).infotexts[-1]
    plain = generate({"sensitivity": "low"}, prompt="small blue square", **SIZE).infotexts[-1]
    assert "data-wanted='words'" in panel.lines(told) and "data-wanted='picture'" not in panel.lines(told)
    assert "memorization-guard-more" not in panel.lines(plain)
    made(training)
    assert all("data-wanted='picture'" in panel.lines(text) for text in (told, plain, "a cat\nSteps: 4, Sampler: Euler, Seed: 3"))
    assert "data-wanted='words'" not in panel.lines(plain)


def test_the_button_shades_the_words_of_the_prompt(training, generate):
    found = generate({"sensitivity": "high"}, prompt=MEMORIZED, negative_prompt="red", **SIZE)
    *_, told = flagged.words(sent(found.infotexts[-1]))
    assert "<mark " in told and "Carried by" in told and "Stable without" in told
    body = flagged.body_of(verdicts_of(found.infotexts[-1]))
    assert (body["width"], body["height"], body["first_seed"], body["negative_prompt"]) == (128, 128, 11, "red")
    assert "Nothing is shown" in next(iter(flagged.words("{"))) and "Nothing is shown" in next(iter(flagged.words(None)))


def test_the_button_shows_the_nearest_pictures(training, generate):
    made(training)
    image = generate({"sensitivity": "high"}, prompt=MEMORIZED, **SIZE).images[-1]
    told = flagged.picture(sent(picture=encoded(image)))
    assert "This is a copy of a training picture" in told and told.count("<figure") == 5 and told.count("data:image/jpeg") == 5
    assert "<b>the one, itself.png</b>" in told and str(training) not in told
    assert "no picture that can be read" in flagged.picture(sent(picture="data:image/png;base64,AAAA"))


def test_pictures_of_a_folder_that_was_closed_are_not_shown(training, generate, options):
    made(training)
    options.set("memorization_guard_audit_folders", "")
    told = flagged.picture(sent(picture=encoded(Image.open(training / "00.png"))))
    assert "00.png" in told and "data:image" not in told


def test_a_visitor_presses_the_buttons(training, host, command):  # noqa: F811
    made(training)
    command(gradio_auth="anna:secret")
    ask = Asker(host, [("anna", "secret")])
    ask.sign_in("anna", "secret")
    told = flagged.picture(sent(picture=encoded(Image.open(training / "00.png"))))
    assert "This is a copy" in told and "00.png" not in told and "data:image" not in told
    for name, values in (("match", ("mine", str(training), "", "")), ("match_delete", ("mine",)), ("cancel_match", ())):
        assert "administrator" in ask.press(name, *values)[1]["data"][0]
    assert indexes.names() == ["mine"]
    elsewhere = ask.press("match_find", None, "mine", origin="https://evil.example")
    assert "another site" in elsewhere[1]["data"][0]


def test_the_tab_makes_an_index_looks_a_picture_up_and_deletes(training, host):
    line, ident, cancel = tab_match.start("mine", str(training), "", next(iter(tab_match._BY)))
    assert ident and cancel["interactive"], line
    *_, (_, listed, _, cancel) = tab_match.watched(ident)
    assert not cancel["interactive"]
    assert "<b>mine</b>: 61 pictures by the autoencoder of testbed" in listed
    assert "<b>04.png</b>" in tab_match.find(Image.open(training / "04.png"), None)
    assert "has to be a text" in tab_match.start("", str(training), "", "")[0] or "characters" in tab_match.start("", str(training), "", "")[0]
    assert "is deleted" in tab_match.delete("mine")[0] and "no index yet" in tab_match.table()


def test_a_person_asks_in_the_browser(page, training, options):  # noqa: F811
    """Which words and which picture, under a batch of two: the second picture that is chosen is the one that is looked up."""
    made(training)
    for name, value in (("steps", 12), ("cfg_scale", 7.5), ("width", 128), ("height", 128), ("batch_size", 2), ("prompt", MEMORIZED)):
        fill(page, name, value)
    page.locator("#memorization_guard_txt2img_enabled-checkbox input").first.check()
    page.locator("#txt2img_generate").click()
    page.wait_for_selector(".memorization-guard-more[data-wanted=picture]", timeout=60_000)
    page.wait_for_selector("#txt2img_gallery .thumbnail-item[data-memorization-guard=strong]", timeout=20_000)
    said = "text => document.querySelector('#memorization_guard_more_txt2img').innerText.includes(text)"
    # The first is the grid of both.
    page.locator("#txt2img_gallery .thumbnails .thumbnail-item").nth(1).click()
    page.locator(".memorization-guard-more[data-wanted=picture]").first.click()
    page.wait_for_function(said, arg="This is a copy of a training picture", timeout=30_000)
    assert page.locator("#memorization_guard_more_txt2img figure img").count() == 5
    page.locator("#txt2img_gallery .thumbnails .thumbnail-item").nth(2).click()
    page.wait_for_function("() => !document.querySelector('#memorization_guard_more_txt2img').checkVisibility()", timeout=20_000)
    page.wait_for_selector(".memorization-guard-more[data-wanted=words]", timeout=20_000)
    page.locator(".memorization-guard-more[data-wanted=words]").first.click()
    page.wait_for_function(said, arg="Stable without", timeout=60_000)
    assert page.locator("#memorization_guard_more_txt2img mark").count() >= 1


ENABLED = """prefix => [...document.querySelectorAll(`:is(button.lg, button.sm)[id^=${prefix}], [id^=${prefix}] > :is(button.lg, button.sm)`)]
    .filter(one => one.checkVisibility() && !one.disabled && !one.closest('.tab-nav, .tab-wrapper'))
    .map(one => (one.id || one.parentElement.id).replace(prefix, ''))"""


def test_only_what_has_something_to_act_on_can_be_pressed(page, training, options, monkeypatch):  # noqa: F811
    """In every section of the tab, with nothing there; then an index is named, made, chosen and deleted."""
    monkeypatch.setattr(api_jobs, "_latest", {})
    found = {}
    for name in SECTIONS[:-1]:
        open_section(page, name)
        page.wait_for_timeout(1000)
        if name == "profiles":  # the one that serves is drawn
            page.wait_for_selector(f"{PREFIX}profile_export:not([disabled])", timeout=30_000)
        found[name] = page.evaluate(ENABLED, PREFIX.removeprefix("#"))
    assert found == {
        "profiles": ["profile_export"],
        "calibrate": ["networks_fill", "calibrate", "calibrate_idle"],
        "scan": [],
        "audit": ["audit"],
        "match": [],
    }

    def pressable(name: str, able: bool = True) -> None:
        page.wait_for_function("([id, able]) => !document.querySelector(id).disabled === able", arg=[PREFIX + name, able], timeout=30_000)

    open_section(page, "match")
    page.locator(f"{PREFIX}match_name textarea, {PREFIX}match_name input").first.fill("mine")
    pressable("match")
    page.locator(f"{PREFIX}match_path textarea, {PREFIX}match_path input").first.fill(str(training))
    page.locator(f"{PREFIX}match").click()
    says(page, "match_indexes", "mine: 61 pictures")
    pressable("cancel_match", False)
    pressable("match_delete", False)
    page.locator(f"{PREFIX}match_picture input[type=file]").set_input_files(str(training / "04.png"))
    pressable("match_find")
    page.locator(f"{PREFIX}match_index input").first.click()
    page.get_by_role("option", name="mine").or_(page.locator("ul.options li", has_text="mine")).first.click()
    pressable("match_delete")
    page.locator(f"{PREFIX}match_delete").click()
    says(page, "match_indexes", "There is no index yet")
    pressable("match_delete", False)


def test_an_index_that_is_being_made_can_be_cancelled(page, training, options, monkeypatch):  # noqa: F811
    from lib_stability.webui.tasks.background import Task

    def run(running) -> dict:
        for step in range(1, 400):
            running.progress(step, 400, "files")
            if running.stop.wait(0.2):
                break
        return {}

    monkeypatch.setattr(api_jobs, "_latest", {})
    monkeypatch.setitem(api_jobs._KINDS, "match/index", (api_jobs._KINDS["match/index"][0], lambda options: Task("index", run)))
    open_section(page, "match")
    page.locator(f"{PREFIX}match_name textarea, {PREFIX}match_name input").first.fill("mine")
    page.locator(f"{PREFIX}match_path textarea, {PREFIX}match_path input").first.fill(str(training))
    page.locator(f"{PREFIX}match:not([disabled])").click()
    says(page, "match_progress", " of 400 files")
    # What is being filled again and again is read all the while.
    pale = """id => { let least = 1; for (let one = document.querySelector(`${id} .memorization-guard-running`); one; one = one.parentElement)
        least = Math.min(least, +getComputedStyle(one).opacity); return least; }"""
    assert page.evaluate(pale, f"{PREFIX}match_progress") == 1
    assert page.locator(f"{PREFIX}match_progress").first.bounding_box()["height"] < 90
    page.locator(f"{PREFIX}cancel_match:not([disabled])").click()
    page.wait_for_selector(f"{PREFIX}cancel_match[disabled]", timeout=20_000)


# -- from the shell ----------------------------------------------------------------------------------------------------------------------


def test_the_shell_describes_by_a_web_ui_and_the_web_ui_takes_the_index(training, generate, server, tmp_path, capsys, monkeypatch):
    made_here, index = tmp_path / "made", indexes.home() / "shell"
    made_here.mkdir()
    generate(None, prompt=MEMORIZED, **SIZE).images[0].save(made_here / "copied.png")
    generate(None, prompt="small blue square", seed=5, **SIZE).images[0].save(made_here / "new.png")
    by = ("--webui-url", server)
    assert cli.main(["match", "index", str(training), "--out", str(index), *by]) == 0
    assert "61 pictures by the autoencoder of testbed" in capsys.readouterr().out
    assert cli.main(["match", "find", str(made_here), "--index", str(index), *by]) == 0
    assert "1 of 2 pictures are copies" in capsys.readouterr().out
    assert cli.main(["audit", str(made_here), "--match", str(index), "--out", str(tmp_path / "rows.jsonl"), *by]) == 0
    rows = {row["file"].rpartition("/")[2]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    assert rows["copied.png"]["match"] == "the one, itself.png" and rows["copied.png"]["copy"] and not rows["new.png"]["copy"]
    # What the shell has made the web UI asks, and finds in the same way.
    assert matching.find(Image.open(made_here / "copied.png"), "shell")[1][0].likeness == pytest.approx(rows["copied.png"]["likeness"], abs=0.01)
    other_autoencoder(monkeypatch)
    capsys.readouterr()
    assert cli.main(["match", "index", "--out", str(index), *by]) == 2 and "was made with the autoencoder of testbed" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [{}, {"size": 4, "rows": "AAAA", "name": "x"}, {"size": 0, "rows": "", "name": "x"}, {"size": 4, "rows": 7}, []])
def test_a_web_ui_that_answers_nonsense_is_told(answer):
    class Client:
        def request(self, *_):
            return answer

    with pytest.raises(webui_answers.ClientError, match="makes no sense"):
        match_commands.by_webui(Client())
