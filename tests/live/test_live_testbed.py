"""Calibration and scan through the API of a running web UI that has the exported testbed loaded (``testbed export``); skipped with any other."""

from __future__ import annotations

import time
import urllib.parse

import pytest
from client import WebUI

from lib_stability.testbed.world.kinds import memorized, ordinary_samples

pytestmark = pytest.mark.live
#: Checkpoints of ``testbed export`` and ``testbed export --forge``, and the bundled profile of each.
EXPORTED = {
    "088ce10b97b501dabcfba12cca4a4a50ae95545cbf9cde094aca21d613638fcc": "Testbed",
    "f35531e2e28f3df4b6ba67434737f4203411a02adb937e6f8370e24e6e1df724": "Testbed for Forge",
}
ROUTES = "/memorization-guard/v1"
SIZE = {"width": 128, "height": 128}


@pytest.fixture(scope="module")
def testbed(request: pytest.FixtureRequest) -> WebUI:
    url = request.config.getoption("--webui-url")
    if not url:
        pytest.skip("needs --webui-url, the address of a running web UI")
    webui = WebUI(url, 128, request.config.getoption("--webui-auth"))
    webui.patience, webui.runs = request.config.getoption("--webui-patience"), request.config.getoption("--webui-runs")
    status, options = webui.call("/sdapi/v1/options")
    said = f"{options.get('sd_checkpoint_hash')} {options.get('sd_model_checkpoint')}" if status == 200 else ""
    webui.sha256 = next((sha256 for sha256 in EXPORTED if sha256[:10] in said), None)
    if webui.sha256 is None:
        pytest.skip("the exported testbed is not the loaded checkpoint")
    return webui


@pytest.fixture
def clean(testbed):
    """Takes away what a calibration wrote: the version before comes back, where there was none the profile is deleted."""
    made: list[str] = []
    yield made
    for name in made:
        older = testbed.get(f"{ROUTES}/profiles/versions?{urllib.parse.urlencode({'name': name})}")["versions"]
        status, answer = testbed.call(f"{ROUTES}/profiles/{'back' if older else 'delete'}", {"name": name})
        assert status == 200, answer


def finished(webui: WebUI, kind: str, body: dict) -> dict:
    """Start a task and wait for its end."""
    status, answer = webui.call(f"{ROUTES}/{kind}", body)
    assert status == 202, answer
    for _ in range(2 * webui.patience):
        progress = webui.get(f"{ROUTES}/{kind}")
        assert progress["id"] == answer["id"]
        if progress["state"] != "running":
            return progress
        time.sleep(0.5)
    raise AssertionError(f"{kind} does not end: {progress}")


def test_the_bundled_profile_serves_it_and_tells_copies(testbed):
    for caption, flagged in ((memorized()[0].caption, True), ("small blue square", False)):
        verdict = testbed.txt2img({"profile": EXPORTED[testbed.sha256]}, prompt=caption, steps=20, cfg_scale=7.5).verdict()[1]
        assert verdict.flagged is flagged


def test_bad_tasks_are_refused_by_name(testbed):
    for kind, body, field in (("calibrate", {"runs": 0}, "runs"), ("calibrate", {"colour": 1}, "colour"), ("scan", {"captions": []}, "captions")):
        status, answer = testbed.call(f"{ROUTES}/{kind}", body)
        assert status == 422 and field in str(answer["detail"])


def test_calibration_makes_a_profile_that_serves_whoever_names_it(testbed, clean):
    """Of a hundred runs it may or may not serve the checkpoint: where the bundled profile is its own, that rests on more."""
    prompts = [caption for caption, _ in ordinary_samples(testbed.runs, 1_000_000, "calibration")]
    done = finished(testbed, "calibrate", {"runs": testbed.runs, "steps": 20, "batch_size": 8, "prompts": prompts, **SIZE})
    assert done["state"] == "done", done
    name = done["result"]["profile"]
    clean.append(name)
    listed = {profile["name"]: profile for profile in testbed.get(f"{ROUTES}/profiles")["profiles"]}
    assert listed[name]["model"]["sha256"] == testbed.sha256 and listed[name]["kind"] == "calibrated"
    assert listed[name]["origin"] == "own" and listed[name]["trial"] == ""
    answer = testbed.txt2img({"profile": name}, prompt=memorized()[0].caption, steps=20, cfg_scale=7.5)
    assert answer.verdict()[1].flagged and answer.params()["MG region"] == f"{name} (own calibration)"
    assert testbed.get(f"{ROUTES}/last")["profile"] == f"{name} (own calibration)"
    assert testbed.get(f"{ROUTES}/last")["judged_by"][0]["origin"] == "own"


def test_the_scan_finds_the_memorized_captions_alone(testbed):
    copies = [item.caption for item in memorized()[::4]]
    ordinary = [caption for caption, _ in ordinary_samples(24, 9, "evaluation")]
    done = finished(testbed, "scan", {"captions": copies + ordinary, "seeds": 2, **SIZE})
    assert done["state"] == "done", done
    ranked = [row["caption"] for row in sorted(done["result"]["rows"], key=lambda row: -row["median"])]
    assert set(ranked[: len(copies)]) == set(copies)


def test_a_running_task_can_be_cancelled(testbed):
    assert testbed.call(f"{ROUTES}/calibrate", {"runs": 400, **SIZE})[0] == 202
    assert testbed.call(f"{ROUTES}/scan", {"captions": ["small blue square"]})[0] == 409
    import urllib.request

    request = urllib.request.Request(f"{testbed.url}{ROUTES}/calibrate", headers=testbed.headers, method="DELETE")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200
    for _ in range(60):
        state = testbed.get(f"{ROUTES}/calibrate")["state"]
        if state != "running":
            break
        time.sleep(0.5)
    assert state == "cancelled"
