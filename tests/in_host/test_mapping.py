"""The map of where the memorized content sits: shown for flagged images, saved on request, no work at all where it is switched off."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_judging import FULL, MEMORIZED, picture, pixels
from test_ledger_here import saving  # noqa: F401 - a fixture

from lib_stability.guard import judging, locality
from lib_stability.trail.infotext import KEYS
from lib_stability.webui.job import job, last_job, mapping
from lib_stability.webui.page import panel

BOTH = {"prompt": [MEMORIZED, "small blue square"], "batch_size": 2, **FULL}


def shown(done, number: int = 0) -> str:
    """The page's lines under one picture."""
    return panel.lines(done.infotexts[number + done.index_of_first_image])


def test_a_flagged_image_has_a_map_an_ordinary_one_has_none(generate):
    done = generate({}, **BOTH)
    flagged, ordinary = (image["first"]["map"] for image in generate.last()["images"])
    assert ordinary is None
    assert np.array(flagged["rows"]).shape == (16, 16) and flagged["threshold"] == locality.THRESHOLD
    assert 0.5 < flagged["share"] <= 1 and flagged["place"] == "everywhere"
    assert json.loads(json.dumps(generate.last())) == generate.last()
    assert "Which part" in shown(done) and "data:image/jpeg;base64," in shown(done) and "% of the picture" in shown(done)
    assert "Which part" not in shown(done, 1)
    assert set(last_job._pictures) == {(0, 0)} and "not at hand" not in shown(done)


def test_without_a_picture_the_map_stands_alone(generate, monkeypatch):
    monkeypatch.setattr(mapping, "keep_picture", lambda *arguments: None)
    assert "its picture is not at hand" in shown(generate({}, **BOTH))


def test_the_map_of_a_damped_image_is_that_of_the_finished_picture(generate):
    generate({}, prompt=MEMORIZED, **FULL)
    plain = generate.last()["images"][0]["first"]["map"]
    generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    steered = generate.last()["images"][0]["first"]["map"]
    assert plain["share"] > 0.95 and steered["share"] < 0.6


def test_no_key_in_the_infotext(generate):
    done = generate({}, **BOTH)
    assert not any("map" in key.lower() for key in KEYS) and "map" not in done.infotexts[1].lower().split("steps:")[1]


def test_switched_off_it_costs_nothing_and_changes_nothing(generate, options, monkeypatch):
    on = generate({}, **BOTH)
    options.set("memorization_guard_map", False)
    monkeypatch.setattr(judging, "Locator", lambda: pytest.fail("a map was made"))
    off = generate({}, **BOTH)
    assert pixels(off) == pixels(on) and off.infotexts == on.infotexts
    assert [image["first"]["map"] for image in generate.last()["images"]] == [None, None] and "Which part" not in shown(off)
    assert not last_job._pictures


def test_saved_only_on_request(generate, options, saving, tmp_path):  # noqa: F811
    generate({}, do_not_save_samples=False, **BOTH)
    assert len(list(tmp_path.glob("*.png"))) == 2
    options.set("memorization_guard_save_map", True)
    generate({}, do_not_save_samples=False, **BOTH)
    (path,) = tmp_path.glob("*-mg-map.png")
    original = path.with_name(path.name.replace(mapping.SUFFIX, ".png"))
    assert original.exists()
    drawn, plain = (np.asarray(Image.open(one).convert("RGB"), dtype=np.float32) for one in (path, original))
    assert drawn.shape == plain.shape == (128, 128, 3)
    assert (drawn[..., 0] - drawn[..., 2]).mean() > 20, "red covers it"
    assert "parameters" in Image.open(original).info


def test_masks_and_pictures_before_hires_get_none(generate, options, saving, tmp_path):  # noqa: F811
    options.set("memorization_guard_save_map", True)
    options.set("save_images_before_highres_fix", True)
    saving.also.append(picture(1))
    generate({}, prompt=MEMORIZED, do_not_save_samples=False, enable_hr=True, **FULL)
    (path,) = tmp_path.glob("*-mg-map.png")
    assert "before" not in path.name and Image.open(path).size == (256, 256)


def test_an_error_is_logged_and_disturbs_nothing(generate, options, saving, logged, monkeypatch):  # noqa: F811
    options.set("memorization_guard_save_map", True)
    monkeypatch.setattr(mapping.overlay, "draw", lambda *arguments: (_ for _ in ()).throw(OSError("disk full")))
    done = generate({}, prompt=MEMORIZED, do_not_save_samples=False, **FULL)
    assert done.images and generate.last()["images"][0]["first"]["map"]
    assert len(logged) == 1 and "map could not be saved" in logged.pop().getMessage()


def test_every_pass_has_its_own(generate):
    done = generate({"sensitivity": "custom", "tau": 0.5}, prompt=MEMORIZED, enable_hr=True, hr_second_pass_steps=4, **FULL)
    (image,) = generate.last()["images"]
    first, hires = image["first"]["map"], image["hires"]["map"]
    assert first is not None
    assert (hires is not None) == (image["hires"]["verdict"] in ("mild", "strong"))
    if hires is not None:
        assert np.array(hires["rows"]).shape == (32, 32) and "Which part, hires pass" in shown(done)


def test_inpainting_maps_the_freed_part_only(generate):
    mask = Image.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).rectangle([0, 0, 127, 79], fill=255)
    start = {"init_images": [picture()], "mask_image": mask, "denoising_strength": 1.0, "prompt": MEMORIZED, **FULL}
    generate({"sensitivity": "custom", "tau": 0.5}, tab="img2img", **start)
    (image,) = generate.last()["images"]
    rows = np.array(image["first"]["map"]["rows"])
    assert rows[10:].max() == 0 < rows[:10].min()
    generate({"sensitivity": "custom", "tau": 0.5}, tab="img2img", **{**start, "mask_image": None})
    whole = np.array(generate.last()["images"][0]["first"]["map"]["rows"])
    assert rows[:10].mean() == pytest.approx(whole[:10].mean(), rel=0.4), "the scale of norms does not change that of the map"


@pytest.mark.parametrize("sampler", ["DDIM", "UniPC", "DPM++ 2M"])
def test_other_samplers(generate, sampler):
    generate({}, sampler_name=sampler, prompt=MEMORIZED, **FULL)
    assert generate.last()["images"][0]["first"]["map"]["share"] > 0.4


def test_probed_images_are_mapped_from_the_virtual_prediction(generate):
    generate({"probe": "auto"}, negative_prompt="small", **BOTH)
    first, second = (image["first"] for image in generate.last()["images"])
    assert first["detector"] == "probe" and first["map"]["share"] > 0.5 and second["map"] is None


def test_a_refiner_goes_on_with_the_map(generate):
    refined = {"refiner_checkpoint": "refiner", "refiner_switch_at": 0.5}
    generate({"profile": "Testbed"}, **refined, **BOTH)
    first, second = (image["first"]["map"] for image in generate.last()["images"])
    assert first["share"] > 0.5 and second is None


def test_pictures_without_a_job_are_left_alone():
    p = SimpleNamespace(iteration=0, batch_index=0)
    mapping.keep_picture(None, p, picture())
    mapping.save(None, SimpleNamespace(images=[], index_of_first_image=0))
    found = job.Job(type("P", (), {})(), record_settings())
    mapping.keep_picture(found, p, picture())
    assert found.pictures == {}


def record_settings():
    from lib_stability.trail.infotext import Settings

    return Settings(enabled=True)
