"""The ledger written by the web UI: off unless asked for, a line per image, file names only where they are certain."""

from __future__ import annotations

import weakref
from types import SimpleNamespace

import pytest
from test_judging import FULL, MEMORIZED, picture, pixels

from lib_stability.trail import ledger
from lib_stability.trail.image_row import prompt_hash
from lib_stability.trail.infotext import Settings
from lib_stability.trail.ledger_check import verify
from lib_stability.webui.job import job, ledgering, saved_files


@pytest.fixture
def folder(options, tmp_path, monkeypatch):
    """Where lines go while the option is on."""
    options.set("memorization_guard_ledger", True)
    monkeypatch.setattr(ledgering, "FOLDER", tmp_path / "ledger")
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
    monkeypatch.setattr(ledgering, "FOLDER", tmp_path / "ledger")
    assert host.shared.opts.data_labels["memorization_guard_ledger"].default is False
    assert str(ledgering.settings.LEDGER_FOLDER) in host.shared.opts.data_labels["memorization_guard_ledger"].label
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
