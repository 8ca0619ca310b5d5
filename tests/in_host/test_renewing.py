"""What is sampled again behind its batch: copies that damping came too late for from their own noise, and in the mode Replace from other seeds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from conftest import FORGE
from PIL import Image, ImageDraw
from test_judging import FULL, MEMORIZED, picture, pixels, said, verdict

from lib_stability.guard.judging import Judging
from lib_stability.guard.outcome import LATE
from lib_stability.guard.verdict import Verdict
from lib_stability.trail import audit, ledger
from lib_stability.trail.image_row import became
from lib_stability.trail.infotext import REPLACED_KEY, parse_text
from lib_stability.webui.host import networks
from lib_stability.webui.job import places, renewing
from lib_stability.webui.job.library import IGNORE
from lib_stability.webui.page import panel

ORDINARY = "small blue square"


@pytest.fixture
def blind(monkeypatch):
    """No detector flags anything before this evaluation of a pass, counted from 0."""

    def until(number: int, hires: bool | None = None) -> None:
        judge = Judging.judge

        def late(self, evaluation):
            judge(self, evaluation)
            wide = evaluation.x.shape[-1] > 16
            if evaluation.number < number and hires in (None, wide):
                nobody = torch.zeros(len(evaluation.x), dtype=torch.bool)
                evaluation.judged = {name: one._replace(unstable=nobody) for name, one in evaluation.judged.items()}
                evaluation.unstable = None

        monkeypatch.setattr(Judging, "judge", late)

    return until


def params(done, number: int = 0) -> dict[str, str]:
    return parse_text(done.infotexts[number + done.index_of_first_image])[2]


def again(done, number: int = 0) -> bool:
    return verdict(done, number).again


def test_a_late_flag_is_sampled_again(generate, blind):
    blind(FULL["steps"] - 1)
    off = generate(None, prompt=MEMORIZED, **FULL)
    spoilt = generate({"mode": "damp", "again": False}, prompt=MEMORIZED, **FULL)
    assert (verdict(spoilt).outcome, verdict(spoilt).damped) == (LATE, 1)
    done = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    one = verdict(done)
    assert one.again and one.flagged_at == verdict(spoilt).flagged_at == FULL["steps"] and one.damped == FULL["steps"]
    # How it ended is what the second picture says.
    assert one.score == verdict(spoilt).score and one.score_after != verdict(spoilt).score_after
    assert params(done)["Seed"] == "11" and len({*pixels(off), *pixels(spoilt), *pixels(done)}) == 3
    assert generate.last()["images"][0]["first"]["outcome"] == one.outcome and "MG sample again" not in params(done)


@pytest.mark.parametrize(("sampler", "policy"), [("Euler a", "reword"), ("DPM++ SDE", "directional"), ("DDIM", "reword")])
def test_batch_mates_keep_every_bit(generate, host, blind, sampler, policy):
    blind(8)
    fields = {"prompt": [ORDINARY, MEMORIZED] * 2, "batch_size": 2, "n_iter": 2, "sampler_name": sampler, **FULL}
    level = {"sensitivity": "custom", "tau": 0.7} if sampler == "DDIM" else {}
    off, done = generate(None, **fields), generate({"mode": "damp", "damping": policy, **level}, **fields)
    renewed = [number for number in range(4) if verdict(done, number).again]
    assert renewed and set(renewed) <= {1, 3}
    for number in range(4):
        assert (pixels(done)[number + 1] == pixels(off)[number + 1]) == (verdict(done, number).verdict == "stable"), number
        assert params(done, number)["Seed"] == str(11 + number)
    # As if nothing had happened.
    assert (host.shared.state.job_no, host.shared.state.skipped, host.shared.state.interrupted) == (2, False, False)


def test_noise_that_nobody_seeds_is_drawn_as_if_nothing_had_been(generate, blind, host, monkeypatch):
    drawn = []
    decode = type(host.shared.sd_model).decode_first_stage
    monkeypatch.setattr(type(host.shared.sd_model), "decode_first_stage", lambda self, z: drawn.append(torch.rand(1).item()) or decode(self, z))
    blind(FULL["steps"] - 1)
    for guard in ({"mode": "damp", "again": False}, {"mode": "damp"}):
        done = generate(guard, prompt=MEMORIZED, n_iter=2, **FULL)
    assert again(done) and drawn[:2] == drawn[2:]


def test_the_same_noise_is_sampled_again(generate, blind, host, options, monkeypatch):
    """Seed, variation seed and the noise of samplers that add some."""
    blind(FULL["steps"] - 1)
    options.set("eta_noise_seed_delta", 5)
    seen = []
    next_of = type(host.processing.ImageRNG((1,), [0])).next
    monkeypatch.setattr(host.processing.ImageRNG, "next", lambda self: seen.append(next_of(self)) or seen[-1])
    generate({"mode": "damp"}, prompt=[ORDINARY, MEMORIZED], batch_size=2, subseed=3, subseed_strength=0.4, sampler_name="Euler a", **FULL)
    first, second = seen[0], seen[1]
    assert len(first) == 2 and len(second) == 1 and torch.equal(first[1:], second)


def test_p_is_as_it_was(generate, host, blind):
    blind(FULL["steps"] - 1)
    found = []

    def noted(p, *args):
        found.append({name: value for name, value in vars(p).items() if name not in ("memorization_guard", "scripts", "script_args")})

    listener = host.scripts.Script()
    listener.args_from = listener.args_to = 0
    listener.filename, listener.title, listener.post_sample = "test", lambda: "test", noted
    runner = host.scripts.scripts_txt2img.alwayson_scripts
    for place in (0, len(runner) + 1):
        runner.insert(place, listener)
    try:
        done = generate({"mode": "damp"}, prompt=[ORDINARY, MEMORIZED], batch_size=2, **FULL)
    finally:
        runner[:] = [one for one in runner if one is not listener]
    before, after = found
    assert again(done, 1) and before.keys() == after.keys()
    assert [name for name in before if before[name] is not after[name] and before[name] != after[name]] == []


def test_img2img_and_inpainting(generate, blind):
    mask = Image.new("L", (128, 128), 0)
    ImageDraw.Draw(mask).rectangle([0, 0, 127, 79], fill=255)
    for extra in ({}, {"mask_image": mask}):
        fields = {"prompt": [ORDINARY, MEMORIZED] * 2, "batch_size": 2, "n_iter": 2, "init_images": [picture()], "denoising_strength": 0.95, **extra}
        blind(6)
        off = generate(None, tab="img2img", **fields, **FULL)
        done = generate({"mode": "damp", "sensitivity": "custom", "tau": 1.0}, tab="img2img", **fields, **FULL)
        assert [again(done, number) for number in range(4)] == [False, True, False, True]
        kept = [pixels(off)[number] == pixels(done)[number] for number in (1, 2, 3, 4)]
        assert kept[1] == kept[3] == False  # noqa: E712
        assert all(kept[number] for number in (0, 2) if not verdict(done, number).flagged)


@pytest.mark.parametrize("late", [False, True])
def test_hires(generate, blind, late):
    fields = {"prompt": [ORDINARY, MEMORIZED], "batch_size": 2, "enable_hr": True, "hr_scale": 1.5, **({"hr_cfg": 7.5} if FORGE else {}), **FULL}
    blind(6, hires=late)
    if late:
        blind(99, hires=False)
    off, done = generate(None, **fields), generate({"mode": "damp", "sensitivity": "custom", "tau": 2.0}, **fields)
    _, first, hires = said(done.infotexts[2])
    assert (hires if late else first).again
    assert pixels(done)[1] == pixels(off)[1] and pixels(done)[2] != pixels(off)[2]


@pytest.mark.parametrize("stop", ["interrupted", "skipped"])
def test_interrupting_the_second_time_keeps_the_first_picture(generate, host, blind, stop, monkeypatch):
    blind(FULL["steps"] - 1)
    spoilt = generate({"mode": "damp", "again": False}, prompt=MEMORIZED, **FULL)
    evaluations = []

    def interrupt(params):
        evaluations.append((len(params.x), host.shared.state.job, host.shared.state.sampling_step))
        if len(evaluations) == FULL["steps"] + 5:
            setattr(host.shared.state, stop, True)

    host.script_callbacks.on_cfg_denoiser(interrupt)
    try:
        done = generate({"mode": "damp"}, prompt=MEMORIZED, n_iter=2 if stop == "skipped" else 1, **FULL)
    finally:
        host.script_callbacks.remove_callbacks_for_function(interrupt)
    assert pixels(done)[-1 if stop == "interrupted" else 1] == pixels(spoilt)[0]
    assert verdict(done).outcome == LATE and verdict(done) == verdict(spoilt)
    assert "again" in evaluations[FULL["steps"] + 2][1] and evaluations[FULL["steps"] + 4][2] > 0
    assert stop == "interrupted" or again(done, 1)


def test_an_error_the_second_time_keeps_the_first_picture(generate, host, blind, monkeypatch, logged):
    blind(FULL["steps"] - 1)
    spoilt = generate({"mode": "damp", "again": False}, prompt=MEMORIZED, **FULL)
    sample, calls = host.processing.StableDiffusionProcessingTxt2Img.sample, []

    def failing(self, **told):
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of luck")
        return sample(self, **told)

    monkeypatch.setattr(host.processing.StableDiffusionProcessingTxt2Img, "sample", failing)
    done = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    assert pixels(done) == pixels(spoilt) and len(calls) == 2
    assert [logged.pop().getMessage()] == ["Memorization Guard: an error, an image is not sampled again"]


def test_a_refiner_begins_anew(generate, host, monkeypatch):
    monkeypatch.setattr(Verdict, "failed", property(lambda verdict: verdict.flagged))
    begun = []
    host.script_callbacks.on_cfg_denoiser(note := lambda params: begun.append(host.shared.sd_model.sd_checkpoint_info.name_for_extra))
    level = {"mode": "damp", "profile": "Testbed", "damping": "directional"}
    done = generate(level, prompt=MEMORIZED, refiner_checkpoint="refiner", refiner_switch_at=0.5, **FULL)
    host.script_callbacks.remove_callbacks_for_function(note)
    assert verdict(done).again and begun == (["testbed"] * 6 + ["refiner"] * 6) * 3


def test_networks_of_the_first_pass_are_on_again(generate, host, lora, options, monkeypatch):
    monkeypatch.setattr(Verdict, "failed", property(lambda verdict: verdict.flagged))
    options.set("memorization_guard_networks", IGNORE)
    first, seen = lora("one", 0.01), []

    def note(params):
        p = params.denoiser.p
        seen.append((p.is_hr_pass, "one" in str(networks.active(p.sd_model, p))))

    host.script_callbacks.on_cfg_denoiser(note)
    fields = {"enable_hr": True, "hr_scale": 1.5, "hr_prompt": MEMORIZED, **({"hr_cfg": 7.5} if FORGE else {}), **FULL}
    done = generate({"mode": "damp", "profile": "Testbed", "damping": "directional"}, prompt=MEMORIZED + first, **fields)
    host.script_callbacks.remove_callbacks_for_function(note)
    assert verdict(done).again and {(False, True), (True, False)} == set(seen)


# -- the mode Replace ----------------------------------------------------------------------------------------------------------------------


def test_a_flagged_image_is_replaced_by_another_seed(generate, host, blind, monkeypatch):
    """Every other seed is ordinary: only noise of the first one is flagged."""
    only_seeds(monkeypatch, host, {12})
    fields = {"prompt": [ORDINARY, MEMORIZED, ORDINARY, ORDINARY], "batch_size": 2, "n_iter": 2, **FULL}
    off, done = generate(None, **fields), generate({"mode": "replace"}, **fields)
    assert [params(done, number)["Seed"] for number in range(4)] == ["11", "15", "13", "14"]
    told = f"seed 12 ({verdict(generate({}, prompt=MEMORIZED, seed=12, **FULL)).verdict}) - 1 try"
    assert params(done, 1)[REPLACED_KEY] == told and REPLACED_KEY not in params(done, 0)
    assert [verdict(done, number).verdict for number in range(4)] == ["stable"] * 4
    assert [pixels(done)[number] == pixels(off)[number] for number in (1, 2, 3, 4)] == [True, False, True, True]
    # The seed that the infotext names makes the very picture.
    alone = generate(None, prompt=MEMORIZED, seed=15, **FULL)
    differ = np.asarray(alone.images[0]).astype(int) - np.asarray(done.images[2])
    assert abs(differ).max() <= 2 and done.all_seeds == [11, 15, 13, 14]  # a batch of two rounds otherwise than a single picture does
    generate({"mode": "replace"}, **fields)
    assert [one["seed"] for one in generate.last()["images"]] == done.all_seeds
    assert generate.last()["images"][1]["replaced"] == told


def only_seeds(monkeypatch, host, flagged: set[int]) -> None:
    """Nothing is unstable but images of these seeds."""
    judge = Judging.judge

    def judged(self, evaluation):
        judge(self, evaluation)
        here = sampling[-1].seeds
        ours = torch.tensor([int(seed) in flagged for seed in here])
        evaluation.judged = {name: one._replace(unstable=one.unstable & ours) for name, one in evaluation.judged.items()}
        if evaluation.unstable is not None:
            evaluation.unstable = evaluation.unstable & ours

    sampling = []
    for kind in (host.processing.StableDiffusionProcessingTxt2Img, host.processing.StableDiffusionProcessingImg2Img):
        sample = kind.sample
        monkeypatch.setattr(kind, "sample", lambda self, sample=sample, **told: sampling.append(self) or sample(self, **told))
    monkeypatch.setattr(Judging, "judge", judged)


def test_more_tries(generate, host, monkeypatch):
    only_seeds(monkeypatch, host, {11, 12, 13})
    done = generate({"mode": "replace"}, prompt=MEMORIZED, **FULL)
    assert params(done)["Seed"] == "14" and re.fullmatch(r"seed 11 \((mild|strong)\) - 3 tries", params(done)[REPLACED_KEY])
    assert pixels(done) == pixels(generate(None, prompt=MEMORIZED, seed=14, **FULL))


def test_where_every_seed_is_flagged_the_last_is_damped(generate):
    done = generate({"mode": "replace", "tries": 2}, prompt=MEMORIZED, **FULL)
    one = verdict(done)
    assert (params(done)["Seed"], params(done)["MG tries"]) == ("13", "2")
    assert re.fullmatch(r"seed 11 \((mild|strong)\) - 2 tries", params(done)[REPLACED_KEY])
    assert one.flagged and one.damped
    assert pixels(done) == pixels(generate({"mode": "damp", "again": False}, prompt=MEMORIZED, seed=13, **FULL))


def test_replacing_in_img2img_and_hires(generate, host, monkeypatch):
    only_seeds(monkeypatch, host, {12})
    hires = {"enable_hr": True, "hr_scale": 1.5, **({"hr_cfg": 7.5} if FORGE else {})}
    for tab, extra in (("img2img", {"init_images": [picture()], "denoising_strength": 0.9}), ("txt2img", hires)):
        level = {"mode": "replace", "sensitivity": "custom", "tau": 1.0}
        fields = {"n_iter": 2, **extra, **FULL}
        off, done = generate(None, tab=tab, prompt=MEMORIZED, **fields), generate(level, tab=tab, prompt=MEMORIZED, **fields)
        assert [params(done, number)["Seed"] for number in range(2)] == ["11", "13"], tab
        assert pixels(done)[1] == pixels(off)[1] and pixels(done)[2] != pixels(off)[2]
        alone = generate(None, tab=tab, prompt=MEMORIZED, seed=13, **{**extra, **FULL})
        assert alone.images[0].tobytes() == pixels(done)[2], tab


def test_interrupting_a_try(generate, host, monkeypatch):
    off, count = generate(None, prompt=MEMORIZED, **FULL), []

    def interrupt(params):
        count.append(1)
        if len(count) == FULL["steps"] + 3:
            host.shared.state.interrupted = True

    host.script_callbacks.on_cfg_denoiser(interrupt)
    try:
        done = generate({"mode": "replace"}, prompt=MEMORIZED, **FULL)
    finally:
        host.script_callbacks.remove_callbacks_for_function(interrupt)
    assert pixels(done) == pixels(off) and verdict(done).flagged
    assert (params(done)["Seed"], params(done)[REPLACED_KEY]) == ("11", "no - interrupted")


def test_an_unflagged_job_is_left_alone(generate):
    off, done = generate(None, prompt=ORDINARY, **FULL), generate({"mode": "replace"}, prompt=ORDINARY, **FULL)
    assert pixels(done) == pixels(off) and REPLACED_KEY not in params(done)


def test_the_last_try_is_sampled_again_where_it_was_flagged_too_late(generate, blind):
    blind(FULL["steps"] - 1)
    done = generate({"mode": "replace", "tries": 1}, prompt=MEMORIZED, **FULL)
    assert (params(done)["Seed"], verdict(done).again, verdict(done).damped) == ("12", True, FULL["steps"])
    assert re.fullmatch(r"seed 11 \((mild|strong)\) - 1 try", params(done)[REPLACED_KEY])
    assert pixels(done) == pixels(generate({"mode": "damp"}, prompt=MEMORIZED, seed=12, **FULL))


# -- what is kept of it --------------------------------------------------------------------------------------------------------------------


def test_ledger_and_audit_know_both(generate, blind, options, host, tmp_path, monkeypatch):
    options.set("memorization_guard_ledger", True)
    monkeypatch.setattr(places, "ledger", lambda: tmp_path / "ledger")
    generate({"mode": "replace", "tries": 1, "again": False}, prompt=MEMORIZED, do_not_save_samples=False, **FULL)
    blind(FULL["steps"] - 1)
    generate({"mode": "damp"}, prompt=MEMORIZED, do_not_save_samples=False, **FULL)
    replaced, again = ledger.read(tmp_path / "ledger")
    assert replaced["seed"] == 12 and replaced["replaced"].startswith("seed 11 (") and again["replaced"] is None
    assert again["outcome"].startswith("sampled again") and again["action"] == f"sampled again and damped {FULL['steps']}/{FULL['steps']}"
    pictures = [one for one in audit.find([tmp_path]) if one.path.endswith(".png")]
    rows = sorted(audit.rows(pictures, jobs=1), key=lambda row: row["seed"] == "11")
    assert [row["replaced"] for row in rows] == [replaced["replaced"], None] and rows[1]["outcome"] == again["outcome"]
    assert re.search(r"replaced +1\b", audit.summary(rows)) and again["outcome"] in audit.summary(rows)
    assert became(rows[1]["damped"], rows[1]["outcome"]) == "again"


def test_the_page_says_so(generate, blind, host, monkeypatch):
    done = generate({"mode": "replace", "tries": 1}, prompt=MEMORIZED, **FULL)
    assert "Replaced: the picture of seed 11 looked memorized" in panel.lines(done.infotexts[0])
    only_seeds(monkeypatch, host, {11})
    done = generate({"mode": "replace"}, prompt=MEMORIZED, **FULL)
    assert panel._kind_of(done.infotexts[0]) == "replaced"
    monkeypatch.undo()
    blind(FULL["steps"] - 1)
    done = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    assert panel._kind_of(done.infotexts[0]) == "again" and "Sampled again:" in panel.lines(done.infotexts[0])


def test_what_is_sampled_inside_another_job_is_not_caught(generate, host, blind, monkeypatch):
    blind(FULL["steps"] - 1)
    counted = []
    monkeypatch.setattr(renewing._Batch, "sample", lambda *_: counted.append(1))
    generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    assert counted == [1]
    finish = renewing.finish
    monkeypatch.setattr(renewing, "finish", lambda made, p, samples: (setattr(made, "outer", lambda: None), finish(made, p, samples)))
    generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    assert counted == [1]
