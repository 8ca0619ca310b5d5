"""The ledger written by the web UI: off unless asked for, a line per image, file names only where they are certain."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import pytest
from test_judging import FULL, MEMORIZED, picture, pixels

from lib_stability.trail import ledger
from lib_stability.trail.image_row import prompt_hash
from lib_stability.trail.infotext import Settings
from lib_stability.trail.ledger_check import verify
from lib_stability.webui.job import job, ledgering, places, saved_files
from lib_stability.webui.page import panel


@pytest.fixture
def folder(options, tmp_path, monkeypatch):
    """Where lines go while the option is on."""
    options.set("memorization_guard_ledger", True)
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    return tmp_path / "ledger"


@pytest.fixture
def saving(host, monkeypatch):
    """The host tells of every saved picture, as the real ones do; ``saving.also`` holds pictures to save along with each."""
    from modules import images, script_callbacks

    plain, also = images.save_image, []

    def save(picture, folder, info=None, suffix=""):
        import inspect

        p = inspect.currentframe().f_back.f_locals.get("p")
        for one in [picture, *also]:
            path = plain(one, folder, info, suffix)
            script_callbacks.fire("image_saved", SimpleNamespace(image=one, p=p, filename=str(path), pnginfo={"parameters": info}))
        return path

    monkeypatch.setattr(images, "save_image", save)
    return SimpleNamespace(also=also)


def test_off_by_default(generate, host, options, tmp_path, monkeypatch):
    assert str(places.ledger()) in host.shared.opts.data_labels["memorization_guard_ledger"].comment_after
    monkeypatch.setenv(places.VARIABLE, str(tmp_path))
    assert host.shared.opts.data_labels["memorization_guard_ledger"].default is False
    generate({})
    assert not (tmp_path / "ledger").exists()


def test_a_line_per_image(generate, folder):
    prompts = [MEMORIZED, "small blue square"] * 2
    done = generate({"mode": "damp"}, prompt=prompts, batch_size=2, n_iter=2, **FULL)
    lines = list(ledger.read(folder))
    assert [one["seed"] for one in lines] == done.all_seeds and len(lines) == 4
    assert [one["prompt_hash"] for one in lines] == [prompt_hash(prompt) for prompt in prompts]
    assert [one["verdict"] in ("mild", "strong") for one in lines] == [True, False] * 2
    images = generate.last()["images"]
    assert [(one["verdict"], one["score"], one["flagged_at"]) for one in lines] == [
        (image["first"]["verdict"], image["first"]["score"], image["first"]["flagged_at"]) for image in images
    ]
    assert lines[0]["action"] == f"damped {lines[0]['damped']}/{FULL['steps']}" and lines[1]["action"] == "reported"
    assert lines[0]["mode"] == "damp" and lines[0]["sensitivity"] == "medium" and lines[0]["profile"].startswith("Testbed")
    assert lines[0]["checkpoint"] == generate.last()["checkpoint"] and lines[0]["checkpoint_hash"] == generate.last()["checkpoint_hash"]
    assert [one["file"] for one in lines] == [None] * 4 and "hires_verdict" not in lines[0]
    assert MEMORIZED not in (ledger.files(folder)[0]).read_text()
    generate({})
    assert verify(folder) == [] and len(list(ledger.read(folder))) == 5


def test_hires_and_stopping(generate, folder):
    generate({}, enable_hr=True)
    generate({"mode": "stop", "sensitivity": "custom", "tau": 0.5}, prompt=MEMORIZED, **FULL)
    hires, stopped = ledger.read(folder)
    assert hires["hires_verdict"] and hires["hires_action"] == "reported"
    assert stopped["action"] == f"stopped at {stopped['stopped_at']}"


def test_file_names(generate, folder, saving, tmp_path, options):
    options.set("save_images_before_highres_fix", True)
    generate({}, batch_size=2, n_iter=2, enable_hr=True, do_not_save_samples=False)
    names = [one["file"] for one in ledger.read(folder)]
    saved = sorted(str(path) for path in tmp_path.glob("*.png") if "before" not in path.name)
    assert names == saved and len(set(names)) == 4


class Died(Exception):
    """What ends a job in its midst."""


@pytest.mark.parametrize("hires", [False, True])
def test_a_job_that_dies_leaves_a_line_for_every_picture_on_the_disk(generate, host, folder, saving, tmp_path, monkeypatch, hires):
    from modules import processing

    plain, batches = processing.create_infotext, []

    def dies(p, *arguments, **more):
        batches.append(p.iteration)
        if p.iteration == 2:
            raise Died
        return plain(p, *arguments, **more)

    monkeypatch.setattr(processing, "create_infotext", dies)
    with pytest.raises(Died):
        generate({}, batch_size=1, n_iter=4, enable_hr=hires, do_not_save_samples=False)
    lines = list(ledger.read(folder))
    assert [one["file"] for one in lines] == sorted(str(path) for path in tmp_path.glob("*.png")) and len(lines) == 2
    assert [one["seed"] for one in lines] == [11, 12] and all(one["verdict"] == "stable" for one in lines)
    assert all(("hires_verdict" in one) is hires for one in lines) and verify(folder) == []
    gc.collect()
    assert not saved_files._saved  # nothing holds on to the dead


def test_a_line_is_there_as_soon_as_its_picture_is(generate, folder, saving, monkeypatch):
    seen, plain = [], saved_files.image_saved

    def watched(params):
        plain(params)
        seen.append(len(list(ledger.read(folder))))

    from modules import script_callbacks

    script_callbacks.remove_callbacks_for_function(plain)
    script_callbacks.on_image_saved(watched)
    try:
        generate({}, batch_size=2, n_iter=2, do_not_save_samples=False)
    finally:
        script_callbacks.remove_callbacks_for_function(watched)
        saved_files.register()
    assert seen == [1, 2, 3, 4] and len(list(ledger.read(folder))) == 4


def test_pictures_that_are_not_saved_get_their_line_at_the_end(generate, folder, saving):
    generate({}, batch_size=2)
    assert [one["file"] for one in ledger.read(folder)] == [None, None]


@pytest.mark.parametrize("suffix", ["-before-color-correction", "-ad-before", "-mask", "-before-face-restoration"])
def test_states_before_the_last_are_not_taken_for_the_picture(generate, host, folder, saving, tmp_path, suffix):
    from modules import images

    plain = images.save_image

    def both(picture_, where, info=None, end=""):
        import inspect

        p = inspect.currentframe().f_back.f_locals.get("p")  # noqa: F841 - the fixture "saving" looks for it
        plain(picture(7), where, info, suffix)
        return plain(picture_, where, info, end)

    images.save_image = both
    try:
        generate({}, do_not_save_samples=False)
    finally:
        images.save_image = plain
    (line,) = ledger.read(folder)
    (right,) = [str(path) for path in tmp_path.glob("*.png") if suffix not in path.name]
    assert line["file"] == right


def test_a_wrong_file_is_put_right_by_a_line_of_its_own(generate, host, folder, saving, tmp_path):
    """What an extension saves under a name that tells nothing, before the host saves the picture."""
    from modules import images

    plain = images.save_image

    def both(picture_, where, info=None, end=""):
        import inspect

        p = inspect.currentframe().f_back.f_locals.get("p")  # noqa: F841 - the fixture "saving" looks for it
        plain(picture(7), where, info, "-mine")
        return plain(picture_, where, info, end)

    images.save_image = both
    try:
        generate({}, do_not_save_samples=False)
    finally:
        images.save_image = plain
    line, correction = ledger.read(folder)
    assert "-mine" in line["file"] and correction["corrects"] == line["number"] and "-mine" not in correction["file"] and verify(folder) == []


def under(done) -> str:
    """What the page says under the first picture."""
    return panel.lines(done.infotexts[done.index_of_first_image])


def test_loss_is_said_under_the_result_and_in_the_next_line(generate, folder, logged, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(ledger.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        done = generate({}, batch_size=2)
        assert "Ledger: 2 lines could not be written (No space left on device)." in under(done)
    assert "disk" not in under(generate(None)) and logged.pop().exc_info
    done = generate({})
    assert "Ledger" not in under(done) and under(done)
    assert [one.get("lost") for one in ledger.read(folder)] == [2] and verify(folder) == []


@pytest.mark.parametrize("saved", [False, True])
def test_lines_that_cannot_be_made_are_lost_too_and_said(generate, folder, saving, logged, monkeypatch, saved):
    with monkeypatch.context() as patch:
        patch.setattr(ledgering, "prompt_hash", lambda prompt: 1 / 0)
        done = generate({}, batch_size=2, do_not_save_samples=not saved)
        assert "Ledger: 2 lines could not be written (division by zero)." in under(done)
    assert logged and all(record.exc_info for record in logged)
    logged.clear()
    generate({})
    assert [one.get("lost") for one in ledger.read(folder)] == [2] and verify(folder) == []


def test_loss_is_said_in_the_folder_that_is_chosen_next(generate, folder, logged, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(ledger.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        generate({})
    logged.clear()
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "elsewhere"))
    assert "Ledger: 1 line could not be written" in panel.lines("x\nSteps: 1, Seed: 2, Size: 8x8, MG verdict: stable")
    generate({})
    assert [one.get("lost") for one in ledger.read(tmp_path / "elsewhere" / "ledger")] == [1]


def test_a_folder_of_the_owners_own(generate, options, tmp_path, monkeypatch):
    from modules import shared

    for text, counts in (
        (str(tmp_path / "nas"), True),
        ("relative", False),
        ("/", False),
        ("  ", False),
        (str(tmp_path / "a\0b"), False),
        (7, False),
    ):
        options.set(places.OPTION, text)
        assert places.home() == (tmp_path / "nas" if counts else places.DEFAULT), text
    options.set(places.OPTION, str(tmp_path / "nas"))
    options.set("memorization_guard_ledger", True)
    generate({})
    assert len(list(ledger.read(tmp_path / "nas" / "ledger"))) == 1
    assert job.LIBRARY.folders[-1] == tmp_path / "nas" / "user-profiles"
    monkeypatch.setattr(shared.cmd_opts, "listen", True, raising=False)
    monkeypatch.setattr(shared.cmd_opts, "disable_extension_access", True, raising=False)
    assert places.home() == places.DEFAULT and job.LIBRARY.folders[-1] == places.DEFAULT / "user-profiles"
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "volume"))
    assert places.home() == tmp_path / "volume"


def test_masks_and_grids_do_not_count(generate, folder, saving, tmp_path):
    saving.also.append(picture(1))
    generate({}, batch_size=2, do_not_save_samples=False)
    names = [one["file"] for one in ledger.read(folder)]
    assert names == sorted(str(path) for path in tmp_path.glob("*.png"))[::2]
    assert not saved_files._saved


def test_a_mask_among_the_results_comes_after_its_image():
    first, mask, second = picture(1), picture(2), picture(3)
    p = type("P", (), {})()
    found = job.Job(p, Settings(enabled=True))
    for index, one, name in ((0, first, "1.png"), (0, mask, "1-mask.png"), (1, second, "2.png"), (1, picture(4), "2-grid.png")):
        saved_files._saved.setdefault(found, []).append(((0, index), weakref.ref(one), name))
    processed = SimpleNamespace(images=[picture(5), first, mask, second], index_of_first_image=1)
    assert saved_files.names(found, processed) == {(0, 0): "1.png", (0, 1): "2.png"}


def test_img2img(generate, folder):
    generate({}, tab="img2img", init_images=[picture()], denoising_strength=0.6)
    (line,) = ledger.read(folder)
    assert line["verdict"] and line["seed"] == 11


def test_the_guard_off_writes_nothing(generate, folder):
    generate(None)
    assert not folder.exists()


def test_an_error_is_logged_and_disturbs_nothing(generate, folder, logged, monkeypatch):
    off = generate(None)

    def broken(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(ledger, "append", broken)
    done = generate({})
    assert pixels(done) == pixels(off) and generate.last()["images"]
    assert len(logged) == 1 and "ledger" in logged[0].getMessage() and "disk full" in repr(logged.pop().exc_info)
