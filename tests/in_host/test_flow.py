"""Flow-matching checkpoints, which only Forge runs: judged by a profile of their own, without guidance by the probe, else the reason is said."""

from __future__ import annotations

import os

import numpy as np
import pytest
from conftest import FORGE
from test_calibrating import SMALL, calibrated, folder  # noqa: F401
from test_judging import pixels, verdict

from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.profile import storage
from lib_stability.profile.profiles import Model, Profile
from lib_stability.webui.job.library import LIBRARY
from lib_stability.webui.page import panel

FLAVOUR = os.environ.get("HOST_FLAVOUR", "")
pytestmark = pytest.mark.skipif(not FORGE, reason="A1111's own flow model, SD 3, samples with denoisers of its own kind")


@pytest.fixture(scope="module")
def region() -> StabilityRegion:
    """Made-up ordinary runs over the whole schedule, which starts at pure noise."""
    sigma, noise = np.linspace(1.0, 0.001, 20), np.random.default_rng(0)
    scatter = [1 + 0.1 * noise.standard_normal((2, len(sigma))) for _ in range(160)]
    runs = [Trajectory(sigma, w, (0.5 + 0.05 * w) * rate, (0.4 + 0.05 * w) * clean) for w, (rate, clean) in zip(np.linspace(1, 15, 160), scatter)]
    return StabilityRegion("flow").fit(runs)


@pytest.fixture
def with_profile(region, tmp_path, monkeypatch):
    for name, distilled in (("Flow test", False), ("Distilled test", True)):
        profile = Profile(name, "calibrated", Model("any", "flow", distilled=distilled), region, region, 5.0 if distilled else 7.5)
        storage.write(profile, tmp_path / "profiles" / f"{name.split()[0].lower()}.json")
    monkeypatch.setattr(LIBRARY, "folders", (*LIBRARY.folders, tmp_path / "profiles"))


@pytest.mark.parametrize("probe", ["auto", "always"])
@pytest.mark.parametrize("prompt, negative", [("big red circle", "dark blue"), ("big red circle AND blue square", "")])
def test_without_guidance_the_probe_judges(generate, checkpoint, with_profile, probe, prompt, negative):
    checkpoint("flow", "flow")
    done = generate({"profile": "Auto", "probe": probe}, cfg_scale=1.0, prompt=prompt, negative_prompt=negative)
    assert verdict(done).verdict in ("stable", "mild", "strong") and verdict(done).detector == "probe"
    assert all(one["watch"] is None for one in generate.last()["images"][0]["first"]["trajectory"])


def test_without_guidance_and_probe_it_says_so(generate, checkpoint, with_profile):
    checkpoint("flow", "flow")
    done = generate({"profile": "Auto", "probe": "never"}, cfg_scale=1.0)
    assert (verdict(done).verdict, verdict(done).reason) == ("not judged", "flow model without guidance and no probe")
    assert "the second look is off. Set the second look to Auto" in panel.lines(done.infotexts[0])
    assert verdict(generate({"profile": "Auto", "probe": "never"}, cfg_scale=5.0)).reason == ""


@pytest.mark.parametrize("sampler", ["DDIM", "UniPC", "LCM", "Euler"])
@pytest.mark.parametrize("kind", ["sd3", "distilled"])
def test_samplers_that_are_not_made_for_flow_models(generate, checkpoint, with_profile, sampler, kind, logged):
    checkpoint("flow", kind)
    done = generate({"profile": "Auto", "mode": "damp"}, cfg_scale=1.0, sampler_name=sampler, scheduler="Simple")
    fit = sampler == "Euler" or (sampler == "LCM" and FLAVOUR == "neo")
    assert (verdict(done).reason == "sampler not made for flow models") is not fit
    assert pixels(done) == pixels(generate(None, cfg_scale=1.0, sampler_name=sampler, scheduler="Simple")) or fit


@pytest.mark.parametrize("kind", ["sd3", "distilled"])
def test_noise_levels_that_a_flow_model_does_not_know(generate, checkpoint, with_profile, kind):
    checkpoint("flow", kind)
    done = generate({"profile": "Auto"}, cfg_scale=1.0 if kind == "distilled" else 5.0, scheduler="Automatic")
    assert verdict(done).verdict != "stable" and verdict(done).reason


def test_with_guidance_but_no_profile(generate, checkpoint):
    checkpoint("flow", "flow")
    assert verdict(generate({"profile": "Auto"}, cfg_scale=5.0)).reason == "no profile"


def test_with_guidance_and_a_profile_it_is_judged(generate, checkpoint, with_profile):
    checkpoint("flow", "flow")
    done = generate({"profile": "Auto", "probe": "always"}, cfg_scale=5.0, steps=6)
    assert verdict(done).verdict in ("stable", "mild", "strong")
    seen = generate.last()["images"][0]["first"]["trajectory"]
    assert all(0 < one["sigma"] <= 1 for one in seen) and seen[0]["probe"] is not None
    assert generate.last()["profile"] == "Flow test (imported calibration)"
    assert pixels(done) == pixels(generate(None, cfg_scale=5.0, steps=6))


def test_a_calibration_reaches_the_last_level_of_every_schedule(generate, checkpoint, folder):  # noqa: F811
    checkpoint("flow", "flow")
    for options in ({"runs": 24}, {"sampler": "Euler", "batch_size": 20}):
        result = calibrated(**{**SMALL, **options})
        for schedule in ("Simple", "Normal", "Beta", "Karras", "Exponential"):
            done = generate({"profile": result["profile"], "probe": "never"}, cfg_scale=5.0, steps=8, scheduler=schedule)
            assert verdict(done).reason == "", (options, schedule)
        assert storage.read(folder / result["file"]).provenance["schedulers"] == ["Simple", "Normal", "Beta"]


def test_profiles_do_not_cross_over(generate, checkpoint, with_profile):
    assert verdict(generate({"profile": "Flow test"})).reason == "no profile"
    checkpoint("flow", "flow")
    assert verdict(generate({"profile": "Testbed"}, cfg_scale=5.0)).reason == "no profile"


def test_damping_works_there_too(generate, checkpoint, with_profile):
    checkpoint("flow", "flow")
    options = {"profile": "Auto", "mode": "damp", "sensitivity": "custom", "tau": 0.1, "probe": "never"}
    done, off = generate(options, cfg_scale=12.0, steps=6), generate(None, cfg_scale=12.0, steps=6)
    assert verdict(done).damped > 0 and pixels(done) != pixels(off)
