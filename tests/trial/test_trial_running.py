"""A trial from beginning to end against a web UI that is made up: what is asked for, kept, judged and told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from trial_fixtures import LEVELS, PLAN, FakeWebui, encoded, picture

from lib_stability.match import likeness
from lib_stability.trial import copies, figures, generating, page, report, running, sharing
from lib_stability.trial.generating import Webui
from lib_stability.trial.plan import Plan, Setting, grid, key
from lib_stability.trial.store import ROWS, Store, picture_of
from lib_stability.validation import ValidationError


def never() -> str:
    raise AssertionError("nothing was to be calibrated")


def tried(folder, plan: Plan = PLAN, server: FakeWebui | None = None, calibrate=never) -> Store:
    store = Store(folder, plan)
    running.run(Webui(server or FakeWebui(), plan), store, calibrate)
    return store


def concluded(store: Store, plan: Plan = PLAN, **options) -> tuple[dict, list[dict]]:
    judged = running.Judged(store, **options)
    return report.result(plan, judged.rows, judged.how, len(store.done)), judged.rows


def test_the_grid_has_every_combination_and_schedules():
    found = grid(["Euler a", "DPM++ 2M/Karras"], [20, 30], [7.5], ["", "fog"])
    assert len(found) == 8 and Setting("DPM++ 2M", "Karras", 30, 7.5, "fog") in found and Setting("Euler a", "", 20, 7.5, "") in found


def test_every_image_is_asked_for_once_with_seeds_of_its_own(tmp_path):
    server = FakeWebui()
    store = tried(tmp_path, server=server)
    assert len(store.rows) == PLAN.images() == len({key(row) for row in store.rows}) == 14 * 2 * 2 + 4 * 2
    by_prompt = {}
    for body in server.asked:
        by_prompt.setdefault(body["prompt"], set()).update(body["seed"] + n for n in range(body["batch_size"]))
    seeds = [seed for each in by_prompt.values() for seed in each]
    assert len(seeds) == len(set(seeds)) == 28
    assert {body["alwayson_scripts"]["Memorization Guard"]["args"][0].get("mode") for body in server.asked} == {None, "report", "damp"}
    first, second = server.asked[0], server.asked[2]
    assert first["prompt"].startswith("copy") and second["prompt"].startswith("plain")  # both sets from the beginning


def test_figures_of_a_guard_that_is_right(tmp_path):
    found, rows = concluded(tried(tmp_path))
    (entry,) = found["table"]
    assert (entry["memorized"], entry["ordinary"], entry["not_judged"]) == (4, 24, 0.0)
    assert entry["auc"] == entry["tpr_at_1pct_fpr"] == entry["of_copies"]["auc"] == 1.0
    assert entry["levels"]["medium"] == {"caught": 1.0, "false_alarms": 0.0} and entry["flagged"] == {"memorized": 1.0, "ordinary": 0.0}
    assert entry["copies"]["report"] == {"memorized": 1.0, "ordinary": 0.0} and entry["copies"]["damp"]["memorized"] == 0.0
    assert entry["cost"]["evaluations"] == 2 and entry["cost"]["looks"] == 1 and entry["cost"]["damped"] == {"memorized": 5.0, "ordinary": 0.0}
    assert all(value is not None for value in entry["cost"]["seconds"].values())
    assert found["checkpoint"] == "0123456789" and found["profiles"] == {"before": ["own calibration, 200 runs"]}
    strong = next(row for row in rows if row["set"] == "memorized" and row["mode"] == "report")
    assert [strong["levels"][level] * LEVELS[level]["threshold"] for level in ("low", "medium")] == pytest.approx([strong["score"]] * 2, rel=1e-3)


def test_false_alarms_are_counted_at_every_level_from_one_run():
    def row(kind: str, watch: float, verdict: str = "stable") -> dict:
        levels = {level: watch / one["threshold"] for level, one in LEVELS.items()}
        shared = {"mode": "report", "set": kind, "prompt": 0, "seed": 0, "seconds": 1.0, "evaluations": 5, "looks": 1, "damped": 0}
        return {**shared, "verdict": verdict, "score": watch, "levels": levels}

    rows = [row("ordinary", score) for score in (1.0, 2.5, 3.5, 5.0)] + [row("memorized", 4.5)]
    levels = figures.entry(rows)["levels"]
    assert [levels[name]["false_alarms"] for name in ("low", "medium", "high")] == [0.25, 0.5, 0.75]
    assert figures.entry([*rows, row("ordinary", 1.0, "not judged") | {"levels": None}])["not_judged"] == pytest.approx(1 / 6)


def test_a_trial_goes_on_where_it_was_broken_off(tmp_path):
    server = FakeWebui()
    server.failing = []
    real, count = server.generate, []

    def broken(body: dict) -> dict:
        count.append(1)
        if len(count) == 9:
            raise KeyboardInterrupt
        return real(body)

    server.generate = broken
    with pytest.raises(KeyboardInterrupt):
        tried(tmp_path, server=server)
    with (tmp_path / ROWS).open("a") as file:
        file.write('{"phase": "before", "mo')  # a line that was cut off
    before = Store(tmp_path, PLAN)
    assert 0 < len(before.rows) < PLAN.images()
    again = FakeWebui()
    store = tried(tmp_path, server=again)
    assert len(store.rows) == PLAN.images() and sum(body["batch_size"] for body in again.asked) == PLAN.images() - len(before.rows)
    assert len(Store(tmp_path, PLAN).rows) == PLAN.images()
    assert tried(tmp_path, server=(idle := FakeWebui())).rows and idle.asked == []


@pytest.mark.parametrize(
    ("other", "said"), [({"seeds": 3}, "seeds"), ({"ordinary": ("x",)}, "ordinary"), ({"settings": (Setting(steps=9),)}, "settings")]
)
def test_another_trial_does_not_go_into_the_same_folder(tmp_path, other, said):
    tried(tmp_path)
    with pytest.raises(ValueError, match=f"another choice of {said}"):
        Store(tmp_path, replace(PLAN, **other))
    Store(tmp_path, replace(PLAN, batch_size=1))  # how many at a time changes nothing


def test_another_checkpoint_ends_the_trial(tmp_path):
    server = FakeWebui()
    webui, store = Webui(server, PLAN), Store(tmp_path, PLAN)
    store.add(webui.generate(next(PLAN.requests("before"))))
    server.model = "abcdef"
    with pytest.raises(ValueError, match=r"checkpoint has changed .*0123456789 then, abcdef now"):
        running.run(webui, store, never)


def test_before_and_after_a_calibration(tmp_path):
    plan, server, calls = replace(PLAN, calibrate=200), FakeWebui(), []

    def calibrate() -> str:
        calls.append(len(server.asked))
        return "Mine"

    store = tried(tmp_path, plan, server, calibrate)
    assert len(calls) == 1 and {row["phase"] for row in store.rows} == {"before", "after"}
    guards = [body["alwayson_scripts"]["Memorization Guard"]["args"][0] for body in server.asked]
    assert all("profile" not in one for one in guards[: calls[0]]) and all(one["profile"] == "Mine" for one in guards[calls[0] :])
    found, _ = concluded(store, plan)
    assert [one["phase"] for one in found["table"]] == ["before", "after"] and set(found["profiles"]) == {"before", "after"}
    # Begun again, it is not calibrated once more.
    tried(tmp_path, plan, server, never)


def test_a_batch_too_large_for_the_memory_is_halved(tmp_path):
    server = FakeWebui()
    server.failing = [ValueError("OutOfMemoryError: no more")]
    made = Webui(server, PLAN).generate(next(PLAN.requests("before")))
    assert len(made) == 2 and [body["batch_size"] for body in server.asked] == [1, 1]
    server.failing = [ValueError("sampler not found")]
    with pytest.raises(ValueError, match="sampler"):
        Webui(server, PLAN).generate(next(PLAN.requests("before")))


def test_silence_is_waited_for_and_then_said(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "PAUSE", 0.0)
    server = FakeWebui()
    server.failing = [ConnectionError("gone")] * 3
    assert len(tried(tmp_path / "a", server=server).rows) == PLAN.images()
    server.failing = [ConnectionError("gone")] * (running.ATTEMPTS + 1)
    with pytest.raises(ConnectionError):
        tried(tmp_path / "b", server=server)


def test_a_grid_before_the_pictures_is_left_out():
    server = FakeWebui()
    server.grid = True
    made = Webui(server, PLAN).generate(next(PLAN.requests("before")))
    assert [one.row["seed"] for one in made] == [1, 2]
    assert made[1].picture.tobytes() == picture("copy one", 2).tobytes()


def test_the_record_of_somebody_elses_job_is_not_taken(monkeypatch):
    monkeypatch.setattr(generating.time, "sleep", lambda seconds: None)
    server = FakeWebui()
    real = server.generate

    def meanwhile(body: dict) -> dict:
        answer = real(body)
        server.last["images"][0]["seed"] = 99
        return answer

    server.generate = meanwhile
    (first, _) = Webui(server, PLAN).generate(next(PLAN.requests("before")))
    assert first.row["verdict"] == "strong" and first.row["levels"] is None and first.row["profile"] == ""


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: answer.pop("info"),
        lambda answer: answer["images"].pop(),
        lambda answer: answer["images"].__setitem__(0, "bm8="),
        lambda answer: answer.__setitem__("info", '{"infotexts": 3}'),
        lambda answer: answer.__setitem__("info", json.dumps(json.loads(answer["info"]) | {"all_seeds": [5, 6]})),
        lambda answer: answer["images"].__setitem__(0, encoded(Image.new("RGB", (9000, 9000)))),
    ],
    ids=["no info", "a picture less", "no picture", "odd info", "other seeds", "too large"],
)
def test_answers_that_make_no_sense_are_refused(spoil):
    server = FakeWebui()
    real = server.generate

    def broken(body: dict) -> dict:
        answer = real(body)
        spoil(answer)
        return answer

    server.generate = broken
    with pytest.raises(ValueError, match="makes no sense"):
        Webui(server, PLAN).generate(next(PLAN.requests("before")))


def test_prompts_go_as_text_unless_their_syntax_is_wanted():
    plan = replace(PLAN, memorized=("Up (1985)",))
    assert Webui(FakeWebui(), plan).body(next(plan.requests("before")))["prompt"] == r"Up \(1985\)"
    plan = replace(plan, syntax=True)
    assert Webui(FakeWebui(), plan).body(next(plan.requests("before")))["prompt"] == "Up (1985)"


def test_the_estimate_counts_what_is_missing():
    plan = replace(PLAN, settings=(Setting(steps=5), Setting("Heun", steps=10)))
    pace = {(sampler, mode): cost for sampler, cost in (("Euler", 1.0), ("Heun", 2.0)) for mode in ("off", "report", "damp")}
    whole = generating.estimate(plan, pace)
    assert whole == (28 * 2 + 8) * 5 * 1.0 + (28 * 2 + 8) * 10 * 2.0
    done = set(next(plan.requests("before")).images())
    assert generating.estimate(plan, pace, done) == whole - 2 * 5
    server = FakeWebui()
    found = generating.pace(Webui(server, plan))
    assert set(found) == set(pace) and {body["steps"] for body in server.asked} == {4}


# -- copies ------------------------------------------------------------------------------------------------------------------------------


def test_copies_by_originals_say_how_good_the_seeds_would_have_been(tmp_path):
    (tmp_path / "originals" / "deep").mkdir(parents=True)
    picture("copy one", 5).save(tmp_path / "originals" / "deep" / "one.png")
    found, rows = concluded(tried(tmp_path / "out"), originals=tmp_path / "originals")
    assert found["copies"]["against"] == "originals" and found["copies"]["proxy"]["copies"] == 2
    copied = {(row["set"], row["prompt"], row["mode"]) for row in rows if row.get("copy")}
    assert copied == {("memorized", 0, "report")}
    # The second memorized prompt's copies have no original here: agreement finds them, which counts as wrong.
    assert found["copies"]["proxy"]["found"] == 1.0 and found["copies"]["proxy"]["wrong"] == pytest.approx(2 / 54)


def test_an_empty_folder_of_originals_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no picture"):
        running.check_judges(None, tmp_path / "none")


def test_one_seed_cannot_tell_copies_without_originals(tmp_path):
    plan = replace(PLAN, seeds=1)
    found, rows = concluded(tried(tmp_path, plan), plan)
    assert found["copies"]["limit"] is None and "two seeds" in found["copies"]["why"] and not any(row.get("copy") for row in rows)
    assert "Not told: only 0 ordinary pictures" in report.markdown(found)


def test_a_copy_detector_from_a_torchscript_file(tmp_path):
    import torch

    class Detector(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)

    torch.jit.script(Detector()).save(str(tmp_path / "sscd.pt"))
    found, _ = concluded(tried(tmp_path / "out"), sscd=tmp_path / "sscd.pt")
    assert found["copies"]["by"] == "SSCD" and found["table"][0]["copies"]["report"]["memorized"] == 1.0
    (tmp_path / "broken.pt").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"broken\.pt: no TorchScript"):
        likeness.sscd(tmp_path / "broken.pt")


def test_likeness_is_the_normalised_correlation():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 255, (likeness.SIDE, likeness.SIDE, 3)).astype(np.uint8) for _ in range(2))
    rows = likeness.correlation([Image.fromarray(one), Image.fromarray(other), Image.fromarray((one // 2 + 40).astype(np.uint8))])
    assert rows[0] @ rows[1] == pytest.approx(np.corrcoef(one.ravel(), other.ravel())[0, 1], abs=1e-5)
    assert rows[0] @ rows[2] > 0.999  # darker and flatter is the same picture
    assert likeness.nearest(rows[:1], rows[1:])[0] == pytest.approx(float(rows[0] @ rows[2]))


def test_a_picture_that_is_gone_is_no_copy(tmp_path):
    store = tried(tmp_path)
    gone = next(row for row in store.rows if row["set"] == "memorized" and row["mode"] == "report")
    (tmp_path / picture_of(gone)).unlink()
    row = next(row for row in running.Judged(store).rows if key(row) == key(gone))
    assert row["likeness"] is None and row["copy"] is None


def test_the_limit_lets_a_hundredth_of_ordinary_pictures_pass():
    scores = np.random.default_rng(1).normal(0.2, 0.1, 2000)
    assert np.mean(scores > copies.limit(scores)) == pytest.approx(copies.RATE, abs=0.004)
    assert copies.limit(np.full(30, 0.99)) <= 0.995


# -- reports -----------------------------------------------------------------------------------------------------------------------------


def test_the_page_shows_flagged_pictures_first_and_escapes(tmp_path):
    plan = replace(PLAN, memorized=("copy <script>alert(1)</script>", "copy two"))
    store = tried(tmp_path, plan)
    found, rows = concluded(store, plan)
    text = page.page(plan, rows, report.markdown(found))
    assert "<script>" not in text and "&lt;script&gt;" in text and "http" not in text
    assert text.index("class='strong'") < text.index("class='stable'")
    names = [part.split("'")[0] for part in text.split("src='")[1:]]
    assert len(names) == 56 and all((tmp_path / name).is_file() for name in names)


def test_what_is_shared_holds_no_prompt_picture_or_name(tmp_path):
    plan = replace(PLAN, memorized=("copy SECRETA", "copy SECRETB"), settings=(Setting(steps=5, negative="SECRETC"),), profile="SECRETD")
    found, rows = concluded(tried(tmp_path / "SECRETE", plan), plan)
    shared = json.loads(json.dumps(sharing.share(plan, rows, found)))
    text = json.dumps(shared) + report.markdown(found)
    assert "SECRET" not in text and "Mine" not in text and ".jpg" not in text and "plain" not in text
    scores = shared["table"][0]["scores"]
    assert len(scores["ordinary"]) == 24 and scores["memorized"] == sorted(scores["memorized"])


def shared_file(tmp_path, name: str, change=lambda data: None):
    found, rows = concluded(Store(tmp_path / "trial", PLAN) if (tmp_path / "trial").exists() else tried(tmp_path / "trial"))
    data = json.loads(json.dumps(sharing.share(PLAN, rows, found)))
    change(data)
    (tmp_path / name).write_text(json.dumps(data))
    return tmp_path / name


def test_many_shared_trials_make_one_table(tmp_path):
    one = sharing.read(shared_file(tmp_path, "one.json"))
    other = sharing.read(shared_file(tmp_path, "other.json", lambda data: data.update(checkpoint="ffff")))
    text = sharing.merged([other, one])
    assert "2 trials, 2 checkpoints" in text and text.index("0123456789") < text.index("ffff")
    assert "100.0 %" in text and "own calibration, 200 runs" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(format="other"), "format"),
        (lambda data: data.update(version=9), "newer"),
        (lambda data: data.update(checkpoint="| evil |"), "checkpoint"),
        (lambda data: data["table"][0].update(sampler="<b>"), "sampler"),
        (lambda data: data["table"][0].update(auc=7), "auc"),
        (lambda data: data["table"][0].update(auc=float("nan")), "auc"),
        (lambda data: data["table"][0]["levels"].pop("low"), "low"),
        (lambda data: data.pop("copies"), "copies"),
        (lambda data: data.update(table={}), "table"),
    ],
)
def test_shared_files_are_read_as_anything_from_outside(tmp_path, change, said):
    with pytest.raises(ValidationError, match=said):
        sharing.read(shared_file(tmp_path, "bad.json", change))
