"""Checkpoints with guidance distilled into them, told its scale as Flux dev is: judged at CFG 1, calibrated over that scale, scanned."""

from __future__ import annotations

import re
import sys

import pytest
from conftest import FORGE
from test_flow import region, with_profile  # noqa: F401
from test_judging import MEMORIZED, pixels, said, verdict

from lib_stability.profile import storage
from lib_stability.profile.profiles import Model
from lib_stability.testbed.world.kinds import memorized, ordinary_samples
from lib_stability.webui.host import sampling
from lib_stability.webui.job import library, pace
from lib_stability.webui.page import serving
from lib_stability.webui.tasks import calibrating, scanning

pytestmark = pytest.mark.skipif(not FORGE, reason="A1111 runs no such models")

FIELDS = {"width": 128, "height": 128, "steps": 8, "cfg_scale": 1.0, "scheduler": "Simple"}
SMALL = {"width": 128, "height": 128, "steps": 6, "batch_size": 4}
ORDINARY = [caption for caption, _ in ordinary_samples(60, 1_000_000, "calibration")]


@pytest.fixture
def folder(tmp_path, monkeypatch, host):
    monkeypatch.setattr(library.LIBRARY, "folders", (library.BUNDLED, tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def distilled(host, checkpoint):
    checkpoint("dev", "distilled")
    return host.shared.sd_model


@pytest.fixture
def told(distilled, monkeypatch):
    """Scales that the network was told, one an image and evaluation."""
    seen, network = [], distilled.forge_objects.unet.model

    def denoise(x, sigma, cross, guidance=None, real=network.apply_model):
        seen.extend([round(float(one), 4) for one in guidance])
        return real(x, sigma, cross, guidance)

    monkeypatch.setattr(network, "apply_model", denoise)
    return seen


def points(generate, which: str = "first") -> list[dict]:
    return generate.last()["images"][0][which]["trajectory"]


def finished(task):
    task.start()
    assert task.wait(300)
    return task


# -- judging -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2.0, 3.5, 6.0])
def test_the_watch_judges_at_cfg_1_by_the_distilled_scale(generate, told, with_profile, scale):  # noqa: F811
    done = generate({"profile": "Auto", "probe": "never"}, distilled_cfg_scale=scale, negative_prompt="dark blue", **FIELDS)
    assert verdict(done).verdict in ("stable", "mild", "strong") and verdict(done).reason == ""
    assert [one["guidance"] for one in points(generate)] == [scale] * 8 and all(one["watch"] is not None for one in points(generate))
    assert generate.last()["profile"] == "Distilled test (imported calibration)"
    assert told == [scale] * 8, "the watch costs no evaluation"
    assert pixels(done) == pixels(generate(None, distilled_cfg_scale=scale, negative_prompt="dark blue", **FIELDS))


def test_cfg_on_top_multiplies(generate, told, with_profile):  # noqa: F811
    generate({"profile": "Auto"}, distilled_cfg_scale=2.5, **{**FIELDS, "cfg_scale": 2.0})
    assert [one["guidance"] for one in points(generate)] == [5.0] * 8 and set(told) == {2.5}


def test_a_scale_of_0_is_what_the_host_makes_of_it(generate, distilled, with_profile):  # noqa: F811
    generate({"profile": "Auto"}, distilled_cfg_scale=0.0, **FIELDS)
    assert points(generate)[0]["guidance"] == 3.5


def test_the_probe_asks_at_one_scale_whatever_the_settings(generate, told, with_profile):  # noqa: F811
    looks = []
    for more in ({}, {"distilled_cfg_scale": 1.0}, {"cfg_scale": 3.0, "negative_prompt": "dark blue", "distilled_cfg_scale": 6.0}):
        told.clear()
        generate({"profile": "Auto", "probe": "always"}, **{**FIELDS, **more})
        seen = [one["probe"] for one in points(generate)]
        assert [one is not None for one in seen] == [True] * 3 + [False] * 5
        looks.append(seen[0])
        assert told.count(5.0) == 3
    assert looks == pytest.approx([looks[0]] * 3, rel=1e-4)


@pytest.mark.parametrize("more", [{"distilled_cfg_scale": 1.5}, {"cfg_scale": 2.0, "negative_prompt": "dark blue"}])
def test_where_the_watch_cannot_the_probe_does(generate, distilled, with_profile, more):  # noqa: F811
    done = generate({"profile": "Auto"}, **{**FIELDS, **more})
    assert verdict(done).verdict in ("stable", "mild", "strong") and verdict(done).detector == "probe"
    never = verdict(generate({"profile": "Auto", "probe": "never"}, **{**FIELDS, **more}))
    assert never.verdict == "not judged" and "no probe" in never.reason


def test_a_hires_pass_has_a_scale_of_its_own(generate, told, with_profile):  # noqa: F811
    fields = {**FIELDS, "enable_hr": True, "hr_scale": 1.5, "hr_second_pass_steps": 4, "hr_distilled_cfg": 6.0}
    guard = {"profile": "Auto", "mode": "damp", "sensitivity": "custom", "tau": 0.1, "probe": "never"}
    done = generate(guard, prompt=MEMORIZED, **fields)
    assert {one["guidance"] for one in points(generate)} == {3.5} and {one["guidance"] for one in points(generate, "hires")} == {6.0}
    assert set(told) == {3.5, 6.0}, "the prompt's versions are told the scale of their pass"
    _, first, hires = said(done.infotexts[0])
    assert first.damped > 0 and hires.damped > 0


@pytest.mark.parametrize("damping", ["reword", "directional", "radial"])
@pytest.mark.parametrize("probe", ["never", "always"])
def test_damping(generate, distilled, with_profile, damping, probe):  # noqa: F811
    guard = {"profile": "Auto", "mode": "damp", "damping": damping, "sensitivity": "custom", "tau": 0.1, "probe": probe}
    done, off = generate(guard, prompt=MEMORIZED, **FIELDS), generate(None, prompt=MEMORIZED, **FIELDS)
    assert verdict(done).damped > 0 and verdict(done).reason == "" and pixels(done) != pixels(off)


def test_rewording_with_cfg_on_top_and_a_negative_prompt(generate, distilled, with_profile):  # noqa: F811
    """The host has both predictions, but guidance is no multiple of their difference: the scale that the model is told comes on top."""
    wanted = {"profile": "Auto", "mode": "damp", "damping": "reword", "sensitivity": "custom", "tau": 30.0}
    done = generate(wanted, prompt=MEMORIZED, **{**FIELDS, "cfg_scale": 2.0, "negative_prompt": "dark blue"})
    found = verdict(done)
    assert found.flagged and found.damped and not found.reason and "error" not in done.infotexts[0], done.infotexts[0]
    assert found.carriers, "a version was stable"


def test_profiles_of_other_guidance_do_not_serve(generate, host, checkpoint, distilled, with_profile):  # noqa: F811
    assert verdict(generate({"profile": "Flow test"}, **FIELDS)).reason == "no profile"
    why = library.LIBRARY.serve("Flow test", Model("flux", "flow", distilled=True)).why
    assert why == "the profile Flow test is for flow prediction, the checkpoint has flow prediction with distilled guidance"
    checkpoint("flow", "flow")
    assert verdict(generate({"profile": "Distilled test"}, **{**FIELDS, "cfg_scale": 5.0})).reason == "no profile"
    generate({"profile": "Auto"}, **{**FIELDS, "cfg_scale": 5.0})
    assert generate.last()["profile"].startswith("Flow test")


def test_a_host_that_tells_no_scale(generate, distilled, with_profile, monkeypatch, logged):  # noqa: F811
    """Whatever host says that guidance is distilled, and keeps the scale to itself."""
    monkeypatch.setattr(distilled, "get_learned_conditioning", lambda texts, real=distilled.get_learned_conditioning: real(texts)["crossattn"])
    network = distilled.forge_objects.unet.model
    monkeypatch.setattr(network, "apply_model", lambda x, sigma, cross: distilled.denoise(x, sigma, cross, sigma.new_full((len(x),), 3.5)))
    done = generate({"profile": "Auto", "probe": "always"}, **FIELDS)
    assert points(generate)[0]["guidance"] == 3.5 and "error ValueError" in verdict(done).reason
    logged.clear()


def test_the_page_says_what_to_do_where_nothing_serves(generate, distilled, monkeypatch):
    monkeypatch.setattr(pace, "_known", {})
    line = serving.profile_line("Auto", "medium", 3.0)
    assert "Nothing here can judge this checkpoint: no profile for flow prediction with distilled guidance fits." in line
    assert "A calibration measures it, in the background (200 images)." in line
    generate({"profile": "Auto"}, **FIELDS)
    assert re.search(r"in the background: about [\d.]+ (min|h) for 200 images of \d+x\d+ here", serving.profile_line("Auto", "medium", 3.0))


# -- calibration and scan ----------------------------------------------------------------------------------------------------------------


def test_a_calibration_tells_memorized_from_ordinary(generate, host, folder, told):
    task = finished(calibrating.task(calibrating.Options.parse({**SMALL, "runs": 24, "prompts": ORDINARY})))
    assert task.state == "done", task.to_json()
    profile = storage.read(folder / task.result["file"])
    known = profile.provenance
    assert (known["distilled"], known["distilled_scale"], known["guidance"]) == (True, 5.0, [1.0, 10.0])
    assert known["schedulers"] == ["Simple", "Normal", "Beta"] and known["samplers"] == list(calibrating.FLOW_SAMPLERS)
    assert (profile.model.distilled, profile.probe_guidance, profile.model.prediction) == (True, 5.0, "flow")
    assert profile.watch.guidance_ == pytest.approx((1.0, 9.4375)) and profile.probe.guidance_ == (5.0, 5.0)
    assert told.count(5.0) * 2 >= len(told), "each evaluation is one at the probe's scale and one at each run's own"
    guard = {"profile": profile.name, "mode": "report"}
    copies, others = [one.caption for one in memorized()[:6]], [caption for caption, _ in ordinary_samples(6, 77, "evaluation")]
    for probe, scale in (("never", 3.5), ("never", 6.0), ("auto", 1.0)):
        found = [generate({**guard, "probe": probe}, prompt=[*copies, *others], batch_size=12, distilled_cfg_scale=scale, **FIELDS)]
        flagged = [verdict(found[0], number).flagged for number in range(12)]
        assert sum(flagged[:6]) >= 5 and sum(flagged[6:]) <= 1, (probe, scale, flagged)
    for schedule, steps in (("Simple", 30), ("Beta", 6), ("Normal", 10), ("Simple", 4)):
        done = generate({**guard, "probe": "never"}, **{**FIELDS, "steps": steps, "scheduler": schedule})
        assert verdict(done).reason == "", "whatever the steps and the schedule, the region reaches the last noise level"
    before = len(told)
    scan = finished(scanning.task(scanning.Options.parse({"captions": [*others, *copies], "profile": profile.name, "seeds": 1, **SMALL_SCAN})))
    assert scan.state == "done", scan.to_json()
    ranked = sorted(scan.result["rows"], key=lambda one: -one["median"])
    assert {one["caption"] for one in ranked[:6]} == set(copies)
    assert told[before:] == [5.0] * 12, "one evaluation a caption and seed"


SMALL_SCAN = {"width": 128, "height": 128, "batch_size": 4}


@pytest.mark.parametrize("kind", ["sd3", "distilled"])
@pytest.mark.parametrize("given, named", [("Automatic", "the scheduler Automatic gives the noise level"), ("DDIM", "the sampler DDIM is not made")])
def test_a_schedule_that_the_model_does_not_know_makes_no_profile(host, folder, checkpoint, monkeypatch, logged, kind, given, named):
    checkpoint("dev", kind)
    options = {**SMALL, "runs": 20, "prompts": ORDINARY, "sampler": "DDIM" if given == "DDIM" else "Euler"}
    if given == "Automatic":
        monkeypatch.setattr(sampling, "schedules", lambda flow: ["Automatic"])
    task = finished(calibrating.task(calibrating.Options.parse({**options, "width": 64, "height": 64})))
    assert task.state == "failed" and named in task.error and not list(folder.glob("*.json"))
    logged.clear()


def test_schedules(host, monkeypatch):
    assert (sampling.schedules(True), sampling.schedules(False)) == (["Simple", "Normal", "Beta"], ["Automatic"])
    monkeypatch.setattr(host.sd_schedulers, "schedulers", host.sd_schedulers.schedulers[:1])
    assert sampling.schedules(True) == ["Automatic"]
    monkeypatch.setitem(sys.modules, "modules.sd_schedulers", None)
    monkeypatch.delattr(sys.modules["modules"], "sd_schedulers")
    assert sampling.schedules(True) == ["Automatic"], "a host without a choice of schedules"


def test_each_sampler_runs_with_each_schedule(host, folder, distilled, monkeypatch, logged):
    seen = []
    monkeypatch.setattr(sampling, "sample", lambda *given: seen.append((given[3], given[8])) or 1 / (len(seen) < 20))
    for options in ({"sampler": "Euler", "batch_size": 1}, {"batch_size": 1}):
        seen.clear()
        monkeypatch.setattr(calibrating.Recording, "trajectories", lambda self: ([], []))
        assert finished(calibrating.task(calibrating.Options.parse({**SMALL, "runs": 40, "prompts": ORDINARY, **options}))).state == "failed"
        names = ["Euler"] if "sampler" in options else list(calibrating.FLOW_SAMPLERS)
        assert set(seen) == {(name, schedule) for name in names for schedule in ("Simple", "Normal", "Beta")}
    logged.clear()


def test_a_negative_prompt_has_no_effect_on_a_distilled_model(host, folder, distilled, logged):
    task = finished(calibrating.task(calibrating.Options.parse({**SMALL, "runs": 20, "prompts": ORDINARY, "negative_prompt": "dark blue"})))
    assert task.state == "failed" and task.error.startswith("negative_prompt: guidance is distilled")
    logged.clear()
