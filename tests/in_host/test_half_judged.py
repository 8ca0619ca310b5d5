"""Stable is said only of what was judged to its end; what was known before something failed stays, and extras that fail cost no verdict."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from test_judging import FULL, MEMORIZED, pixels, said, verdict

from lib_stability.guard import guard, locality, probe, rewording
from lib_stability.guard.dampers import Directional
from lib_stability.webui.host import encodings, networks, probing, versions
from lib_stability.webui.host import host as asked
from lib_stability.webui.job import hooks, infotexts, job, last_job, ledgering, mapping, passes, plainly, saved_files, settings

ORDINARY = "small blue square"


def raising(*_, **__):
    raise RuntimeError("broken on purpose")


@pytest.fixture
def breaking(host):
    """``breaking(evaluation, images)``: the prediction of some images is no number from an evaluation (from 1) on, before the guard sees it."""
    from modules import script_callbacks

    installed = []

    def install(evaluation: int, images: tuple[int, ...] = (0,)) -> None:
        count = 0

        def breaks(params):
            nonlocal count
            count += 1
            if count >= evaluation:
                params.x = params.x.clone()
                params.x[list(images)] = float("nan")

        installed.append(breaks)
        script_callbacks.callback_map["callbacks_cfg_after_cfg"].insert(0, script_callbacks.Callback("test", breaks))

    yield install
    for one in installed:
        script_callbacks.remove_callbacks_for_function(one)


def test_numbers_that_break_after_the_probes_looks(generate, breaking):
    breaking(7)
    one = verdict(generate({}, prompt=ORDINARY, negative_prompt="big red circle", **FULL))
    assert one.verdict == "not judged" and one.reason.startswith("numbers not finite - ")


def test_a_grid_says_not_judged_where_one_of_its_images_was_not(generate, breaking):
    breaking(1, (1, 2, 3))
    done = generate({}, prompt=[ORDINARY] * 4, batch_size=4, **FULL)
    assert [verdict(done, number).verdict for number in range(4)] == ["stable"] + ["not judged"] * 3
    assert said(done.infotexts[0])[1].verdict == "not judged"


@pytest.mark.parametrize("prompt, expected", [(ORDINARY, "not judged"), (MEMORIZED, "strong")])
def test_an_interruption_leaves_no_stable_image(generate, host, monkeypatch, prompt, expected):
    count = 0

    def step(self, call, real=passes.Pass.step):
        nonlocal count
        count += 1
        result = real(self, call)
        if count == 3:
            host.shared.state.interrupted = True
        return result

    monkeypatch.setattr(passes.Pass, "step", step)
    done = generate({}, prompt=prompt, **FULL)
    one = generate.last()["images"][0]["first"]
    assert one["verdict"] == expected and one["reason"].startswith("interrupted") and one["evaluations"] < FULL["steps"]
    assert all(said(text)[1].verdict == expected for text in done.infotexts)


def test_evaluations_that_a_hook_misses(generate, monkeypatch, logged):
    count = 0

    def call_of(*args, real=asked.call_of):
        nonlocal count
        count += 1
        return raising() if count <= 3 else real(*args)

    monkeypatch.setattr(hooks.host, "call_of", call_of)
    one = verdict(generate({}, prompt=ORDINARY, **FULL))
    assert (one.verdict, one.reason) == ("not judged", "error RuntimeError - 9/12 judged")
    assert logged
    logged.clear()


def test_a_flag_outlives_an_error_around_the_guard(generate, monkeypatch, logged):
    count = 0

    def read(self, call, out, real=passes.View.read):
        nonlocal count
        count += 1
        return raising() if count > 6 else real(self, call, out)

    monkeypatch.setattr(passes.View, "read", read)
    one = verdict(generate({"mode": "damp", "damping": "directional"}, prompt=MEMORIZED, **FULL))
    assert one.flagged and 0 < one.damped <= 6 and one.evaluations == 12 and one.reason == "error RuntimeError"
    assert len(logged) == 1
    logged.clear()


def test_out_of_memory_in_rewording_leaves_flag_and_a_cheaper_policy(generate, monkeypatch, logged):
    def step(self, *_, **__):
        raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(rewording.Rewording, "step", step)
    off = generate(None, prompt=[MEMORIZED, ORDINARY], batch_size=2, **FULL)
    done = generate({"mode": "damp"}, prompt=[MEMORIZED, ORDINARY], batch_size=2, **FULL)
    one, other = verdict(done, 0), verdict(done, 1)
    assert one.flagged and one.damped > 0 and one.reason == "error OutOfMemoryError in the reword"
    assert other.verdict == "stable" and pixels(done)[2] == pixels(off)[2] and pixels(done)[1] != pixels(off)[1]
    assert len(logged) == 1
    logged.clear()


def test_out_of_memory_in_the_probe_leaves_the_watchs_flag(generate, monkeypatch, logged):
    monkeypatch.setattr(probing, "virtual_prediction", raising)
    one = verdict(generate({"probe": "always"}, prompt=MEMORIZED, **FULL))
    assert one.flagged and one.detector == "watch" and one.reason == "error RuntimeError in the probe"
    logged.clear()


def test_a_probe_that_cannot_be_made_ready_is_missed_only_where_it_is_wanted(generate, monkeypatch, logged):
    monkeypatch.setattr(encodings.Encodings, "of", raising)
    assert verdict(generate({}, prompt=ORDINARY, **FULL)).verdict == "stable"  # the watch judges everything
    one = verdict(generate({}, prompt=ORDINARY, negative_prompt="big red circle", **FULL))
    assert one.verdict == "not judged" and one.reason == "error RuntimeError in the probe"
    logged.clear()


#: Where something beside the verdicts may fail.
EXTRAS = {
    "maps wanted": (mapping, "wanted"),
    "a picture kept for its map": (mapping, "keep_picture"),
    "a map saved": (mapping, "save"),
    "the record of the last job": (last_job, "remember"),
    "the ledger": (ledgering, "write"),
    "saved files": (saved_files, "forget"),
    "general priors allowed": (settings, "general_prior_allowed"),
    "versions of the prompts": (versions, "of"),
    "versions encoded": (encodings, "while_sampling"),
    "trajectories": (passes, "history"),
    "maps read": (guard.Guard, "maps"),
    "maps made": (passes.LocalMap, "of"),
    "maps added up": (locality.Locator, "add"),
    "profiles named": (job.Job, "served"),
    "the job as plain values": (plainly, "of"),
}


@pytest.mark.parametrize("name", EXTRAS)
def test_an_extra_that_fails_costs_no_verdict(generate, monkeypatch, logged, options, name):
    options.set("memorization_guard_infotext", infotexts.DETAILS[1])
    monkeypatch.setattr(*EXTRAS[name], raising)
    done = generate({"mode": "damp"}, prompt=[MEMORIZED, ORDINARY], batch_size=2, **FULL)
    assert verdict(done, 0).flagged, name
    assert verdict(done, 1).verdict == "stable", name
    logged.clear()


#: Where what is judged itself may fail: then no picture is called stable, and none is left without a word.
CORE = {
    "settings": (settings, "defaults"),
    "verdicts read": (guard.Guard, "report"),
    "a profile chosen": (job.Library, "serve"),
    "networks asked": (networks, "active"),
    "guidance asked": (asked, "guidance"),
    "the checkpoint described": (asked, "describe"),
    "a guard made": (passes, "Guard"),
    "weights of the prompt": (asked, "prompt_weights"),
    "coverage of the mask": (passes, "View"),
}


@pytest.mark.parametrize("name", CORE)
def test_an_error_in_the_judging_is_never_silent(generate, monkeypatch, logged, name):
    off = generate(None, prompt=ORDINARY, **FULL)
    monkeypatch.setattr(*CORE[name], raising)
    done = generate({}, prompt=ORDINARY, **FULL)
    one = verdict(done)
    assert one is not None and one.verdict == "not judged" and "error" in one.reason, (name, one)
    assert pixels(done) == pixels(off), name
    logged.clear()


def test_a_directional_damper_that_fails_hands_over_to_the_radial_one(generate, monkeypatch, logged):
    monkeypatch.setattr(Directional, "act", raising)
    one = verdict(generate({"mode": "damp", "damping": "directional"}, prompt=MEMORIZED, **FULL))
    assert one.flagged and one.damped > 0 and one.reason == "error RuntimeError in the directional"
    logged.clear()


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM", "DDIM CFG++", "PLMS", "UniPC", "DPM fast", "Restart", "LCM"])
@pytest.mark.parametrize(
    "tab, more", [("txt2img", {}), ("txt2img", {"enable_hr": True, "hr_scale": 1.5, "hr_second_pass_steps": 6}), ("img2img", {})]
)
def test_no_sampler_ends_before_the_last_look(generate, monkeypatch, sampler, tab, more):
    own = probe.looks
    monkeypatch.setattr(probe, "looks", lambda expected, evaluations, rule, flow: own(expected, evaluations, "late rate", flow))
    fields = {**FULL, "steps": 11, "sampler_name": sampler, "negative_prompt": "big red circle", **more}
    if tab == "img2img":
        fields |= {"init_images": [Image.new("RGB", (128, 128), "grey")], "denoising_strength": 0.7}
    generate({}, tab, prompt=ORDINARY, **fields)
    (image,) = generate.last()["images"]
    for found in [image["first"], *([image["hires"]] if more else [])]:
        assert found["verdict"] != "not judged", found["reason"]
