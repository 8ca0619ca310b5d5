"""Infotext early and late, pasting, grids, X/Y/Z; state that comes and goes with its job; trouble that stays ours."""

from __future__ import annotations

import copy
import gc
import weakref

import pytest
from conftest import FORGE
from test_judging import FULL, MEMORIZED, pixels, said, verdict

from lib_stability.trail.infotext import KEYS, parse_text


def keys(text: str) -> list[str]:
    return [key for key in parse_text(text)[2] if key.startswith("MG ")]


# -- infotext ---------------------------------------------------------------------------------------------------------------------------


def test_params_txt_promises_nothing(generate, tmp_path):
    generate({"mode": "damp"})
    settings, first, hires = said((tmp_path / "params.txt").read_text())
    assert settings.enabled and settings.mode == "damp" and first is None and hires is None


def test_before_hires_only_the_first_pass_is_known(generate, options, tmp_path):
    options.set("save_images_before_highres_fix", True)
    done = generate({}, enable_hr=True, batch_size=2, n_iter=2, do_not_save_samples=False)
    from PIL import Image

    early = [Image.open(path).text["parameters"] for path in sorted(tmp_path.glob("*-before-highres-fix.png"))]
    assert len(early) == 4
    for number, text in enumerate(early):
        assert said(text)[1] == verdict(done, number) and said(text)[2] is None


def test_off_leaves_no_key(generate, tmp_path):
    for off in (None, False, {"enabled": False}):
        done = generate(off, batch_size=2)
        assert all(keys(text) == [] for text in done.infotexts) and keys((tmp_path / "params.txt").read_text()) == []


@pytest.mark.parametrize(
    "detail, kept",
    [("Verdict only", {"MG verdict", "MG version"}), ("Verdict, numbers and profile", {"MG verdict", "MG score", "MG region", "MG version"})],
)
def test_infotext_detail(generate, options, detail, kept):
    options.set("memorization_guard_infotext", detail)
    (text,) = generate({}).infotexts
    assert set(keys(text)) == {"MG profile", *kept}


def test_the_save_loop_may_hand_over_copies_of_the_prompts(generate, host, monkeypatch):
    """As reForge does."""
    original = host.processing.create_infotext

    def copied(p, all_prompts, *args, **kwargs):
        return original(p, list(all_prompts) if all_prompts is p.prompts else all_prompts, *args, **kwargs)

    monkeypatch.setattr(host.processing, "create_infotext", copied)
    prompts = ["small green cross", "small blue square", MEMORIZED, "small pink cross"]
    done = generate({}, prompt=prompts, batch_size=2, n_iter=2, **FULL)
    assert [verdict(done, number).flagged for number in range(4)] == [False, False, True, False]


def test_parameters_can_be_written_as_json(generate, host):
    """As Forge Classic does with those of a finished job."""
    import json

    done = generate({})
    assert json.loads(json.dumps(done.extra_generation_params))["MG verdict"] == ""


def test_an_upscaled_picture_has_no_first_pass(generate, host, monkeypatch):
    monkeypatch.setattr(host.processing.StableDiffusionProcessingTxt2Img, "txt2img_upscale", True, raising=False)
    assert said(generate({}).infotexts[0])[1] is None


def test_values_are_short_and_never_quoted(generate):
    (text,) = generate({"mode": "damp", "sensitivity": "high"}, prompt=MEMORIZED, **FULL).infotexts
    line = text.splitlines()[-1]
    assert '"' not in line
    assert all(len(value) < 100 for key, value in parse_text(text)[2].items() if key in KEYS)


# -- pasting ----------------------------------------------------------------------------------------------------------------------------


def pasted(host, text: str, tab: str = "txt2img") -> dict[str, object]:
    from lib_stability.webui.job.arguments import POSITIONS

    params = host.infotext_utils.parse_generation_parameters(text)
    fields = host.infotext_utils.paste_fields[tab][-len(POSITIONS) :]
    return {name: host.infotext_utils.value_of(component, key, params) for name, (component, key) in zip(POSITIONS, fields)}


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_pasting_restores_the_settings(generate, host, tab):
    chosen = {"mode": "damp", "sensitivity": "custom", "tau": 2.5, "damping": "radial", "strength": 1.5, "probe": "always", "probe_evaluations": 3}
    (text,) = generate(chosen, steps=2).infotexts
    values = pasted(host, text, tab)
    assert values["enabled"] is True
    for name, value in chosen.items():
        assert values[name] == (value.capitalize() if isinstance(value, str) else value)
        assert type(values[name]) is (str if isinstance(value, str) else float)
    assert values["profile"] == "Testbed"
    assert said(generate(list(values.values()), steps=2).infotexts[0])[0] == said(text)[0]


def test_pasting_defaults_and_a_picture_without_the_guard(generate, host):
    values = pasted(host, generate({}, steps=2).infotexts[0])
    assert (values["enabled"], values["mode"], values["strength"]) == (True, "Report", 3.0)
    values = pasted(host, generate(None, steps=2).infotexts[0])
    assert values.pop("enabled") is False and set(values.values()) == {None}


def test_pasting_a_picture_without_the_guard_leaves_on_what_is_always_on(generate, host, options):
    text = generate(None, steps=2).infotexts[0]
    options.set("memorization_guard_enabled", True)
    assert pasted(host, text)["enabled"] is not False


def test_the_buttons_under_the_gallery_send_every_control(host):
    """They take along only what both tabs call by a name that the script has told."""
    from lib_stability.webui.job.arguments import POSITIONS

    for tab in ("txt2img", "img2img"):
        runner = getattr(host.scripts, f"scripts_{tab}")
        script = next(one for one in runner.alwayson_scripts if one.title() == "Memorization Guard")
        sent = host.infotext_utils.sent(tab, runner.paste_field_names)
        ours = runner.inputs[script.args_from : script.args_to]
        assert sent[-len(POSITIONS) :] == ours


# -- X/Y/Z ------------------------------------------------------------------------------------------------------------------------------


def test_the_axes_of_the_grid(generate, host):
    args = generate.args({"mode": "report"})
    runner = host.scripts.scripts_txt2img
    grid = runner.selectable_scripts[0]
    args[0] = 1
    mode, enabled = "[Memorization Guard] Mode", "[Memorization Guard] Enabled"
    args[grid.args_from : grid.args_to] = [mode, "report, damp", enabled, "True, False"]
    done = host.processing.run("txt2img", args, prompt=MEMORIZED, **FULL)
    settings = [said(text)[0] for text in done.infotexts]
    assert [(one.enabled, one.mode) for one in settings] == [(True, "report"), (True, "damp"), (False, "report"), (False, "report")]
    pictures = [one.tobytes() for one in done.images]
    assert pictures[0] == pictures[2] == pictures[3] != pictures[1]
    labels = [option.label for data in host.scripts.scripts_data for option in getattr(data.module, "axis_options", [])]
    assert sum(label.startswith("[Memorization Guard]") for label in labels) == 7


@pytest.mark.parametrize(
    ("prompt", "seeds", "said_by_grid"),
    [("big red circle", "11, 12", "not judged"), (MEMORIZED, "11, 12", "strong"), ("big red circle", "11", "not judged")],
)
def test_a_grid_of_several_jobs_is_never_stable_by_its_first(generate, host, prompt, seeds, said_by_grid):
    args, grid = generate.args({"mode": "report"}), host.scripts.scripts_txt2img.selectable_scripts[0]
    args[0] = 1
    args[grid.args_from : grid.args_to] = ["Seed", seeds, "Nothing", "x"]
    done = host.processing.run("txt2img", args, prompt=prompt, **FULL)
    found = said(done.grid)[1]
    assert (found.verdict, found.reason) == (said_by_grid, "a grid of several jobs" if said_by_grid == "not judged" else "")
    assert said(done.infotexts[0])[1].verdict == ("strong" if prompt == MEMORIZED else "stable")


# -- state ------------------------------------------------------------------------------------------------------------------------------


def test_a_job_leaves_with_its_p(generate, host):
    seen = []
    original = host.processing.StableDiffusionProcessingTxt2Img.sample

    def watch(self, *args, **kwargs):
        from lib_stability.webui.job import job

        seen.append(weakref.ref(job.of(self)))
        return original(self, *args, **kwargs)

    host.processing.StableDiffusionProcessingTxt2Img.sample = watch
    try:
        generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    finally:
        host.processing.StableDiffusionProcessingTxt2Img.sample = original
    gc.collect()
    assert seen[0]() is None
    from lib_stability.webui.job import hooks

    hooks._drop_cut_off()
    assert hooks._begun == []


def test_nothing_is_kept_while_off(generate, host, monkeypatch):
    from lib_stability.webui.job import hooks, job, passes

    monkeypatch.setattr(passes.Pass, "__init__", lambda *a, **k: pytest.fail("a pass was opened"))
    monkeypatch.setattr(job.Job, "__init__", lambda *a, **k: pytest.fail("a job was made"))
    generate({"enabled": False})
    assert hooks._begun == []


def test_a_copy_of_p_that_samples_inside_a_job_is_not_ours(generate, host):
    """As ADetailer does: another `p` in the middle of a job, here even a copy that carries our attribute."""
    from modules import scripts

    class Inner(scripts.Script):
        def title(self):
            return "inner"

        def postprocess_image(self, p, *args):
            pass

        def postprocess_batch(self, p, *args, **kwargs):
            if not getattr(p, "_inner", False):
                inner = copy.copy(p)
                inner._inner, inner.n_iter, inner.batch_size = True, 1, 1
                inner.extra_generation_params = {}
                inner.prompt, inner.scripts = MEMORIZED, scripts.ScriptRunner()
                host.processing.process_images(inner)

    script = Inner()
    script.args_from = script.args_to = 0
    runner = host.scripts.scripts_txt2img
    runner.alwayson_scripts.insert(0, script)
    try:
        done = generate({}, prompt="small blue square", **FULL)
    finally:
        runner.alwayson_scripts.remove(script)
    assert verdict(done).verdict == "stable" and verdict(done).evaluations == 0
    assert len(generate.last()["images"]) == 1 and generate.last()["images"][0]["first"]["evaluations"] == FULL["steps"]


def test_reloading_the_scripts_twice_judges_once(generate, host):
    import launch

    before = generate({}, prompt=MEMORIZED, **FULL)
    for _ in range(2):
        host.scripts.load_scripts([launch.HERE, launch.ROOT])
        host.ui.create_ui([launch.HERE, launch.ROOT])
    again = generate({}, prompt=MEMORIZED, **FULL)
    assert verdict(again) == verdict(before)
    assert generate.last()["images"][0]["first"]["evaluations"] == FULL["steps"]
    from modules import script_callbacks

    from lib_stability.webui.job import hooks

    for event, function in (("cfg_denoiser", hooks.before_evaluation), ("cfg_after_cfg", hooks.after_evaluation)):
        assert [one.callback for one in script_callbacks.callback_map[f"callbacks_{event}"]].count(function) == 1


# -- other extensions -------------------------------------------------------------------------------------------------------------------


class Extension:
    """Callbacks of another extension, for a while."""

    def __init__(self, first: bool = False, **callbacks):
        self.first, self.callbacks = first, callbacks

    def __enter__(self):
        from modules import script_callbacks

        for event, function in self.callbacks.items():
            one = script_callbacks.Callback("other", function)
            script_callbacks.callback_map[f"callbacks_{event}"].insert(0 if self.first else 1000, one)
        return self

    def __exit__(self, *args):
        from modules import script_callbacks

        for function in self.callbacks.values():
            script_callbacks.remove_callbacks_for_function(function)


@pytest.mark.parametrize("first", [True, False])
def test_another_extension_changes_the_prediction(generate, first):
    def halve(params):
        params.x = params.x * 0.5

    with Extension(first, cfg_after_cfg=halve):
        off, on = generate(None), generate({})
    assert pixels(on) == pixels(off) != pixels(generate(None))
    if first:
        assert verdict(on).score < verdict(generate({})).score


def test_the_probe_disturbs_no_counter(generate, host):
    counts = {"before": 0, "after": 0}
    steps = []

    def before(params):
        counts["before"] += 1
        steps.append(params.denoiser.step)

    def after(params):
        counts["after"] += 1

    results = []
    for probe in ("never", "always"):
        counts.update(before=0, after=0)
        steps.clear()
        with Extension(cfg_denoiser=before, cfg_after_cfg=after):
            host.shared.sd_model.evaluations = 0
            done = generate({"probe": probe, "probe_evaluations": 2}, negative_prompt="red", steps=5)
        results.append((dict(counts), list(steps), pixels(done)))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    "sampler, steps, smaller, late",
    [
        ("Euler", 20, [0, 3, 5], [0, 1, 19]),
        ("Heun", 10, [0, 3, 5], [0, 1, 18]),
        ("DPM++ SDE", 5, [0, 1, 2], [0, 1, 8]),
        ("Euler", 50, [0, 8, 12], [0, 2, 49]),
        ("Euler", 6, [0, 1, 2], [0, 1, 5]),
        ("UniPC", 20, [0, 3, 5], [0, 1, 19]),
        ("DDIM", 20, [0, 3, 5], [0, 1, 18]),
        ("DDIM", 30, [0, 4, 8], [0, 2, 29]),
    ],
)
def test_looks_are_taken_at_the_same_part_of_every_pass(generate, monkeypatch, sampler, steps, smaller, late):
    """Those of the bundled profile, with the last evaluation whatever the sampler makes of the steps; and those of a profile of version 0.1."""
    from lib_stability.guard import probe

    def looked() -> list[int]:
        generate({"probe": "always"}, sampler_name=sampler, steps=steps)
        seen = generate.last()["images"][0]["first"]["trajectory"]
        assert len(seen) == late[-1] + 1
        return [number for number, one in enumerate(seen) if one["probe"] is not None]

    assert looked() == late
    own = probe.looks
    monkeypatch.setattr(probe, "looks", lambda expected, evaluations, rule, flow: own(expected, evaluations, "smaller", flow))
    assert looked() == smaller


def test_the_probe_does_not_depend_on_negative_prompt_and_guidance(generate):
    seen = []
    for negative in ("", "red", "big green star"):
        for scale in (1.0, 2.0, 7.0):
            generate({"probe": "always"}, prompt=MEMORIZED, negative_prompt=negative, **{**FULL, "cfg_scale": scale})
            seen.append(generate.last()["images"][0]["first"]["trajectory"][0]["probe"])
    assert max(seen) - min(seen) < 0.02 * max(seen)


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ SDE", "DDIM", "DDIM CFG++", "PLMS", "UniPC", "LCM"])
def test_the_probe_flags_at_guidance_1(generate, sampler):
    done = generate({}, prompt=MEMORIZED, sampler_name=sampler, **{**FULL, "cfg_scale": 1.0})
    assert verdict(done).flagged and verdict(done).detector == "probe"
    if "CFG++" in sampler:
        return  # for these samplers 1 is the strongest guidance there is, and ordinary runs end outside the region
    ordinary = generate({}, prompt="small blue square", sampler_name=sampler, **{**FULL, "cfg_scale": 1.0})
    assert verdict(ordinary).verdict == "stable"


def test_guidance_in_other_hands_is_left_to_the_probe(generate, host, monkeypatch):
    if FORGE:
        unet = host.shared.sd_model.forge_objects.unet
        monkeypatch.setitem(unet.model_options, "sampler_post_cfg_function", [lambda args: args["denoised"] * 0.5])
    else:
        from modules.sd_samplers_cfg_denoiser import CFGDenoiser

        original = CFGDenoiser.combine_denoised

        def rescaled(self, *args):
            return original(self, *args) * 0.5

        monkeypatch.setattr(CFGDenoiser, "combine_denoised", rescaled)
    assert verdict(generate({"probe": "never"})).reason == "no probe and guidance changed by another extension"
    for policy in ("always", "auto"):
        judged = verdict(generate({"probe": policy}, prompt=MEMORIZED, **FULL))
        assert judged.flagged and judged.detector == "probe"


# -- trouble ----------------------------------------------------------------------------------------------------------------------------


def test_an_error_inside_the_guard_is_logged_once_a_detector_and_changes_nothing(generate, logged, monkeypatch):
    from lib_stability.guard.region import StabilityRegion

    off = generate(None, batch_size=2)
    monkeypatch.setattr(StabilityRegion, "look_up", lambda *a: 1 / 0)
    on = generate({"mode": "damp"}, batch_size=2)
    assert pixels(on) == pixels(off)
    assert [verdict(on, number).reason for number in (0, 1)] == ["error ZeroDivisionError in the watch"] * 2
    assert len(logged) == 2 and all("ZeroDivisionError" in repr(record.exc_info) for record in logged)  # the probe looks where the watch cannot
    logged.clear()


@pytest.mark.parametrize("where", ["view", "served", "guidance"])
def test_an_error_around_the_guard_too(generate, logged, monkeypatch, where):
    from lib_stability.webui.host import host as asked
    from lib_stability.webui.host import latents
    from lib_stability.webui.job.library import Library

    off = generate(None)
    target = {"view": (latents.View, "read"), "served": (Library, "serve"), "guidance": (asked, "guidance")}[where]
    monkeypatch.setattr(*target, lambda *a, **k: 1 / 0)
    on = generate({"mode": "damp", "probe": "never"})
    assert pixels(on) == pixels(off) and verdict(on).reason == "error ZeroDivisionError"
    assert logged and all("ZeroDivisionError" in repr(record.exc_info) for record in logged)
    logged.clear()


def test_bad_arguments_do_not_lose_the_generation(generate, logged):
    done = generate({"mode": "explode"})
    assert verdict(done).verdict == "not judged" and "mode" in verdict(done).reason
    assert len(logged) == 1 and "mode" in logged.pop().getMessage()


@pytest.mark.parametrize("flag", ["interrupted", "skipped"])
def test_interruption_passes_through(generate, host, flag):
    calls = []

    def stop(params):
        calls.append(1)
        if len(calls) == 2:
            setattr(host.shared.state, flag, True)

    with Extension(cfg_denoiser=stop):
        done = generate({"probe": "always"}, n_iter=2, steps=6)
    one = verdict(done)
    assert (one.verdict, one.reason) == ("not judged", f"{flag} - 2/6 judged")
    images = generate.last()["images"]
    assert images[0]["first"]["evaluations"] == 2
    assert len(images) == (1 if flag == "interrupted" else 2)


def test_interruption_inside_the_probe_passes_through(generate, host, monkeypatch):
    from modules.sd_samplers_common import InterruptedException

    from lib_stability.webui.host import probing

    def interrupted(*args):
        raise InterruptedException

    monkeypatch.setattr(probing, "virtual_prediction", interrupted)
    done = generate({"probe": "always"}, steps=6)
    assert len(done.images) == 1
    assert verdict(done).verdict == "not judged"


def test_out_of_memory_in_the_model_leaves_nothing_behind(generate, host, monkeypatch):
    from lib_stability.webui.job import hooks

    name = "denoise" if FORGE else "apply_model"
    model = host.shared.sd_model

    def broken(*args, **kwargs):
        raise MemoryError("out of memory")

    target = model.forge_objects.unet.model if FORGE else model
    with monkeypatch.context() as patch:
        patch.setattr(target, "apply_model", broken)
        with pytest.raises(MemoryError):
            generate({"mode": "damp"})
    gc.collect()
    assert verdict(generate({})).verdict in ("stable", "mild", "strong") and name
    hooks._drop_cut_off()
    assert hooks._begun == []


# -- cost -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
@pytest.mark.parametrize(
    "chosen", [{"mode": "report"}, {"mode": "damp", "damping": "directional"}, {"mode": "damp"}], ids=lambda it: "-".join(it.values())
)
def test_the_guard_adds_no_synchronisation_per_step(generate, chosen, sampler, monkeypatch):
    """What the guard waits for is read once a pass: it does not grow with the steps."""
    import torch
    from torch.utils._python_dispatch import _disable_current_modes

    from lib_stability.shell.counting import Dispatched
    from lib_stability.webui.host.stopping import Poll

    read, asked = Poll.__call__, []

    def polled(self, value):
        # Rewording's mark: read at once on the CPU, an evaluation late and without waiting where waiting would cost.
        asked.append(1)
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            return read(self, value)

    monkeypatch.setattr(Poll, "__call__", polled)

    def waits(guard, steps):
        with Dispatched() as counted:
            generate(guard, prompt=MEMORIZED, sampler_name=sampler, **{**FULL, "steps": steps})
        return counted.synchronisations

    on = {**chosen, "probe": "always"}
    generate(on, prompt=MEMORIZED, **FULL)  # whatever is read once for good
    extra = [waits(on, steps) - waits(None, steps) for steps in (5, 10)]
    # A reading of every evaluation is stacked and copied as one, so twice the steps are no more waits.
    assert extra[0] == extra[1], extra
    assert bool(asked) == (chosen == {"mode": "damp"})
