"""Calibration of the loaded checkpoint through the host: what it finds, and everything that may go wrong with it."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

import numpy
import pytest
import torch
from conftest import FORGE

from lib_stability.guard import sensitivity
from lib_stability.guard.norms import Norms
from lib_stability.profile import own_profiles, own_prompts, storage
from lib_stability.testbed.world.kinds import memorized, ordinary_samples
from lib_stability.validation import ValidationError
from lib_stability.webui.host import sampling
from lib_stability.webui.job import library, recording
from lib_stability.webui.tasks import background, calibrating

ORDINARY = [caption for caption, _ in ordinary_samples(60, 1_000_000, "calibration")]
SMALL = {"runs": 20, "width": 64, "height": 64, "steps": 4, "batch_size": 4, "prompts": ORDINARY}


@pytest.fixture
def folder(tmp_path, monkeypatch, host):
    """An empty folder of the user's in place of the real one."""
    user = tmp_path / "user"
    monkeypatch.setattr(library.LIBRARY, "folders", (library.BUNDLED, user))
    yield user
    for task in background._running.values():
        task.cancel()
        assert task.wait(60)


def calibrated(**options) -> dict:
    task = calibrating.task(calibrating.Options.parse({**SMALL, **options})).start()
    assert task.wait(300) and task.state == "done", task.to_json()
    return task.result


def scores(region, runs) -> list[float]:
    found = []
    for run in runs:
        sigma, guidance, rate, clean = (torch.tensor(value, dtype=torch.float32) for value in (run.sigma, run.guidance, run.rate, run.clean))
        found.append(float(region.z_scores(Norms(rate, clean), sigma, guidance).score.max()))
    return found


def test_a_calibration_tells_memorized_from_ordinary(folder, host):
    evaluations = host.shared.sd_model.evaluations
    result = calibrated(runs=24, width=128, height=128, steps=12)
    evaluations = host.shared.sd_model.evaluations - evaluations
    model = host.shared.sd_model.sd_checkpoint_info
    assert result["profile"] == f"{model.name_for_extra}-{model.sha256[:10]}-trial" and result["runs"] == 24
    profile = storage.read(folder / result["file"])
    assert (profile.model.sha256, profile.model.family, profile.model.prediction) == (model.sha256, "sd1", "epsilon")
    assert {"samplers", "steps", "size", "guidance", "left_out", "left_out_rule", "prompts_sha256"} <= set(profile.provenance)
    assert profile.provenance["size"] == "128x128" and profile.provenance["samplers"] == list(calibrating.SAMPLERS)
    # So few runs make a trial, which serves whoever asks for it.
    assert library.LIBRARY.serve("Auto", profile.model).profile.name == "SD 1.x prior"
    assert library.LIBRARY.serve(profile.name, profile.model).profile.standing == "own trial"
    assert result["trial"] == "only 24 reference runs" and "serves only where the setting Profile names it" in result["changes"][-1]
    # Six batches of twelve steps, three of them by second-order samplers at most: two calls each, whatever the guidance.
    assert evaluations <= 2 * 6 * 12 * 2
    unseen = [caption for caption, _ in ordinary_samples(12, 77, "evaluation")]
    groups = []
    for captions in (unseen, [one.caption for one in memorized()[:12]]):
        record = recording.Recording([7.5] * len(captions))
        sampling.sample(record, captions, list(range(len(captions))), "Euler", 8, (128, 128))
        groups.append([scores(region, runs) for region, runs in zip((profile.watch, profile.probe), record.trajectories())])
    for ordinary, copies, region in zip(*groups, (profile.watch, profile.probe)):
        assert max(ordinary) < min(copies) and max(ordinary) < sensitivity.thresholds(region, "medium").mild


MANY = {"runs": 100, "batch_size": 20, "prompts": [caption for caption, _ in ordinary_samples(100, 1_000_000, "calibration")]}
#: The first twenty memorized captions of the testbed.
MEMORIZED = [one.caption for one in memorized()[:20]]


def flagged(host, captions: list[str]) -> int:
    """How many of these the profile that serves now flags, as a generation at guidance 7.5 would."""
    judge = library.LIBRARY.serve("Auto", calibrating.checkpoint()).profile
    record = recording.Recording([7.5] * len(captions))
    sampling.sample(record, captions, list(range(len(captions))), "Euler", 8, (128, 128))
    return own_prompts.judged(judge, *record.trajectories())


@pytest.mark.parametrize("runs", [40, 100])
def test_memorized_prompts_make_no_profile(folder, host, logged, runs):
    """A calibration on them alone said stable of 12 of 12 memorized captions."""
    captions = MEMORIZED[:12]
    assert flagged(host, captions) >= 11
    task = calibrating.task(calibrating.Options.parse({"runs": runs, "steps": 6, "width": 128, "height": 128, "prompts": MEMORIZED})).start()
    assert task.wait(300) and task.state == "failed" and not folder.exists()
    assert "refused: SD 1.x prior (bundled prior) flags " in task.error and "look like ones whose pictures the model has memorized" in task.error
    assert task.done < runs - 4  # nobody waits for the rest
    assert flagged(host, captions) >= 11
    logged.clear()


def test_memorized_prompts_are_seen_by_a_calibration_that_serves(folder, host, logged):
    calibrated(**{**MANY, "width": 128, "height": 128, "steps": 6, "batch_size": 10})
    task = calibrating.task(calibrating.Options.parse({**SMALL, "runs": 40, "steps": 6, "width": 128, "height": 128, "prompts": MEMORIZED})).start()
    assert task.wait(300) and task.state == "failed" and "(own calibration) flags" in task.error and len(list(folder.glob("*.json"))) == 1
    logged.clear()


def test_copies_of_one_prompt_are_refused_before_anything_runs(folder, host, logged):
    evaluations = host.shared.sd_model.evaluations
    prompts = [f"{ORDINARY[0]} on the left of a long wall that is painted in green, view {number}" for number in range(30)]
    for own, said in ((prompts, "say nearly the same"), (ORDINARY[:5], "too few for 20 runs")):
        task = calibrating.task(calibrating.Options.parse({**SMALL, "prompts": own})).start()
        assert task.wait(60) and task.state == "failed" and said in task.error
    assert host.shared.sd_model.evaluations == evaluations and not folder.exists()
    logged.clear()


def test_better_evidence_stays_and_what_is_replaced_is_kept(folder, host):
    first = calibrated(**MANY)
    name = first["profile"]
    assert library.LIBRARY.serve("Auto", calibrating.checkpoint()).profile.standing == "own calibration" and first["trial"] == ""
    assert "in place of SD 1.x prior (bundled prior)" in first["changes"][0]
    trial = calibrated()
    assert trial["profile"] == f"{name}-trial" and library.LIBRARY.serve("Auto", calibrating.checkpoint()).profile.name == name
    before = storage.read(folder / first["file"]).to_json()
    again = calibrated(**MANY, steps=5)
    assert (again["profile"], again["file"]) == (name, first["file"]) and "It replaces" in again["changes"][0]
    assert storage.read(folder / first["file"]).to_json() != before
    assert own_profiles.back(name, folder).to_json() == before == storage.read(folder / first["file"]).to_json()
    # Beside one of four times as many runs, made up here, the smaller one stands and does not serve.
    model, more = calibrating.checkpoint(), storage.read(folder / first["file"])
    more.watch.scores_ = more.probe.scores_ = numpy.linspace(-1, 3, 400)
    storage.write(more, folder / first["file"])
    assert calibrating.profile_name(model, runs=400) == name and calibrating.profile_name(model, runs=100) == f"{name}-100-runs"
    found = calibrating.outlook(calibrating.Options(runs=100))
    assert found.displaced == [] and "goes on serving" in found.lines[0]


def test_a_negative_prompts_calibration_serves_after_the_plain_one(folder, host):
    calibrated(**MANY, negative_prompt="dark blue")
    assert library.LIBRARY.serve("Auto", calibrating.checkpoint()).profile.negative != ""
    calibrated(**MANY)
    assert library.LIBRARY.serve("Auto", calibrating.checkpoint()).profile.negative == ""


@pytest.mark.parametrize("name", ["DPM2 a", "DDIM"])
def test_a_calibration_can_keep_to_one_sampler(folder, host, name):
    result = calibrated(sampler=name, steps=6)
    assert result["options"]["sampler"] == name
    assert storage.read(folder / result["file"]).provenance["samplers"] == [name]


def test_a_recorded_run_is_the_ordinary_one(folder, host, generate):
    """At one scale for all, the trajectory is that of the host's own guidance."""
    generate({"probe": "always"}, prompt="small blue square", seed=5, steps=6, sampler_name="DPM++ 2M")
    seen = generate.last()["images"][0]["first"]["trajectory"]
    record = recording.Recording([7.0])
    sampling.sample(record, ["small blue square"], [5], "DPM++ 2M", 6, (64, 64))
    (watch,), _ = record.trajectories()
    assert watch.sigma == pytest.approx([one["sigma"] for one in seen], rel=1e-4)
    for name in ("rate", "clean"):
        assert getattr(watch, name) == pytest.approx([one[name] for one in seen], rel=0.02)


def test_nothing_is_saved_or_decoded(folder, host, options, tmp_path, monkeypatch):
    monkeypatch.setattr(type(host.shared.sd_model), "decode_first_stage", lambda *_: pytest.fail("decoded"))
    before = (options.data.copy(), host.shared.cmd_opts.no_prompt_history)
    calibrated()
    assert [path.name for path in tmp_path.iterdir()] == ["user"] and len(list(folder.iterdir())) == 1
    assert (options.data, host.shared.cmd_opts.no_prompt_history) == before


def test_a_negative_prompt_of_the_users_own(folder, host):
    result = calibrated(negative_prompt=" dark blue ")
    profile = storage.read(folder / result["file"])
    assert len(profile.negative) == 64 and profile.name.count("-") == 3


def test_flow_models_and_others(folder, host, checkpoint):
    checkpoint("a b/../flux", "flow" if FORGE else "v")
    if FORGE:  # no noisier than what the testbed's network was trained on
        network = host.shared.sd_model.forge_objects.unet.model
        real = network.apply_model
        network.apply_model = lambda x, sigma, cond: real(x, sigma.clamp(max=0.936), cond)
    result = calibrated()
    profile = storage.read(folder / result["file"])
    assert profile.model.prediction == ("flow" if FORGE else "v") and profile.watch.parameterisation == ("flow" if FORGE else "sigma")
    assert result["file"].startswith("a-b-flux-")


def test_out_of_memory_halves_the_batch(folder, host, monkeypatch):
    model, seen = type(host.shared.sd_model), []
    real = model._epsilon

    def full(self, z, t, cross):
        seen.append(len(z))
        if len(z) > 2 * (2 if not FORGE else 1):
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, z, t, cross)

    monkeypatch.setattr(model, "_epsilon", full)
    result = calibrated(batch_size=8, runs=24)
    assert result["runs"] == 24 and result["batch_size"] in (1, 2) and max(seen) > 2
    monkeypatch.setattr(model, "_epsilon", lambda *_: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")))


def test_memory_that_never_suffices_fails(folder, host, monkeypatch, logged):
    def never(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(type(host.shared.sd_model), "_epsilon", never)
    task = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.wait(60) and task.state == "failed" and "out of memory" in task.error
    assert not folder.exists() and logged.pop().exc_info


def wait_for(condition) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_cancelling_keeps_nothing(folder, host):
    task = calibrating.task(calibrating.Options.parse({**SMALL, "runs": 400})).start()
    wait_for(lambda: task.done > 0)
    again = calibrating.task(calibrating.Options.parse(SMALL))
    with pytest.raises(background.Busy, match="calibration is running"):
        again.start()
    assert task.to_json()["seconds_left"] is None or task.to_json()["seconds_left"] > 0
    task.cancel()
    assert task.wait(30) and task.state == "cancelled" and not folder.exists()
    assert again.start().wait(60) and again.state == "done"


def test_the_hosts_interrupt_cancels(folder, host):
    task = calibrating.task(calibrating.Options.parse({**SMALL, "runs": 400})).start()
    wait_for(lambda: task.done > 0)
    while task.state == "running":
        host.shared.state.interrupted = True
        time.sleep(0.005)
    assert task.wait(30) and (task.state, task.error) == ("cancelled", "interrupted in the web UI") and not folder.exists()


def test_another_checkpoint_meanwhile_ends_it(folder, host, checkpoint, logged):
    task = calibrating.task(calibrating.Options.parse({**SMALL, "runs": 400})).start()
    wait_for(lambda: task.done > 0)
    checkpoint("another", "sd1")
    assert task.wait(30) and task.state == "failed" and "from testbed to another" in task.error and not folder.exists()
    logged.clear()


def test_generations_go_on_between_two_batches(folder, host):
    from modules.call_queue import queue_lock

    task = calibrating.task(calibrating.Options.parse({**SMALL, "runs": 40})).start()
    wait_for(lambda: task.done > 0)
    with queue_lock:
        time.sleep(0.1)
        done = task.done
        time.sleep(0.3)
        assert task.done == done and task.state == "running"
    assert task.wait(60) and task.state == "done"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"runs": 3}, "runs"),
        ({"runs": True}, "runs"),
        ({"steps": "20"}, "steps"),
        ({"width": 100}, "width"),
        ({"height": 1e9}, "height"),
        ({"batch_size": 0}, "batch_size"),
        ({"negative_prompt": 7}, "negative_prompt"),
        ({"prompts": "a cat"}, "prompts"),
        ({"prompts": ["a cat", 7]}, r"prompts\[1\]"),
        ({"sampler": "Euler b"}, "sampler"),
        ({"sampler": ["Euler"]}, "sampler"),
        ({"folder": "/tmp"}, "folder"),
        ([], "body"),
    ],
)
def test_bad_options_name_their_field(host, body, field):
    with pytest.raises(ValidationError, match=rf"^{field}: "):
        calibrating.Options.parse(body)


def call(server: str, method: str, path: str, body: object = None) -> tuple[int, dict]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server}/memorization-guard/v1/{path}", data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_over_http(folder, server):
    status, answer = call(server, "POST", "calibrate", {"runs": "many"})
    assert status == 422 and answer["detail"][0]["loc"] == ["body", "runs"]
    assert call(server, "POST", "calibrate", [1])[0] == call(server, "POST", "calibrate")[0] == 422
    assert call(server, "DELETE", "calibrate")[0] == 404
    status, answer = call(server, "POST", "calibrate", SMALL)
    assert status == 202
    assert call(server, "POST", "scan", {"captions": ["a"]})[0] == 409
    wait_for(lambda: call(server, "GET", "calibrate")[1]["state"] != "running")
    status, progress = call(server, "GET", "calibrate")
    assert (status, progress["state"], progress["id"], progress["done"]) == (200, "done", answer["id"], SMALL["runs"])
    names = [one["name"] for one in call(server, "GET", "profiles")[1]["profiles"]]
    assert progress["result"]["profile"] in names
    assert call(server, "POST", "calibrate", {**SMALL, "runs": 400})[0] == 202
    assert call(server, "DELETE", "calibrate")[1]["state"] in ("running", "cancelled")
    wait_for(lambda: call(server, "GET", "calibrate")[1]["state"] == "cancelled")


def test_batches_follow_one_another_within_turns():
    parts, full = [], threading.Event()

    def work(part: slice) -> None:
        if part.stop - part.start > 2 and full.is_set():
            raise RuntimeError("out of memory")
        parts.append((part.start, part.stop))
        full.set()

    assert sampling.in_batches(11, 4, work) == 2
    assert parts == [(0, 4), (4, 6), (6, 8), (8, 10), (10, 11)]
