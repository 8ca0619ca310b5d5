"""Every way of generating is judged, or says why not; nothing changes a picture unless asked to."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from conftest import FORGE
from PIL import Image, ImageDraw

from lib_stability.profile import scatter
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import memorized
from lib_stability.trail.infotext import parse_text, read

MEMORIZED = memorized()[0].caption
FULL = {"width": 128, "height": 128, "steps": 12, "cfg_scale": 7.5}


def said(text: str):
    """Settings, first and hires verdict of an infotext."""
    return read(parse_text(text)[2])


def verdict(done, number: int = 0):
    return said(done.infotexts[number + done.index_of_first_image])[1]


def pixels(done) -> list[bytes]:
    return [picture.tobytes() for picture in done.images]


def picture(seed: int = 0) -> Image.Image:
    noise = torch.randint(0, 255, (8, 8, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(noise.numpy()).resize((128, 128))


def test_a_memorized_caption_is_flagged_an_ordinary_one_is_not(generate):
    assert verdict(generate({}, prompt=MEMORIZED, **FULL)).flagged
    ordinary = verdict(generate({}, prompt="small blue square", **FULL))
    assert (ordinary.verdict, ordinary.detector) == ("stable", "")


def test_damping_changes_the_flagged_image_only(generate):
    off = generate(None, prompt=[MEMORIZED, "small blue square"], batch_size=2, **FULL)
    damped = generate({"mode": "damp"}, prompt=[MEMORIZED, "small blue square"], batch_size=2, **FULL)
    assert verdict(damped, 0).damped > 0 and verdict(damped, 1).damped == 0
    assert pixels(damped)[1] != pixels(off)[1] and pixels(damped)[2] == pixels(off)[2]


def test_stopping_blanks_the_copy_and_ends_the_batch(generate, host):
    off = generate(None, prompt=MEMORIZED, **FULL)
    done = generate({"mode": "stop", "sensitivity": "custom", "tau": 0.5}, prompt=MEMORIZED, n_iter=2, **FULL)
    for number in (0, 1):
        one = verdict(done, number)
        assert one.verdict == "strong" and one.stopped_at == one.flagged_at
        assert one.evaluations <= one.stopped_at < FULL["steps"]
    flat = torch.tensor([done.images[1].getpixel((x, y)) for x in range(8, 120, 16) for y in range(8, 120, 16)]).float()
    copy = torch.tensor([off.images[0].getpixel((x, y)) for x in range(8, 120, 16) for y in range(8, 120, 16)]).float()
    assert flat.std(0).max() < 0.3 * copy.std(0).max()
    assert not host.shared.state.skipped  # else the host would not save the batch


def test_a_refiner_does_not_bring_a_blanked_image_back(generate):
    prompts = {"prompt": [MEMORIZED, "small blue square"], "batch_size": 2, **FULL}
    refined = {"refiner_checkpoint": "refiner", "refiner_switch_at": 0.5}
    for extra in ({}, refined):
        done = generate({"mode": "stop", "sensitivity": "custom", "tau": 2.0, "profile": "Testbed"}, **prompts, **extra)
        one = verdict(done, 0)
        assert one.stopped_at and not verdict(done, 1).flagged
        levels = torch.tensor(list(done.images[1].convert("L").getdata())).float()
        assert levels.std() < 20


def test_samplers_that_scatter_more_are_judged_by_a_wider_region(generate, monkeypatch):
    """The hires pass by its own sampler's."""
    hires = {"enable_hr": True, "hr_scale": 1.0, "hr_second_pass_steps": 6, "denoising_strength": 0.5, "hr_sampler_name": "DPM++ 2M"}
    hires |= {"hr_cfg": 7.5} if FORGE else {}

    def scores(**widths: float):
        monkeypatch.setattr(scatter, "WIDTHS", {name.replace("_", " "): scatter.Scatter(width) for name, width in widths.items()})
        found = said(generate({}, prompt=MEMORIZED, sampler_name="Euler", **FULL, **hires).infotexts[0])
        return [one.score for one in found[1:3]]

    first, second = scores()
    assert scores(Euler=2.0) == [pytest.approx(first / 2, abs=0.02), pytest.approx(second, abs=0.02)]
    assert scores(**{"DPM++_2M": 4.0}) == [pytest.approx(first, abs=0.02), pytest.approx(second / 4, abs=0.02)]


def test_every_sampler_is_judged_and_left_alone(generate, host):
    for name in [one.name for one in host.sd_samplers.all_samplers]:
        off, on = generate(None, sampler_name=name), generate({"probe": "always"}, sampler_name=name)
        one = verdict(on)
        assert one.verdict in ("stable", "mild", "strong"), (name, one)
        assert pixels(on) == pixels(off), name


@pytest.mark.parametrize("sampler", ["UniPC", "DDIM", "PLMS", "DPM++ 2M", "Heun"])
def test_samplers_agree_on_what_the_first_evaluation_is(generate, sampler):
    def first(name):
        generate({"probe": "always"}, sampler_name=name, **FULL)
        return generate.last()["images"][0]["first"]["trajectory"][0]

    euler, other = first("Euler"), first(sampler)
    assert other["sigma"] == pytest.approx(euler["sigma"], rel=0.4)
    if other["sigma"] == pytest.approx(euler["sigma"], rel=0.01):
        for key in ("clean", "rate", "probe"):
            assert other[key] == pytest.approx(euler[key], rel=0.1, abs=0.1)


def test_timestep_samplers_are_damped_and_others_keep_their_bits(generate):
    for name in ("DDIM", "UniPC"):
        prompts = {"prompt": [MEMORIZED, "small blue square"], "batch_size": 2, "sampler_name": name, **FULL}
        off, damped = generate(None, **prompts), generate({"mode": "damp"}, **prompts)
        assert verdict(damped, 0).damped > 0
        assert pixels(damped)[1] != pixels(off)[1] and pixels(damped)[2] == pixels(off)[2], name


def test_batches_and_iterations(generate):
    prompts = ["small green cross", MEMORIZED, "small blue square", "small pink cross"]
    done = generate({}, prompt=prompts, batch_size=2, n_iter=2, **FULL)
    assert [verdict(done, number).flagged for number in range(4)] == [False, True, False, False]
    assert said(done.infotexts[0])[1] == verdict(done, 1)  # the grid shows all, so it says the gravest
    alone = [verdict(generate({}, prompt=prompt, seed=11 + number, **FULL)) for number, prompt in enumerate(prompts)]
    for number, one in enumerate(alone):
        assert verdict(done, number).score == pytest.approx(one.score, rel=0.05, abs=0.05)


def test_hires_is_a_pass_of_its_own(generate):
    hires = {"hr_cfg": 5.0} if FORGE else {}
    done = generate({}, enable_hr=True, batch_size=2, n_iter=2, hr_second_pass_steps=3, **hires)
    images = generate.last()["images"]
    assert len(images) == 4
    for number, image in enumerate(images):
        _, first, second = said(done.infotexts[number + 1])
        assert (first.verdict, second.verdict) == (image["first"]["verdict"], image["hires"]["verdict"])
        assert image["first"]["evaluations"] == 4
        scales = {one["guidance"] for one in image["hires"]["trajectory"]}
        assert scales == {5.0 if FORGE else 7.0}


def test_hires_at_guidance_1_is_probed_where_it_has_its_own_scale(generate):
    generate({"probe": "auto"}, enable_hr=True, **({"hr_cfg": 1.0} if FORGE else {}))
    (image,) = generate.last()["images"]
    assert image["hires"]["trajectory"][0]["guidance"] == (1.0 if FORGE else 7.0)
    assert (image["hires"]["trajectory"][0]["probe"] is not None) == FORGE


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_img2img_starts_in_the_middle(generate, sampler):
    start = {"init_images": [picture()], "denoising_strength": 0.5, "sampler_name": sampler, **FULL}
    done = generate({}, tab="img2img", n_iter=2, batch_size=2, **start)
    images = generate.last()["images"]
    assert len(images) == 4 and all(image["first"]["trajectory"][0]["sigma"] < 8 for image in images)
    assert all(verdict(done, number).verdict in ("stable", "mild", "strong") for number in range(4))
    assert pixels(generate(None, tab="img2img", **start)) == pixels(generate({}, tab="img2img", **start))


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_inpainting_judges_the_freed_part(generate, sampler):
    mask = Image.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).rectangle([0, 0, 127, 79], fill=255)
    start = {"init_images": [picture()], "mask_image": mask, "denoising_strength": 1.0, "sampler_name": sampler, "prompt": MEMORIZED, **FULL}
    off, damped = generate(None, tab="img2img", **start), generate({"mode": "damp", "sensitivity": "custom", "tau": 0.5}, tab="img2img", **start)
    assert verdict(damped).damped > 0
    assert pixels(off) != pixels(damped)
    assert pixels(generate({}, tab="img2img", **start)) == pixels(off)


def test_a_tiny_mask_is_not_judged(generate):
    mask = Image.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).rectangle([0, 0, 30, 30], fill=255)
    done = generate({}, tab="img2img", init_images=[picture()], mask_image=mask, denoising_strength=1.0, **FULL)
    assert (verdict(done).verdict, verdict(done).reason) == ("not judged", "inpainting mask too small")


@pytest.mark.parametrize("prompt, guidance", [("big red circle :0.5 AND small blue square :0.7", 8.4), ("big red circle", 7.0)])
def test_prompt_weights_count_as_guidance(generate, prompt, guidance):
    done = generate({}, prompt=prompt, batch_size=2)
    assert verdict(done).verdict in ("stable", "mild", "strong")
    assert generate.last()["images"][0]["first"]["trajectory"][0]["guidance"] == pytest.approx(guidance)


def test_images_of_a_batch_with_different_weights(generate):
    generate({}, prompt=["big red circle :0.5", "big red circle"], batch_size=2)
    first, second = generate.last()["images"]
    assert [one["first"]["trajectory"][0]["guidance"] for one in (first, second)] == pytest.approx([7.0, 7.0] if FORGE else [3.5, 7.0])


def test_a_negative_weight_is_left_to_the_probe(generate):
    prompt = "big red circle AND small blue square :-0.5"
    assert verdict(generate({"probe": "never"}, prompt=prompt)).reason == "no probe and a part of the prompt with negative weight"
    assert verdict(generate({}, prompt=prompt)).verdict in ("stable", "mild", "strong")


def test_prompt_editing(generate):
    done = generate({}, prompt="big [red:blue:0.5] circle")
    assert verdict(done).verdict in ("stable", "mild", "strong")


def test_skipped_evaluations_count_as_unguided(generate, options):
    options.set("skip_early_cond", 0.3)
    generate({"probe": "never"}, steps=6)
    scales = [one["guidance"] for one in generate.last()["images"][0]["first"]["trajectory"]]
    assert scales == [1.0, 1.0, 7.0, 7.0, 7.0, 7.0]


def test_ngms_counts_as_unguided_below_its_sigma(generate, options):
    generate({"probe": "never"}, steps=6, s_min_uncond=3.0)
    seen = generate.last()["images"][0]["first"]["trajectory"]
    for number, one in enumerate(seen):
        assert one["guidance"] == (1.0 if number % 2 and one["sigma"] < 3.0 else 7.0)
    options.set("s_min_uncond_all", True)
    generate({"probe": "never"}, steps=6, s_min_uncond=3.0)
    for one in generate.last()["images"][0]["first"]["trajectory"]:
        assert one["guidance"] == (1.0 if one["sigma"] < 3.0 else 7.0)


def test_without_guidance_and_probe(generate):
    assert verdict(generate({"probe": "never"}, cfg_scale=1.0)).reason == "no guidance and no probe"
    assert verdict(generate({"probe": "never"}, negative_prompt="red")).reason == "no probe and a negative prompt that the region does not know"


def test_a_refiner_gets_its_own_region(generate, host):
    refined = {"refiner_checkpoint": "refiner", "refiner_switch_at": 0.5, "steps": 8}
    done = generate({}, **refined)
    assert host.shared.sd_model.sd_checkpoint_info.name_for_extra == "refiner"
    one = verdict(done)
    assert one.verdict in ("stable", "mild", "strong")
    (image,) = generate.last()["images"]
    assert image["first"]["evaluations"] == len(image["first"]["trajectory"]) == 8
    assert pixels(generate({}, **refined)) == pixels(generate(None, **refined))


@pytest.mark.parametrize("kind", ["sdxl", "v", "edit"])
def test_other_kinds_of_checkpoint(generate, checkpoint, options, kind):
    checkpoint("other", kind)
    options.set("memorization_guard_profile", "Auto")
    for sampler in ("Euler", "DDIM"):
        extra = {"image_cfg_scale": 1.5} if kind == "edit" else {}
        done = generate({"probe": "always", "profile": "Auto"}, sampler_name=sampler, **extra)
        if kind == "edit":
            assert verdict(done).reason == "guided by a picture too"
        else:
            assert verdict(done).verdict in ("stable", "mild", "strong"), verdict(done)
            assert generate.last()["images"][0]["first"]["trajectory"][0]["probe"] is not None
        assert pixels(done) == pixels(generate(None, sampler_name=sampler, **extra))
    if kind == "v":
        assert generate.last()["profile"] == "Generic prior v (bundled prior)"


def test_a_profile_for_another_prediction_is_refused(generate, checkpoint):
    checkpoint("other", "v")
    assert verdict(generate({"profile": "Testbed"})).reason == "no profile"
    checkpoint("testbed", "sd1")
    assert verdict(generate({"profile": "Nobody"})).reason == "no profile"


def test_no_general_prior_where_it_is_not_wanted(generate, checkpoint, options):
    from lib_stability.webui.job.library import NOTHING

    checkpoint("other", "sdxl")
    assert verdict(generate({"profile": "Auto"})).verdict != "not judged"
    options.set("memorization_guard_no_profile", NOTHING)
    assert verdict(generate({"profile": "Auto"})).reason == "no profile"


def test_nan_images_do_not_disturb_their_neighbours(generate, host):
    from modules import script_callbacks

    def break_first(params):
        params.x = params.x.clone()
        params.x[0] = float("nan")

    script_callbacks.callback_map["callbacks_cfg_after_cfg"].insert(0, script_callbacks.Callback("test", break_first))
    try:
        done = generate({"mode": "damp"}, batch_size=2)
    finally:
        script_callbacks.remove_callbacks_for_function(break_first)
    # What stands behind guidance may change it, so the probe looks as well: at the first latent, which is a number.
    assert verdict(done, 0).reason == "numbers not finite - 1/4 judged"
    assert verdict(done, 1).verdict in ("stable", "mild", "strong")


def test_saved_pngs_carry_what_the_reply_says(generate, options, tmp_path):
    done = generate({"mode": "damp"}, batch_size=2, do_not_save_samples=False)
    saved = sorted(tmp_path.glob("*.png"))
    assert len(saved) == 2
    for path, text in zip(saved, done.infotexts[1:]):
        assert Image.open(io.BytesIO(path.read_bytes())).text["parameters"] == text
        assert said(text)[1].verdict in ("stable", "mild", "strong")


def _likeness(done, number: int = 0) -> float:
    """Correlation of a picture with what :data:`MEMORIZED` memorized."""
    pixels = judge.to_pixels(np.asarray(done.images[number + done.index_of_first_image].convert("RGB")))[None]
    return float(judge.likeness(pixels, [memorized()[0]]))


@pytest.mark.parametrize(
    "fields", [{}, {"negative_prompt": "small blue square"}, {"negative_prompt": "large pink"}, {"sampler_name": "DDIM"}, {"cfg_scale": 1.0}]
)
def test_rewording_prevents_the_copy_and_touches_nothing_else(generate, fields):
    prompts = {"prompt": [MEMORIZED, "small blue square plain"], "batch_size": 2, **FULL, **fields}
    off, on = generate(None, **prompts), generate({"mode": "damp", "damping": "reword"}, **prompts)
    assert _likeness(off) > judge.COPY > _likeness(on)
    assert verdict(on, 0).damped > 0 and verdict(on, 1).damped == 0
    assert pixels(on)[2] == pixels(off)[2]


@pytest.mark.parametrize("negative, more", [("", 0), ("blurry", 1)])
def test_rewording_tries_every_version_once_and_then_costs_what_one_version_does(host, generate, monkeypatch, negative, more):
    fields = {"prompt": MEMORIZED, "negative_prompt": negative, **FULL}
    network, rows = host.shared.sd_model, []
    generate(None, **fields)  # loads it
    evaluate = network._epsilon
    monkeypatch.setattr(network, "_epsilon", lambda z, t, cross: rows.append(len(z)) or evaluate(z, t, cross))
    spent = []
    for options in ({"mode": "report"}, {"mode": "damp", "damping": "reword"}):
        rows.clear()
        done = generate(options, **fields)
        spent.append(sum(rows))
    found = verdict(done)
    # What they are guided against the host has at hand; the probe's empty prompt, where the negative prompt is another one, all versions share, and
    # there every second evaluation does without one.
    trying = len(MEMORIZED.split())
    least = trying + (found.damped - 1) // (1 + more)
    assert found.damped > 3 and least <= spent[1] - spent[0] <= trying + found.damped - 1 + more
    assert set(found.carriers.split(" + ")) <= set(MEMORIZED.split()) and found.carriers


def test_rewording_looks_at_the_hires_pass_with_its_own_prompts(generate):
    fields = {"enable_hr": True, "hr_scale": 1.0, "denoising_strength": 0.9, "hr_second_pass_steps": 12, "n_iter": 2}
    done = generate({"mode": "damp", "damping": "reword"}, prompt=MEMORIZED, **FULL, **fields)
    for number in (0, 1):
        first, hires = said(done.infotexts[number + done.index_of_first_image])[1:]
        assert first.damped > 0 and hires is not None, (first, hires)
        assert _likeness(done, number) < judge.COPY


def test_prompts_joined_by_and_are_damped_directionally(generate):
    fields = {"prompt": f"{MEMORIZED} AND small blue square", **FULL}
    reworded, directional = (
        generate({"mode": "damp", "damping": name, "sensitivity": "custom", "tau": 1.0}, **fields) for name in ("reword", "directional")
    )
    assert verdict(directional).damped == verdict(reworded).damped
    assert pixels(reworded) == pixels(directional)
