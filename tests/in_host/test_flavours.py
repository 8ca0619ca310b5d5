"""What must hold on every host and has broken on one: run for A1111 and Forge with everything else, and alone for the flavours of Forge."""

from __future__ import annotations

import os

import pytest
import torch
from conftest import FORGE
from PIL import Image
from test_flow import region, with_profile  # noqa: F401
from test_judging import FULL, MEMORIZED, pixels, verdict

from lib_stability.webui.host import host as spoken
from lib_stability.webui.host import probing, sampling
from lib_stability.webui.host.instead import Instead

FLAVOUR = os.environ.get("HOST_FLAVOUR", "")
neo = pytest.mark.skipif(FLAVOUR != "neo", reason="only Forge Neo shows pictures to the network")
ersatz = pytest.mark.skipif(FLAVOUR != "ersatz", reason="settings of ersatzForge alone")


# -- probe, rewording, tasks -------------------------------------------------------------------------------------------------------------


def test_a_negative_prompt_is_probed(generate):
    seen = verdict(generate({"probe": "always"}, prompt=MEMORIZED, negative_prompt="green triangle", **FULL))
    assert seen.flagged and seen.detector == "probe"


def test_so_is_guidance_1(generate):
    assert verdict(generate({}, prompt=MEMORIZED, **{**FULL, "cfg_scale": 1.0})).flagged


def test_rewording_damps(generate):
    done, off = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL), generate(None, prompt=MEMORIZED, **FULL)
    assert verdict(done).damped > 0 and pixels(done) != pixels(off)


def test_a_host_function_may_ask_for_more_than_we_know():
    class Patcher:
        def __init__(self):
            self.options, self.is_anything = {"a": 1}, True

        def method(self):
            return self.options

    original = Patcher()
    instead = Instead(original, options={})
    instead.left_behind = 1
    assert instead.is_anything and instead.options == {} and original.options == {"a": 1} and not hasattr(original, "left_behind")
    with pytest.raises(AttributeError):
        instead.nothing  # noqa: B018


def test_a_plot_has_a_folder_to_be_written_to(host, options, tmp_path):
    """Forge Neo writes the page's pictures to a folder that nothing has made on a fresh install."""
    from lib_stability.webui.page import tab_profiles

    folder = tmp_path / "host" / "tmp"
    options.data["temp_dir"] = str(folder)
    for _ in range(2):  # the second comes from what was drawn before
        assert tab_profiles.plot("Testbed") is not None and folder.is_dir()
        folder.rmdir()
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    options.data["temp_dir"] = str(blocked / "tmp")
    assert tab_profiles.plot("Testbed") is not None


@pytest.mark.parametrize("name", ["reload_model_weights", "forge_model_reload"])
def test_the_model_is_loaded_with_what_the_host_has(host, monkeypatch, name):
    called = []
    for other in ("reload_model_weights", "forge_model_reload"):
        monkeypatch.delattr(host.sd_models, other, raising=False)
    monkeypatch.setattr(host.sd_models, name, lambda: called.append(name), raising=False)
    assert sampling.loaded() is host.shared.sd_model and called == [name]


@pytest.mark.parametrize("flag", [False, True])
def test_a_checkpoint_that_the_host_has_not_hashed_is_hashed_for_a_calibration(host, options, monkeypatch, flag):
    monkeypatch.setattr(host.shared.cmd_opts, "no_hashing", flag)
    before = dict(options.data)
    model = host.sd_models.Checkpoint(host.sd_models.CheckpointInfo("unhashed"))
    assert bool(model.sd_checkpoint_info.sha256) is (not flag and FLAVOUR != "ersatz")
    assert len(sampling.hash_of(model)) == 64 and spoken.describe(model).sha256 == sampling.hash_of(model)
    assert host.shared.cmd_opts.no_hashing is flag and options.data == before


@pytest.mark.parametrize("tiles", [False, True])
def test_runs_are_not_tiled_whatever_the_settings_say(host, options, tiles):
    options.set("tiling", {False: "None", True: "X and Y"}[tiles] if FLAVOUR == "ersatz" else tiles)
    seen = []

    class Recording:
        probe_guidance = 1.0

        def attach(self, p):
            self.p = p

        def prepare(self, p):
            seen.append(p.tiling)

        def fail(self, error):
            raise error

        def check(self):
            pass

    sampling.sample(Recording(), ["big red circle"], [1], "Euler", 2, (64, 64))
    assert seen == ["None" if FLAVOUR == "ersatz" else False]


# -- guidance that a host leaves out -----------------------------------------------------------------------------------------------------


def guidances(generate) -> list[float]:
    return [one["guidance"] for one in generate.last()["images"][0]["first"]["trajectory"]]


def test_early_evaluations_without_guidance(generate, options):
    options.set("skip_early_cond", 0.5)
    for _ in range(2):  # the host's own note in the infotext of an earlier batch must not mislead
        generate({"probe": "never"}, steps=8, cfg_scale=7.0, n_iter=2)
        first = 7.0 if FLAVOUR == "neo" else 1.0
        assert guidances(generate) == pytest.approx([first, 1.0, 1.0, 1.0, 1.0, 7.0, 7.0, 7.0])


def test_late_evaluations_without_guidance(generate, options):
    generate({"probe": "never"}, steps=8, cfg_scale=7.0, s_min_uncond=1e6)
    assert guidances(generate) == pytest.approx([1.0] * 8 if FLAVOUR == "ersatz" else [7.0, 1.0] * 4)


@ersatz
@pytest.mark.parametrize("name, value", [("epsilon_scaling", 0.99), ("prediction_scaling", 0.99), ("cfg_normalization", 0.5), ("cfg_rescale", 0.7)])
def test_settings_that_change_predictions_leave_it_to_the_probe(generate, options, name, value):
    assert verdict(generate({"probe": "never"}, cfg_scale=7.0)).verdict == "stable"
    options.set(name, value)
    assert verdict(generate({"probe": "never"}, cfg_scale=7.0)).reason == "no probe and guidance changed by another extension"


# -- what conditioning leaves behind -----------------------------------------------------------------------------------------------------


def state(host) -> dict:
    """Everything that conditioning a prompt can reach, except the model's weights."""
    model = host.shared.sd_model
    places = {"hijack": vars(sys_module("modules.sd_hijack").model_hijack)}
    if FORGE:
        args = sys_module("backend.args").dynamic_args
        places |= {"model": vars(model), "arguments": args if isinstance(args, dict) else vars(args)}
        places["notes"] = {"last": sys_module("backend.text_processing.classic_engine").last_extra_generation_params}
    return {
        (place, name): (id(value), tuple(map(id, value)) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value)
        for place, values in places.items()
        for name, value in values.items()
        if not str(name).startswith("__")
    }


def sys_module(name: str):
    import importlib

    return importlib.import_module(name)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("kind", ["sd1", *(["flow"] if FORGE else []), *(["kontext"] if FLAVOUR == "neo" else [])])
def test_conditioning_leaves_the_host_as_it_was(host, generate, checkpoint, kind, negative):
    checkpoint("other", kind)
    model = host.shared.sd_model
    if kind == "kontext":
        model.ini_latent, model.ref_latents = torch.zeros(1, 4, 8, 8), [torch.ones(1, 4, 8, 8)]
        sys_module("backend.args").dynamic_args.ref_latents = [torch.ones(1)]
    p = host.processing.StableDiffusionProcessingTxt2Img(prompt="big red circle")
    before = state(host)
    assert len(probing.conditionings(p, ["(big:1.2) red circle", "red circle"], negative)) == 2
    assert state(host) == before
    if kind == "kontext":
        sys_module("backend.args").dynamic_args.ref_latents = []


@pytest.mark.parametrize("mode", ["report", "damp"])
def test_notes_for_the_infotext_are_the_jobs_own(generate, mode):
    said = []
    for guard in (None, {"mode": mode, "probe": "always"}):
        one, two = generate(guard, prompt="(big:1.2) red circle", n_iter=2, negative_prompt="(small:1.1)").infotexts[-2:]
        after = generate(None, prompt="big red circle").infotexts[0]
        said.append([[key in text for key in ("Emphasis", "TI hashes: xx,", "TI hashes: xxxx,")] for text in (one, two, after)])
    assert said[0] == said[1]


@neo
@pytest.mark.parametrize("guard", [{"mode": "damp"}, {"mode": "damp", "profile": "Flow test"}, {"probe": "always", "profile": "Flow test"}])
def test_an_edit_model_keeps_its_picture(generate, checkpoint, host, with_profile, guard):  # noqa: F811
    checkpoint("kontext", "kontext")
    fields = {"init_images": [Image.new("RGB", (64, 64), "red")], "denoising_strength": 1.0, "cfg_scale": 3.0, "seed": 5}
    off = generate(None, "img2img", **fields)
    done = generate({"profile": "Auto", **guard}, "img2img", **fields)
    assert pixels(done) == pixels(off) and verdict(done).reason == "guided by a picture too"
    shown = sys_module("backend.args").dynamic_args.ref_latents
    assert len(shown) == 1 and pixels(generate(None, "img2img", **fields)) == pixels(off)
    # Without a picture it is a model like any other.
    assert verdict(generate({"profile": "Flow test"}, cfg_scale=3.0)).verdict in ("stable", "mild", "strong")


@neo
def test_no_versions_where_nothing_judges(generate, checkpoint, host, monkeypatch):
    asked = []
    monkeypatch.setattr(probing, "conditionings", lambda p, prompts, negative=False: asked.append(prompts))
    checkpoint("flow", "flow")
    assert verdict(generate({"mode": "damp", "profile": "Auto"}, cfg_scale=5.0)).reason == "no profile"
    assert asked == []


def test_the_flavour_is_told_by_what_it_has(generate, host, monkeypatch):
    seen = []
    monkeypatch.setattr(spoken, "guidance", lambda denoiser, *rest: seen.append(spoken.flavour(denoiser)) or 7.0)
    generate({})
    assert set(seen) == {"neo" if FLAVOUR == "neo" else "forge" if FORGE else "a1111"}
