"""No sentence of the page stays English where the web UI speaks another language: every section, with all that it can say."""

from __future__ import annotations

import ast
import copy
import html
import json
import pickle
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import translating
from test_calibrating import folder  # noqa: F401
from test_judging import FULL, MEMORIZED

from lib_stability import sentences
from lib_stability.guard.outcome import OUTCOMES
from lib_stability.guard.sensitivity import thresholds
from lib_stability.guard.verdict import NOT_JUDGED, REGIONS
from lib_stability.profile import displacing, networks
from lib_stability.profile.profiles import Model
from lib_stability.trail import audit_page, containers, reading
from lib_stability.trail.audit_table import Table
from lib_stability.trail.image_row import COLUMNS
from lib_stability.webui.host import language, texts
from lib_stability.webui.job import indexes
from lib_stability.webui.job.library import LIBRARY
from lib_stability.webui.page import flagged, glossary, judges, panel, serving, tab_audit, tab_calibrate, tab_match, tab_parts, tab_profiles, tab_scan
from lib_stability.webui.tasks import api_jobs, auditing, calibrating, folders, roles
from lib_stability.webui.tasks.background import Busy, Task

ORDINARY = "small blue square"
#: What tests call things, and what the host does: names that no language changes.
NAMES = (
    "Testbed",
    "testbed",
    "mine",
    "other",
    "SD 1.x prior",
    "Generic prior v",
    "sd1",
    "epsilon",
    "Euler a",
    "DPM++",
    "flow",
    "captions",
    ORDINARY,
    MEMORIZED,
)


@pytest.fixture
def made_up(host, options, monkeypatch):
    translating.speak(monkeypatch, options)


def english(said: str, *data: str) -> list[str]:
    return translating.english(said, [*NAMES, *data])


# -- the verdict --------------------------------------------------------------------------------------------------------------------------


def panel_of(verdict: str, **keys: str) -> str:
    told = ", ".join(f"MG {key.replace('_', ' ')}: {json.dumps(value) if ',' in value else value}" for key, value in keys.items())
    return panel.lines(f"x\nSteps: 1, Seed: 2, Size: 8x8, MG verdict: {verdict}" + (f", {told}" if told else "") + ", MG version: 1")


#: As they stand in infotexts, beside those of :data:`.texts.REASONS`.
REASONS = (
    "networks that no profile knows (mine 0.8 + other 1)",
    "error RuntimeError",
    "error RuntimeError in the probe",
    "error RuntimeError in the watch - 3/20 judged",
    "numbers not finite",
    "noise level outside the region",
    "noise level outside the region - 18/20 judged",
    "guidance above the region - 3/20 judged",
    "interrupted - 3/20 judged",
    "skipped",
    "nothing judged",
    "no probe and a part of the prompt with negative weight",
    "damped without what another extension adds",
    "bad setting tau has to be from 0.1 to 100",
)
#: All of them, as they are read back.
READ = (*(text for text in texts.REASONS if "{" not in text), *REASONS)
#: What stays in them: names of errors and of networks, and what no person has set.
RAW = ("RuntimeError", "mine 0.8 + other 1", "tau has to be from 0.1 to 100")


@pytest.mark.parametrize("reason", READ)
@pytest.mark.parametrize("verdict", [NOT_JUDGED, "strong"])
def test_reasons(made_up, verdict, reason):
    assert english(panel_of(f"{verdict} ({reason})", profile="Testbed"), *RAW) == []


@pytest.mark.parametrize("why", ["guidance changed by another extension", REGIONS, f"guidance changed by another extension and {REGIONS}"])
@pytest.mark.parametrize("judged", ["off", "20/20", "3/20"])
def test_what_a_verdict_rests_on(made_up, judged, why):
    assert english(panel_of("stable", watch=f"{judged} - {why}", profile="Testbed")) == []


@pytest.mark.parametrize(
    "told", ["seed 4 (strong) - 2 tries", "seed 4 (mild) - 1 try", "no - interrupted", "no - numbers not finite", "no - error KeyError"]
)
def test_what_was_replaced(made_up, told):
    assert english(panel_of("stable", replaced=told), "KeyError") == []


@pytest.mark.parametrize(
    "guard", [{}, {"mode": "damp"}, {"mode": "stop"}, {"profile": "SD 1.x prior"}, {"profile": "no such"}, {"tau": "x"}], ids=str
)
@pytest.mark.parametrize("prompt", [MEMORIZED, ORDINARY])
def test_pictures_that_were_made(generate, made_up, logged, guard, prompt):
    done = generate(guard, prompt=prompt, **FULL)
    logged.clear()  # of the bad setting
    assert english(panel.lines(done.infotexts[0]), "tau", *MEMORIZED.split()) == []


# -- what judges --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["Low", "Medium", "High", "Paper", "Custom"])
@pytest.mark.parametrize("name", ["Auto", "Testbed", "SD 1.x prior", "no such"])
def test_the_line_of_what_judges(made_up, name, level):
    assert english(serving.profile_line(name, level, 3.0), "no such") == []


def test_reasons_of_what_serves(made_up):
    """Whatever the library says of a checkpoint, and of the networks on it."""
    known, other = networks.Network("mine", "a" * 64, 0.8, 0.8), networks.Network("other", "b" * 64)
    models = [
        Model("sd1", "epsilon", "testbed", "c" * 64),
        Model("sdxl", "v"),
        Model("flux", "flow", distilled=True),
        Model("sd1", ""),
        Model("sd1", "epsilon", "testbed", "c" * 64, networks=(known, other)),
    ]
    profile = next(one for one in LIBRARY.profiles() if one.name == "Testbed")
    with_networks = replace(profile, name="mine", model=replace(profile.model, networks=(known,)))
    LIBRARY.profiles().append(with_networks)
    try:
        for model in models:
            for name in ("Auto", "Testbed", "SD 1.x prior", "mine", "no such"):
                for ignoring in (False, True):
                    served = LIBRARY.serve(name, model, True, ignoring)
                    line = judges.describe(served, tab_profiles.settings.defaults())
                    assert english(html.escape(" ".join([*line.said, line.terms])), "no such", "other 1", "mine 0.8") == []
    finally:
        LIBRARY.profiles().remove(with_networks)


def test_dates_and_offers(made_up):
    assert english(judges.date("2026-03-12")) == [] and english(judges.offer()) == []


# -- the tab ------------------------------------------------------------------------------------------------------------------------------


def test_components(host):
    """Labels, lines of help, buttons and choices: the host translates those that are texts of ours as a whole."""
    known, seen = set(texts.everything()), 0
    data = {*LIBRARY.names(), *tab_audit.choices(), *tab_match.choices(), *indexes.names(), *calibrating.sampling.samplers(), "Memorization Guard"}
    for one in host.demo.config["components"]:
        props = one["props"]
        if props.get("visible") is False and one["type"] == "button" and props.get("variant") != "stop":
            continue
        if not str(props.get("elem_id")).startswith("memorization_guard_"):
            continue
        told = [props.get("label"), props.get("info"), props.get("value") if one["type"] == "button" else None]
        told += [choice[0] if isinstance(choice, (list, tuple)) else choice for choice in props.get("choices") or ()]
        left = {text for text in told if isinstance(text, str) and translating.english(html.escape(text))} - known - data
        seen += 1
        assert left == set(), props["elem_id"]
    assert seen > 60


def profile_of(name: str, runs: int, **model: object):
    found = displacing.planned(name, Model(**{"family": "sd1", "prediction": "epsilon", "sha256": "d" * 64, **model}), runs)
    return replace(found, provenance={**found.provenance, "date": date.today().isoformat()})


def test_what_a_new_profile_displaces(made_up):
    plain, any_family = profile_of("mine", 200), profile_of("mine", 200, family="any", sha256="")
    known = profile_of("mine", 200, checkpoint="testbed", networks=(networks.Network("other", "b" * 64),))
    cases = [
        (plain, []),
        (plain, [plain]),
        (plain, [profile_of("other", 200)]),
        (plain, [profile_of("other", 5000)]),
        (profile_of("mine", 24), [profile_of("other", 5000)]),
        (replace(plain, provenance={**plain.provenance, "trial": "own prompts, and nothing to judge their runs by"}), []),
        (any_family, []),
        (replace(any_family, model=replace(any_family.model, family="sd1")), []),
        (replace(any_family, kind="prior", origin="imported"), [any_family]),
        (known, []),
    ]
    for new, present in cases:
        found = displacing.outlook(new, present)
        assert found.lines and english("".join(map(tab_parts.line, found.lines)), "d" * 10, "other 1") == []


def test_the_section_calibrate(made_up):
    for runs in (20, 200):
        assert english(tab_calibrate.said_before(runs, "", "<lora:no:1>"), "<lora:no:1>", "'no'") == []
        assert english(tab_calibrate.said_before(runs, "", "no tag"), "no tag", "<lora:name:0.8>") == []
        assert english(tab_calibrate.said_before(runs, ""), "testbed-") == []
        assert english(tab_calibrate._warned(runs)) == []
    levels = {level: {"threshold": 4.5, "measured": 0.01} for level in ("low", "medium", "high")}
    changes = displacing.outlook(profile_of("mine", 24), [profile_of("mine", 24)]).lines
    result = {"profile": "mine", "runs": 24, "levels": {"watch": levels}, "left_out": [ORDINARY], "changes": changes, "warning": ""}
    result["warning"] = calibrating.caution(24)
    assert english(tab_calibrate._result(result)) == []


def test_the_section_profiles(made_up, folder):  # noqa: F811
    assert english(tab_profiles.table(), *(one.name for one in LIBRARY.profiles()), *(one.model.family for one in LIBRARY.profiles())) == []
    for one in LIBRARY.profiles():
        data = [one.name, one.model.checkpoint, one.model.family, one.model.prediction, *map(str, one.provenance.values())]
        data += [name for key in ("samplers", "prompts", "source") for name in _listed(one.provenance.get(key))]
        assert english(tab_profiles.show(one.name)[0], *data) == []
    for said in (
        tab_profiles.show("no such")[0],
        tab_profiles.ask_import(None)[0],
        tab_profiles.bring("/etc/passwd")[0],
        tab_profiles.delete("no such")[0],
        tab_profiles.delete("Testbed")[0],
        tab_profiles.back("no such")[0],
        tab_profiles.ask("Testbed")[0],
    ):
        assert english(said, "no such") == []


def _listed(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else [str(value)]


def test_the_plot_of_a_profile(made_up, monkeypatch):
    """What is written into the picture."""
    from matplotlib import pyplot as plt

    seen = []
    close = plt.close

    def look(figure):
        axes = figure.axes
        seen.extend([figure.get_suptitle(), *(text for one in axes for text in (one.get_xlabel(), one.get_ylabel()))])
        seen.extend(text.get_text() for one in axes if one.get_legend() for text in one.get_legend().get_texts())
        close(figure)

    monkeypatch.setattr(plt, "close", look)
    monkeypatch.setattr(tab_profiles, "_drawn", [])
    tab_profiles.plot("Testbed")
    assert len(seen) > 4 and english(html.escape(" | ".join(seen)), "RMS(v)", "RMS(D)") == []


ROWS = [
    {"caption": MEMORIZED, "scores": [9.0, 8.0], "median": 8.5, "max": 9.0, "above": 2, "verdict": "strong", "networks": "mine 0.8"},
    {"caption": "other", "scores": [4.0, None], "median": 4.0, "max": 4.0, "above": 1, "verdict": "mild", "count": 3, "thumbnail": "data:,"},
    {"caption": ORDINARY, "scores": [1.0, 0.5], "median": 0.75, "max": 1.0, "above": 0, "verdict": "stable"},
    {"caption": "mine", "scores": [None], "median": None, "max": None, "above": 0, "verdict": NOT_JUDGED},
]


def test_the_section_scan(made_up):
    about = {"profile": "Testbed", "checkpoint": "testbed", "sensitivity": "medium", "threshold": 3.5, "seeds": 2}
    unknown = LIBRARY.serve("Testbed", Model("sd1", "epsilon", networks=(networks.Network("other"),)))
    ignored = LIBRARY.serve("Testbed", Model("sd1", "epsilon", networks=(networks.Network("other"),)), ignoring=True)
    why = calibrating and tab_scan.scanning._Group("", Model("sd1", "epsilon"), LIBRARY.serve("SD 1.x prior", Model("sd1", "epsilon")), None, []).why
    reasons = ["", "", tab_scan.scanning.judged_by(ignored), unknown.why, why, LIBRARY.serve("other", Model("sd1", "epsilon")).why]
    rows = [{**row, "reason": reason} for reason in reasons for row in ROWS]
    assert english(tab_scan._ranking({"rows": rows, **about}), "other 1") == []
    one = {"rows": [ROWS[0]] * 1001, **about}
    assert english(tab_scan._ranking(one)) == []


def test_a_scan(made_up, monkeypatch):
    said = list(tab_scan.scan(f"{MEMORIZED}\n{ORDINARY}", 2, width=128, height=128))
    assert [left for progress, ranking, _ in said for left in english(progress)] == [] and english(said[-1][1]) == []
    for captions, networks_on in (("", ""), (ORDINARY, "no tag"), (ORDINARY, "<lora:no:1>"), (ORDINARY, "<lyco:no:1>")):
        progress = "".join(found[0] for found in tab_scan.scan(captions, 1, networks_on, 128, 128))
        assert english(progress, "no tag", "<lora:name:0.8>", networks_on, "'no'", "<lyco:…>") == []


def explained(**more: object) -> dict:
    word = {"text": "alice", "spans": [[0, 5]], "share": 0.9, "median": 1.0}
    return {"caption": MEMORIZED, "verdict": "strong", "median": 9.0, "threshold": 3.5, "words": [word], "suggestion": None, "note": "", **more}


def test_which_words(made_up, host, generate):
    from lib_stability.webui.tasks import explaining

    rows = [
        explained(suggestion={"text": ORDINARY, "without": ["big", "red"], "median": 1.0}),
        explained(note=explaining.NO_PART, words=[{"text": "alice", "spans": [[0, 5]], "share": 0.0, "median": 1.0}]),
        explained(note=explaining.ONE_WORD, words=[]),
    ]
    assert english(flagged.explained(rows), "big", "red", *MEMORIZED.split()) == []
    text = generate({}, prompt=MEMORIZED, **FULL).infotexts[0]
    said = list(flagged.words(json.dumps({"infotext": text, "picture": ""})))
    assert english(said[-1], *MEMORIZED.split()) == [] and [left for one in said for left in english(one, *MEMORIZED.split())] == []


def audited() -> list[dict]:
    blank = dict.fromkeys(COLUMNS)
    rows = [{"verdict": word, "profile": "Testbed", "region": "Testbed (bundled calibration)"} for word in ("stable", "mild", "strong")]
    rows += [{"verdict": NOT_JUDGED, "reason": reason} for reason in READ]
    rows += [
        {"verdict": "strong", "damped": 3, "evaluations": 20, "flagged_at": 2, "score": 9.0, "outcome": one, "score_after": 1.0} for one in OUTCOMES
    ]
    rows += [{"verdict": "strong", "stopped_at": 3, "flagged_by": "probe", "hires_verdict": "mild", "inner_verdict": "stable", "inner_score": 1.0}]
    rows += [{"verdict": "stable", "watch": f"20/20 - {REGIONS}"}]
    rows += [{"verdict": "stable", "watch": f"off - guidance changed by another extension and {REGIONS}"}]
    rows += [{"verdict": "stable", "replaced": told} for told in ("seed 4 (strong) - 2 tries", "no - interrupted")]
    rows += [{"verdict": "no verdict", "problem": one} for one in ("no infotext", "guard off", "guard on, no verdict in it")]
    rows += [{"verdict": "unreadable", "problem": one} for one in ("cannot be read (KeyError)", "pictures of this kind are not read: .gif")]
    return [{**blank, "file": f"{number}.png", **row} for number, row in enumerate(rows)]


def test_the_section_audit(made_up, monkeypatch):
    table = Table("")
    for row in audited():
        table.add(row)
    table.add({**dict.fromkeys(COLUMNS), "file": "1.txt", "verdict": "stable", "grid": "2x2"})
    monkeypatch.setattr(auditing, "_tables", {"x": auditing.Audit(table, auditing.Options())})
    data = [*RAW, "KeyError", ".gif", ".png", ".txt"]
    assert english(tab_audit._summary("x")) == []
    for seconds in (None, 0.2, 4.0):
        assert english(tab_audit.counted(table, seconds)) == []
    shown = "".join(tab_audit.turn("x", tab_audit.ALL, number)[0] + tab_audit.turn("x", tab_audit.ALL, number)[2] for number in range(2))
    assert shown.count("<figure") == len(table) and english(shown, *data) == []
    assert english(tab_audit.turn("x", "Mild", 0)[0], *data) == [] and english(tab_audit.turn("gone", "All", 0)[0]) == []
    assert english(tab_audit.download("x", tab_audit.ALL)[0]) == [] and english(tab_audit.download("", tab_audit.ALL)[0]) == []


def test_an_audit(made_up, generate, options, tmp_path):
    for prompt in (MEMORIZED, ORDINARY):
        generate({}, prompt=prompt, do_not_save_samples=False, **FULL)
    said = list(tab_audit.start("", str(tmp_path)))
    assert [left for one in said for left in english(one[0])] == []
    assert english(said[-1][3]) == [] and english(said[-1][4], *(one.name for one in tmp_path.rglob("*"))) == []
    for where in ("/", "..", str(tmp_path / "nowhere")):
        assert english("".join(one[0] for one in tab_audit.start("", where)), where) == []


def test_the_section_training_pictures(made_up, host, options, tmp_path, monkeypatch):
    from PIL import Image

    from lib_stability.match import store

    rng = np.random.default_rng(3)
    for number in range(10):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"{number}.png")
    monkeypatch.setattr(indexes, "home", lambda: tmp_path / "indexes")
    said = tab_match.table() + tab_match.find(Image.new("RGB", (64, 64)), "") + tab_match.find(None, "") + tab_match.delete("mine")[0]
    assert english(said) == []
    started, ident, _ = tab_match.start("mine", "", str(tmp_path), texts.BY["vae"])
    followed = [started, *(one[0] for one in tab_match.watched(ident) if isinstance(one[0], str))]
    shown = tab_match.table() + tab_match.find(Image.open(tmp_path / "3.png"), "mine") + tab_match.find(Image.new("RGB", (64, 64)), "mine")
    about = next(iter(indexes.known().values()))
    assert isinstance(about, store.About)
    data = [about.made_with, about.updated, *(one.name for one in tmp_path.glob("*.png"))]
    assert "mine" in shown and [left for one in followed for left in english(one, *data)] == [] and english(shown, *data) == []
    for one in (replace(about, limit=0.9, why=""), replace(about, problems=3, complete=False), replace(about, why=store_reason())):
        assert english(html.escape(tab_match.said(one)), *data) == []


def store_reason() -> str:
    from lib_stability.match import threshold

    rows = np.ones((60, 4), np.float32) / 2
    assert threshold.calibrate(rows[:4])[1] != threshold.calibrate(rows)[1]
    return threshold.calibrate(rows)[1]


def test_the_glossary_is_english_throughout(host):
    """The web UI translates every text of the page that is one of its words, also one in the midst of a sentence: none is there."""
    from markdown_it import MarkdownIt

    shown = MarkdownIt("commonmark", {"breaks": True}).render(glossary.text())
    parts, words = translating.read(shown), set(texts.everything())
    assert len(parts) > 40 and [one for one in parts if one in words] == []
    assert [one for one in re.findall(r"<(?:em|strong)>(.*?)</", shown) if not one.endswith("\u2060")] == []
    assert "<br" not in shown and "\n- " in glossary.text() and shown.count("<li>") == glossary.text().count("\n- ")


# -- work and refusals --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(texts.KINDS))
def test_lines_of_progress(made_up, kind):
    task = Task(kind, lambda running: {})
    task.total = 24
    said = [task.line()]
    task._estimate = (40.0, 10.0**9)
    said.append(task.line())
    task._estimate = (4000.0, 10.0**9)
    said.append(task.line())
    task.waits = 5.0
    said.append(task.line())
    for state in ("done", "cancelled", "failed"):
        task.state, task.error = state, ""
        said.append(task.line())
    assert [left for one in said for left in english(html.escape(one))] == []


def test_what_ended_early_says_why(made_up, host, monkeypatch):
    from lib_stability.webui.host import sampling
    from lib_stability.webui.tasks import background

    def cancelled(running: Task) -> dict:
        running.stop.set()
        running.progress(1, 2)
        return {}

    def interrupted(running: Task) -> dict:
        host.shared.state.interrupted = True
        try:
            sampling._refuse_cut_off(host.shared.state)
        finally:
            host.shared.state.interrupted = False
        return {}

    for work, why in ((cancelled, ""), (interrupted, translating.translated(": interrupted in the web UI"))):
        task = background.Task("scan", work).start()
        assert task.wait(10) and task.state == "cancelled" and english(html.escape(task.line())) == []
        assert task.line() == translating.translated("Scan cancelled") + why


@pytest.mark.parametrize("kind", ["calibrate", "scan", "audit", "match/index"])
def test_what_is_busy_says_so(made_up, monkeypatch, kind):
    waiting = Task({"calibrate": "calibration", "match/index": "index"}.get(kind, kind), lambda running: {})
    waiting.waits = 5.0
    monkeypatch.setattr(api_jobs, "_latest", {kind: waiting})
    bodies = {"calibrate": {}, "scan": {"captions": ["x"]}, "audit": {}, "match/index": {"index": "mine", "folder": ""}}
    monkeypatch.setattr(api_jobs, "_KINDS", {kind: (type("Any", (), {"parse": staticmethod(lambda body: None)}), lambda options: waiting)})
    with pytest.raises(Busy):
        api_jobs.start(kind, bodies[kind])
    assert english(tab_parts.begin(kind, bodies[kind])[0]) == []


def test_refusals(made_up, monkeypatch):
    given = type("Request", (), {"request": None})()
    assert english(tab_parts.line(roles.strange(given)), "--cors-allow-origins") == []
    monkeypatch.setattr(folders, "shared", lambda: True)
    monkeypatch.setattr(roles, "strange", lambda asked: "")
    data = [roles.NAMED, "python -m lib_stability profiles --help", "SECURITY.md"]
    for said in (
        tab_profiles.ask_import(None, given)[0],
        tab_profiles.bring(None, given)[0],
        tab_profiles.ask("Testbed", given)[0],
        tab_profiles.delete("Testbed", given)[0],
        tab_profiles.back("Testbed", given)[0],
        tab_calibrate.start(200, 20, 0, 0, 4, "", "", "", request=given)[0],
        tab_calibrate.stop(given),
        tab_match.start("mine", "", "", "", given)[0],
        tab_match.delete("mine", given)[0],
        serving.calibrate("Testbed", "Medium", 3.0, False, given),
    ):
        assert said and english(said, *data) == []


def test_errors_of_a_calibration(made_up, host, folder, monkeypatch):  # noqa: F811
    """Those that a person can cause."""
    same = [f"{ORDINARY} {number % 3}" for number in range(40)]
    cases = [
        {"prompts": same},
        {"prompts": ["<lora:mine:1>"]},
        {"prompts": [f"{n} {'abcdefghij'[n]}" for n in range(3)]},
        {"networks": "<lora:no:1>"},
    ]
    for body in cases:
        _, ident = tab_parts.begin("calibrate", {"runs": 40, "steps": 4, "width": 64, "height": 64, **body})
        task = api_jobs.latest("calibrate")
        assert ident and task.wait(60) and task.state == "failed"
        assert english(html.escape(task.line()), *same, *(repr(one) for one in same), "<lora:no:1>", "'no'") == []


# -- what such texts are made of ----------------------------------------------------------------------------------------------------------


def test_sentences_know_what_they_are_made_of():
    said = sentences.Sentence("{name} of {runs} runs", name="Mine", runs=sentences.Figure("1,200"))
    assert said == "Mine of 1,200 runs" and copy.deepcopy(said).values == said.values and pickle.loads(pickle.dumps(said)).text == said.text
    assert sentences.reason(ValueError(said)).text == said.text and sentences.reason(ValueError("x")) == "x"
    assert sentences.joined(", ", ["", said, "", "x"]) == "Mine of 1,200 runs, x" and sentences.joined(", ", []) == ""
    assert sentences.listed(["a", "b", "c"]) == "a and b and c" and sentences.listed([]) == "" and sentences.listed(["{a}"]) == "{a}"
    assert sentences.recognised("error A in the b", ["error {kind}"]).values == {"kind": "A in the b"} and sentences.recognised("x", ["y"]) is None


def test_what_a_user_has_written_is_no_place_for_values(made_up):
    """Braces in a name."""
    said = sentences.Sentence(texts.SERVED["missing"], name="{runs} {0}")
    assert said.endswith("{runs} {0}") and language.say(said).endswith("{runs} {0}")


def test_the_marks_of_numbers_are_the_languages(host, options):
    options.set("localization", "de_DE")
    assert language.say(sentences.Sentence(audit_page.TEXTS["read"], count=sentences.Figure("1,234"))) == "1.234 Dateien gelesen"
    assert language.say(thresholds(LIBRARY.profiles()[0].watch, "medium").describe()).startswith("z > ")


def test_all_that_files_are_called_broken_for_has_texts():
    """Read from the source of whatever reads them."""
    for name in ("containers", "imagetext", "image_row"):
        tree = ast.parse(Path(audit_page.__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        raised = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Unreadable"]
        plain = [one.args[0].value for one in raised if isinstance(one.args[0], ast.Constant)]
        assert raised and set(plain) <= set(texts.PROBLEMS)
    assert sentences.recognised(containers.TOO_LONG, texts.PROBLEMS) and {reading._TWICE, reading._TOO_MANY} <= set(texts.PROBLEMS)


def test_parts_that_nobody_looked_at_are_seen_at_a_glance(made_up):
    """The badge of a picture whose regions other extensions gave prompts of their own is not that of a stable one."""
    told = "x\nSteps: 1, Seed: 2, Size: 8x8, MG verdict: {}, MG watch: 20/20 - " + REGIONS + ", MG version: 1"
    kinds = [panel._kind_of(told.format(word)) for word in ("stable", "strong")]
    assert kinds == ["partly", "strong"] and texts.BADGES["partly"] != texts.BADGES["stable"]
    assert "memorization-guard-partly" in panel.lines(told.format("stable")) and english(panel.lines(told.format("stable"))) == []
