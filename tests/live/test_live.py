"""Against any running web UI that has the extension: ``pytest -m live --webui-url http://127.0.0.1:7860``."""

from __future__ import annotations

import io
import json

import pytest
from client import WebUI
from PIL import Image

from lib_stability.trail.infotext import parse_text, read
from lib_stability.webui.job.arguments import POSITIONS

pytestmark = pytest.mark.live
VERDICTS = ("stable", "mild", "strong", "not judged")


@pytest.fixture(scope="session")
def webui(request: pytest.FixtureRequest) -> WebUI:
    url = request.config.getoption("--webui-url")
    if not url:
        pytest.skip("needs --webui-url, the address of a running web UI")
    return WebUI(url, request.config.getoption("--webui-size"), request.config.getoption("--webui-auth"))


def last(webui) -> dict:
    return webui.get("/memorization-guard/v1/last")


def test_the_script_is_listed(webui):
    scripts = webui.get("/sdapi/v1/scripts")
    assert "memorization guard" in scripts["txt2img"] and "memorization guard" in scripts["img2img"]
    infos = [info for info in webui.get("/sdapi/v1/script-info") if info["name"] == "memorization guard"]
    assert {info["is_img2img"] for info in infos} == {True, False}
    assert all(info["is_alwayson"] and len(info["args"]) == len(POSITIONS) for info in infos)


@pytest.mark.parametrize("mode", ["report", "damp", "stop"])
def test_every_mode_leaves_a_verdict_in_infotext_and_png(webui, mode):
    reply = webui.txt2img({"mode": mode})
    settings, verdict, hires = reply.verdict()
    assert settings.enabled and settings.mode == mode and hires is None
    assert verdict.verdict in VERDICTS and "MG version" in reply.params()
    inside = Image.open(io.BytesIO(reply.files[0])).text["parameters"]
    assert read(parse_text(inside)[2]) == reply.verdict()
    seen = last(webui)
    (image,) = seen["images"]
    assert image["first"]["verdict"] == verdict.verdict and seen["settings"]["mode"] == mode
    if verdict.reason != "no profile":
        assert len(image["first"]["trajectory"]) == image["first"]["evaluations"] >= 1


def test_guard_off_leaves_no_trace(webui):
    without, off = webui.txt2img(), webui.txt2img({"enabled": False})
    assert off.guard_keys() == [] and off.pixels() == without.pixels()
    assert webui.txt2img([False]).guard_keys() == []


def test_reporting_changes_no_pixel(webui):
    for probe in ("never", "always"):
        assert webui.txt2img({"probe": probe}, negative_prompt="fog").pixels() == webui.txt2img(negative_prompt="fog").pixels()


def test_batches_and_iterations_keep_their_own_verdicts(webui):
    reply = webui.txt2img({}, batch_size=2, n_iter=2)
    own = [number for number in range(len(reply.infotexts)) if number >= reply.info["index_of_first_image"]]
    assert len(own) == 4
    said = [reply.verdict(number)[1] for number in own]
    seen = [image["first"] for image in last(webui)["images"]]
    assert [one.verdict for one in said] == [image["verdict"] for image in seen]
    for one, image in zip(said, seen):
        assert (one.score is None) == (image["score"] is None)
        if one.score is not None:
            assert one.score == pytest.approx(image["score"], rel=0.01, abs=0.001)


def test_hires_has_its_own_verdict(webui):
    hires = {"enable_hr": True, "hr_scale": 2.0, "hr_upscaler": webui.upscaler(), "denoising_strength": 0.6, "hr_second_pass_steps": 4, "hr_cfg": 5.0}
    reply = webui.txt2img({}, **hires)
    _, first, hires = reply.verdict()
    assert first.verdict in VERDICTS and hires.verdict in VERDICTS
    (image,) = last(webui)["images"]
    assert image["hires"]["evaluations"] >= 1
    judged = image["hires"]["trajectory"]
    if judged:
        assert judged[0]["sigma"] < image["first"]["trajectory"][0]["sigma"]


def test_img2img(webui):
    start = webui.txt2img().files[0]
    reply = webui.img2img(start, {}, denoising_strength=0.5)
    assert reply.verdict()[1].verdict in VERDICTS
    assert webui.img2img(start, {"enabled": False}, denoising_strength=0.5).pixels() == webui.img2img(start, denoising_strength=0.5).pixels()


def test_every_sampler(webui):
    names, silent = [sampler["name"] for sampler in webui.get("/sdapi/v1/samplers")], []
    assert names
    for name in names:
        status, data = webui.call("/sdapi/v1/txt2img", webui.body({"mode": "damp"}, sampler_name=name))
        if status != 200:  # some hosts list samplers that they cannot run with this checkpoint: not with the guard off either
            assert webui.call("/sdapi/v1/txt2img", webui.body(sampler_name=name))[0] == status, (name, data)
            continue
        params = parse_text(json.loads(data["info"])["infotexts"][0])[2]
        if params.get("MG verdict") is None or "error" in params["MG verdict"] or "nothing sampled" in params["MG verdict"]:
            silent.append((name, params.get("MG verdict")))
    assert silent == []


@pytest.mark.parametrize(
    "args, field",
    [
        ([{"mode": "explode"}], "mode"),
        ([{"sensitivity": 3}], "sensitivity"),
        ([{"tau": "high"}], "tau"),
        ([{"strength": 1e9}], "strength"),
        ([{"profile": "../../etc/passwd"}], "profile"),
        ([{"probe_evaluations": 99}], "probe_evaluations"),
        ([{"enabled": "yes"}], "enabled"),
        ([{"colour": "red"}], "colour"),
        ([True, "report", "extreme"], "sensitivity"),
        ({"enabled": True}, "args"),
    ],
)
def test_bad_arguments_are_refused_by_name(webui, args, field):
    body = webui.body()
    body["alwayson_scripts"] = {"Memorization Guard": {"args": args}}
    for path in ("/sdapi/v1/txt2img", "/sdapi/v1/img2img"):
        status, data = webui.call(path, body)
        assert status == 422, data
        assert field in json.dumps(data["detail"])


@pytest.mark.parametrize(
    "args",
    [True, [True], [True, "Damp", "High"], [{"enabled": True}], [True, *["Report", "Medium", 3.0, "Directional", 3.0, "Auto", "Auto", 2.0]]],
)
def test_arguments_in_every_shape(webui, args):
    assert webui.txt2img(args).verdict()[0].enabled


def test_settings_are_pasted_back(webui):
    plain = webui.txt2img()
    if webui.call("/sdapi/v1/txt2img", webui.body(infotext=plain.infotexts[0]))[0] == 500:
        pytest.skip("this host's own infotext field fails, with or without the guard")
    made = webui.txt2img({"mode": "damp", "sensitivity": "high", "damping": "radial"})
    again = webui.txt2img(infotext=made.infotexts[0])
    settings = again.verdict()[0]
    assert (settings.enabled, settings.mode, settings.sensitivity, settings.damping) == (True, "damp", "high", "radial")
    assert again.pixels() == made.pixels()
    assert webui.txt2img(infotext=plain.infotexts[0]).guard_keys() == []


def test_profiles_are_listed(webui):
    found = {profile["name"]: profile for profile in webui.get("/memorization-guard/v1/profiles")["profiles"]}
    assert {"calibrated", "prior"} == {profile["kind"] for profile in found.values()}
    assert all(0 < one["levels"]["medium"]["false_alarms"] < 0.05 for one in found.values())


def test_routes_are_protected_like_the_host(webui):
    if not webui.account:
        pytest.skip("the web UI runs without --api-auth")
    bare = {"Content-Type": "application/json"}
    assert webui.call("/sdapi/v1/samplers", headers=bare)[0] == 401
    for path in ("profiles", "last"):
        assert webui.call(f"/memorization-guard/v1/{path}", headers=bare)[0] == 401
