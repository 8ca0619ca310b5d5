"""What the host has computed anyway is not computed again: rows of the network are counted, and scores are those of the longer way."""

from __future__ import annotations

import os

import pytest
import torch
from conftest import FORGE
from test_bookkeeping import Extension
from test_flow import region, with_profile  # noqa: F401
from test_judging import FULL, MEMORIZED, picture, pixels, verdict

from lib_stability.guard import guard as guards
from lib_stability.webui.host import probing
from lib_stability.webui.job import hooks, passes, recording

FLAVOUR = os.environ.get("HOST_FLAVOUR", "")
BATCH = {"batch_size": 2, "steps": 6, "cfg_scale": 7.0}
PROMPTS = ["big red circle", "small blue square"]


@pytest.fixture
def counted(generate, host):
    """A job, and how many rows of the network it took."""

    def run(guard, tab="txt2img", **fields):
        host.shared.sd_model.rows = 0
        done = generate(guard, tab, **fields)
        return done, host.shared.sd_model.rows

    return run


@pytest.fixture
def longer_way(monkeypatch):
    """As where the host shows nothing; called, it turns that on."""

    def turn_on():
        monkeypatch.setattr(probing, "predictions", lambda call: None)

    return turn_on


def probed(generate) -> list[list[float]]:
    """By image, deviations at the probe's looks."""
    images = generate.last()["images"]
    return [[one["probe"] for one in image["first"]["trajectory"] if one["probe"] is not None] for image in images]


def extra_rows(counted, generate, tab="txt2img", **fields) -> list[int]:
    """Rows of every look, of each image: of the first evaluation, the last and the second."""
    fields = {"prompt": PROMPTS, **BATCH, **fields}
    plain = counted(None, tab, **fields)[1]
    rows = []
    for looks in (1, 2, 3):
        rows.append((counted({"probe": "always", "probe_evaluations": looks}, tab, **fields)[1] - plain) / fields["batch_size"])
    return [later - before for before, later in zip([0, *rows], rows)]


def check_scores(counted, generate, longer_way, guard=None, tab="txt2img", **fields):
    """The longer way's to a tolerance; returns how many rows it took more."""
    fields = {"prompt": PROMPTS, **BATCH, **fields}
    guard = {"probe": "always", **(guard or {})}
    done, rows = counted(guard, tab, **fields)
    seen = probed(generate)
    longer_way()
    again, more = counted(guard, tab, **fields)
    assert probed(generate) == [pytest.approx(each, rel=2e-3, abs=2e-3) for each in seen] and len(seen[0]) >= 1
    assert pixels(done) == pixels(again)
    return more - rows


# -- rows --------------------------------------------------------------------------------------------------------------------------------


def test_a_look_costs_one_row_where_there_is_a_negative_prompt(counted, generate):
    assert extra_rows(counted, generate, negative_prompt="green star") == [1, 1, 1]


def test_and_none_where_the_negative_prompt_is_the_empty_one(counted, generate):
    assert extra_rows(counted, generate) == [0, 0, 0]


def test_at_guidance_1_the_host_may_have_left_the_empty_prompt_out(counted, generate):
    assert extra_rows(counted, generate, cfg_scale=1.0) == [1, 1, 1] if FORGE else [0, 0, 0]
    assert extra_rows(counted, generate, cfg_scale=1.0, negative_prompt="green star") == [1, 1, 1]


def test_the_hires_pass_has_its_own(counted, generate):
    hires = {"enable_hr": True, "hr_scale": 1.5, "denoising_strength": 0.6, "hr_second_pass_steps": 6, "batch_size": 1, "prompt": "big red circle"}
    forks = {"hr_cfg": 7.0} if FORGE else {}
    plain = counted(None, **{**BATCH, **hires, **forks})[1]
    guard = {"probe": "always", "probe_evaluations": 1}
    assert counted(guard, **{**BATCH, **hires, **forks})[1] == plain
    assert counted(guard, **{**BATCH, **hires, **forks}, hr_negative_prompt="green star")[1] == plain + 1
    if FORGE:  # whose hires pass has a guidance of its own, here 1
        plain = counted(None, **{**BATCH, **hires})[1]
        assert counted(guard, **{**BATCH, **hires})[1] == plain + 1


@pytest.mark.parametrize("every", [False, True])
def test_a_skipped_negative_prompt_is_not_taken_for_seen(counted, generate, options, every):
    if every:
        options.set("s_min_uncond_all", True)
    # The host decides by the noise level: where it might have skipped the empty prompt, that is computed.
    everywhere = every or FLAVOUR == "ersatz"
    assert extra_rows(counted, generate, s_min_uncond=1e6) == ([1, 1, 1] if everywhere else [0, 1, 1])
    assert extra_rows(counted, generate, s_min_uncond=1e-6) == ([1, 1, 1] if everywhere else [0, 1, 1])


def test_nor_one_that_early_evaluations_leave_out(counted, generate, options):
    options.set("skip_early_cond", 0.2)
    assert extra_rows(counted, generate) == [0 if FLAVOUR == "neo" else 1, 0, 1]


def test_calibration_takes_no_row_more_than_a_generation(counted, host):
    from lib_stability.webui.host import sampling

    for sampler in ("Euler", "Heun"):
        plain = counted(None, prompt=PROMPTS, sampler_name=sampler, **BATCH)[1]
        rows = []
        for negative in ("", "green star"):
            host.shared.sd_model.rows = 0
            sampling.sample(recording.Recording([7.0, 3.0], negative), PROMPTS, [1, 2], sampler, BATCH["steps"], (64, 64), negative)
            rows.append(host.shared.sd_model.rows)
        assert rows == [plain, plain * 3 // 2]


# -- right, or the longer way ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("negative", ["", "green star"])
@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM", "DDIM CFG++", "UniPC"])
def test_scores_are_the_same(counted, generate, longer_way, sampler, negative):
    assert check_scores(counted, generate, longer_way, sampler_name=sampler, negative_prompt=negative) > 0


@pytest.mark.parametrize("fields", [{"cfg_scale": 1.0, "negative_prompt": "red"}, {"s_min_uncond": 5.0}, {"s_min_uncond": 1e6}])
def test_so_they_are_where_the_host_leaves_something_out(counted, generate, longer_way, options, fields):
    options.set("skip_early_cond", 0.2)
    assert check_scores(counted, generate, longer_way, **fields) >= 0


def test_prompts_joined_by_and(counted, generate, longer_way):
    joined = ["big red circle :0.7 AND small blue square :0.4", "small blue square AND green star :0.5"]
    assert check_scores(counted, generate, longer_way, prompt=joined, negative_prompt="red") > 0


def test_parts_of_negative_weight(counted, generate, longer_way):
    joined = ["big red circle AND small blue square :-0.5"]
    fewer = check_scores(counted, generate, longer_way, prompt=joined, batch_size=1, negative_prompt="red")
    assert fewer == 0 if FORGE else fewer > 0


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_inpainting(counted, generate, longer_way, sampler):
    from PIL import Image, ImageDraw

    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((0, 0, 64, 40), fill=255)
    fields = {"init_images": [picture()], "mask_image": mask, "denoising_strength": 0.9, "sampler_name": sampler, "negative_prompt": "red"}
    assert check_scores(counted, generate, longer_way, tab="img2img", **fields) > 0


@pytest.mark.parametrize("kind", ["sdxl", "v"])
def test_other_checkpoints(counted, generate, checkpoint, longer_way, kind):
    checkpoint("other", kind)
    assert check_scores(counted, generate, longer_way, {"profile": "Auto"}) > 0


@pytest.mark.skipif(not FORGE, reason="flow models on Forge")
def test_flow_models(counted, generate, checkpoint, longer_way, with_profile):  # noqa: F811
    checkpoint("flow", "flow")
    for negative in ("", "red"):
        assert check_scores(counted, generate, longer_way, {"profile": "Flow test"}, cfg_scale=3.0, negative_prompt=negative) >= 0


def test_a_refiner_brings_its_own(counted, generate):
    fields = {**BATCH, "prompt": PROMPTS, "refiner_checkpoint": "second", "refiner_switch_at": 0.3, "negative_prompt": "red"}
    assert pixels(counted({"probe": "always"}, **fields)[0]) == pixels(counted(None, **fields)[0])
    assert all(len(each) == 2 for each in probed(generate))


@pytest.mark.parametrize("change", [lambda told: told * 1.2, lambda told: told.clone()])
def test_a_negative_prompt_that_another_extension_changes(counted, generate, longer_way, change):
    def swap(params):
        if params.text_uncond is not None:
            params.text_uncond = change(params.text_uncond)

    with Extension(cfg_denoiser=swap):
        plain = counted(None, prompt=PROMPTS, **BATCH)[1]
        changed = counted({"probe": "always", "probe_evaluations": 1}, prompt=PROMPTS, **BATCH)[1] - plain
        check_scores(counted, generate, longer_way)
    same = torch.equal(change(torch.ones(1)), torch.ones(1))
    assert changed == (0 if same else BATCH["batch_size"])


@pytest.mark.skipif(FORGE, reason="the forks never call it")
@pytest.mark.parametrize("first", [True, False])
def test_rows_that_another_extension_may_have_written_to(counted, generate, longer_way, first):
    def double(params):
        params.x *= 2.0

    with Extension(first, cfg_denoised=double):
        assert check_scores(counted, generate, longer_way, negative_prompt="red") == 0


@pytest.mark.skipif(not FORGE, reason="places of the forks")
@pytest.mark.parametrize("place", ["sampler_post_cfg_function", "sampler_pre_cfg_function", "sampler_cfg_function"])
def test_guidance_in_the_hands_of_another_extension(counted, generate, host, longer_way, monkeypatch, place):
    def write(args):
        args["cond_denoised"] *= 2.0
        return args["denoised"]

    options = host.shared.sd_model.forge_objects.unet.model_options
    monkeypatch.setitem(options, place, [write])
    assert check_scores(counted, generate, longer_way, negative_prompt="red") == 0
    assert options == {place: [write]}


@pytest.mark.skipif(FORGE, reason="A1111's way of guiding")
def test_guidance_that_another_extension_has_replaced(counted, generate, longer_way, monkeypatch):
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    original = CFGDenoiser.combine_denoised

    def in_place(self, x_out, *rest):
        x_out *= 1.5
        return original(self, x_out, *rest)

    monkeypatch.setattr(CFGDenoiser, "combine_denoised", in_place)
    assert check_scores(counted, generate, longer_way, negative_prompt="red") == 0


# -- what is put into the host -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not FORGE, reason="nothing is put into A1111")
def test_nothing_stays_in_the_host(generate, host, logged, monkeypatch):
    unet = host.shared.sd_model.forge_objects.unet
    seen = []
    with Extension(cfg_denoiser=lambda params: seen.append(len(unet.model_options.get("sampler_post_cfg_function", [])))):
        generate({}, steps=3)
        assert seen == [1, 1, 1] and unet.model_options == {}
        generate(None, steps=3)
    assert seen == [1, 1, 1, 0, 0, 0]

    def out_of_memory(*args):
        raise MemoryError("no memory")

    monkeypatch.setattr(unet.model, "apply_model", out_of_memory)
    with pytest.raises(MemoryError):
        generate({}, steps=3)
    monkeypatch.undo()
    # A clone that another extension has made meanwhile is deaf, and the next job finds what was left.
    left = unet.clone()
    generate({}, steps=3)
    assert unet.model_options == {} and verdict(generate({"probe": "never"}, steps=3)).reason == ""
    for function in left.model_options.get("sampler_post_cfg_function", []):
        assert function({"denoised": "as it was", "cond_denoised": 1, "uncond_denoised": 2, "input": 3}) == "as it was"
    assert hooks._begun == []


def test_predictions_are_let_go_of(generate, host):
    import gc
    import weakref

    kept = []
    original = hooks.host.call_of

    def call_of(*args):
        call = original(*args)
        found = call.shown.found
        kept.extend(weakref.ref(one) for one in (found if isinstance(found, tuple) else (found,)))
        return call

    hooks.host.call_of = call_of
    try:
        generate({}, steps=3)
    finally:
        hooks.host.call_of = original
    gc.collect()
    assert len(kept) >= 3 and all(one() is None for one in kept)


# -- what detectors may ask for ----------------------------------------------------------------------------------------------------------


class Asking:
    """A detector that only asks."""

    name = "asking"

    def __init__(self, seen):
        self.seen = seen

    def judge(self, evaluation):
        self.seen.append((evaluation.denoised, evaluation.difference))

    def awaits(self, evaluations, judged):
        return False


@pytest.fixture
def asked(generate, monkeypatch):
    """Guided predictions of a job, and what guidance multiplies."""

    def run(tab="txt2img", **fields):
        seen = []
        own = guards.detectors
        monkeypatch.setattr(guards, "detectors", lambda *args: [*own(*args), Asking(seen)])
        done = generate({"probe": "never"}, tab, **fields)
        monkeypatch.setattr(guards, "detectors", own)
        return seen, done

    return run


@pytest.mark.parametrize("fields", [{}, {"negative_prompt": "red"}, {"sampler_name": "DDIM"}, {"batch_size": 2, "prompt": PROMPTS}])
def test_a_detector_can_have_what_guidance_multiplies(asked, counted, fields):
    """Two scales, the same latent at the first evaluation: the guided predictions differ by so much."""
    (low, one), (high, other) = (asked(**{"steps": 4, "cfg_scale": scale, **fields})[0][0] for scale in (3.0, 5.0))
    assert torch.allclose((high - low) / 2, one, atol=1e-3) and torch.allclose(one, other, atol=1e-4)
    assert one.abs().max() > 0.01


def test_it_costs_nothing_and_changes_nothing(asked, counted, generate, host):
    plain, rows = counted(None, negative_prompt="red")
    host.shared.sd_model.rows = 0
    seen, done = asked(negative_prompt="red")
    assert host.shared.sd_model.rows == rows and pixels(done) == pixels(plain)
    assert len(seen) == 4 and all(difference is not None for _, difference in seen)


def test_it_is_none_where_the_host_has_not_both(asked, checkpoint, options):
    seen = asked(cfg_scale=1.0, negative_prompt="red", steps=6)[0]
    assert [difference is None for _, difference in seen] == [FORGE] * 6
    options.set("skip_early_cond", 0.4)
    first = FLAVOUR != "neo"
    assert [difference is None for _, difference in asked(steps=6)[0]] == [first, True, True, False, False, False]


def test_a_mask_weights_it_too(asked):
    from PIL import Image, ImageDraw

    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((0, 0, 64, 40), fill=255)
    seen, _ = asked("img2img", init_images=[picture()], mask_image=mask, denoising_strength=0.9)
    for denoised, difference in seen:
        hidden = denoised.abs().amax((0, 1)) == 0
        assert hidden.any() and not difference[:, :, hidden].any() and difference[:, :, ~hidden].any()


def test_a_model_that_a_picture_guides_shows_none(generate, checkpoint, monkeypatch):
    if FORGE:
        pytest.skip("A1111 has models of that kind")
    found = []
    own = passes.predictions
    monkeypatch.setattr(passes.Pass, "step", lambda self, call: found.append(own(call)))
    checkpoint("other", "edit")
    generate({"profile": "Auto"}, image_cfg_scale=1.5)
    assert found == [None] * 4


def test_a_flagged_copy_is_flagged_as_before(generate, longer_way):
    fields = {"prompt": MEMORIZED, "negative_prompt": "green triangle", **FULL}
    before = verdict(generate({"probe": "always"}, **fields))
    longer_way()
    after = verdict(generate({"probe": "always"}, **fields))
    assert before.flagged and (before.verdict, before.flagged_at, before.detector) == (after.verdict, after.flagged_at, after.detector)
