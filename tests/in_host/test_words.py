"""What people read in the page: plain words, one number, what judges and how far to trust it, in the language of the host."""

from __future__ import annotations

import html
import json
import re
import string

import pytest
from test_judging import FULL, MEMORIZED
from test_served import fill, page  # noqa: F401

from lib_stability.guard.outcome import STEERED, UNCERTAIN
from lib_stability.guard.sensitivity import exceeded
from lib_stability.guard.verdict import Verdict
from lib_stability.testbed.world.kinds import memorized
from lib_stability.trail.reading import verdicts_of
from lib_stability.webui.host import language, texts
from lib_stability.webui.job import last_job, pace, settings
from lib_stability.webui.job.library import LIBRARY
from lib_stability.webui.page import controls, judges, panel, serving

ORDINARY = "small blue square"
#: Whose score rises under directional damping.
PULLING = memorized()[7].caption
#: Words of the trade, which have no place in a first line.
TERMS = re.compile(r"\b(z >|sigma|evaluation|probe|watch|norm|rate|spreads?|prior v)\b")


def shown(done) -> str:
    """The panel of a job's first picture."""
    return html.unescape(panel.lines(done.infotexts[0]))


def first_line(said: str) -> str:
    return re.sub(r"<[^>]+>", "", said.partition("</p>")[0])


def numbers(text: str) -> list[float]:
    return [float(one.replace(",", "")) for one in re.findall(r"([\d.,]+)\u00a0×", text)]


# -- the number ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [MEMORIZED, ORDINARY])
def test_the_number_is_the_score_over_what_one_in_a_thousand_shows(generate, prompt):
    done = generate({}, prompt=prompt, **FULL)
    line, found = first_line(shown(done)), last_job.last()["images"][0]["first"]
    judge = next(one for one in LIBRARY.profiles() if one.name == "Testbed")
    region = judge.watch if found["detector"] == "watch" else judge.probe
    (told,) = numbers(line)
    assert told == pytest.approx(max(found["score"], 0) / exceeded(region, 0.001), rel=0.05, abs=0.06)
    assert (told > 1) == (prompt == MEMORIZED) and "1,000 ordinary images" in line


def test_a_thousandth_of_the_reference_runs_lie_above(host):
    for one in LIBRARY.profiles():
        if one.runs > 1000:
            assert (one.watch.scores_ > exceeded(one.watch, 0.001)).mean() < 0.003
        assert exceeded(one.watch, 0.05) <= exceeded(one.watch, 0.001)


def test_where_nothing_was_measured_the_number_says_so(generate):
    line = first_line(shown(generate({"profile": "SD 1.x prior"}, prompt=MEMORIZED, **FULL)))
    assert "a guess" in line and len(numbers(line)) == 1


@pytest.mark.parametrize("reason", [text for text in texts.REASONS if "{" not in text])
def test_reasons_are_told_in_plain_words(host, reason):
    text = f"x\nSteps: 1, Seed: 2, Size: 8x8, MG verdict: not judged ({reason}), MG version: 1"
    line = first_line(html.unescape(panel.lines(text)))
    assert texts.REASONS[reason] in line and not TERMS.search(line) and not re.search(r"\bregion\b|\bguidance above\b", line)


def test_where_guidance_is_too_low_the_line_says_what_to_do(generate):
    done = generate({"probe": "never"}, prompt=MEMORIZED, **{**FULL, "cfg_scale": 1.0})
    assert verdicts_of(done.infotexts[0]).first.reason == "no guidance and no probe"
    assert first_line(shown(done)).endswith(texts.ADVICE_UNGUIDED)


@pytest.mark.parametrize(
    "guard", [{}, {"mode": "damp"}, {"mode": "stop"}, {"profile": "SD 1.x prior"}, {"probe": "never", "profile": "no such"}], ids=str
)
@pytest.mark.parametrize("prompt", [MEMORIZED, ORDINARY])
def test_first_lines_hold_no_words_of_the_trade(generate, guard, prompt):
    assert not TERMS.search(first_line(shown(generate(guard, prompt=prompt, **FULL))))


def test_details_hold_the_terms(generate):
    said = shown(generate({}, prompt=MEMORIZED, **FULL))
    folded = said.partition("<details class='memorization-guard-details'>")[2]
    assert "flagged from" in folded and "First flagged at step" in folded and "by the watch" in folded and "memorization-guard-glossary" in folded


# -- what was damped ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "kind"), [(STEERED, "steered"), (UNCERTAIN, "damped"), ("", "damped")])
def test_a_damped_picture_does_not_read_as_a_copy(outcome, kind):
    verdict = Verdict("strong", 58.0, 4.5, 1, 20, 20, "watch", outcome=outcome)
    said = texts.ENDED[panel.kind(verdict)]
    assert panel.kind(verdict) == kind and "very probably" not in said and not said.startswith("Strong")


@pytest.mark.parametrize(("flag", "said"), [("early", texts.EARLY), ("late", texts.LATE), ("", "")])
def test_a_flag_says_whether_damping_would_have_come_in_time(flag, said):
    sentences = panel._sentences(Verdict("strong", 18.0, 4.5, 3, 20, 0, "watch", flag=flag))
    assert [one for one in sentences if one in (texts.EARLY, texts.LATE)] == ([said] if said else [])
    damped = panel._sentences(Verdict("strong", 18.0, 4.5, 3, 20, 9, "watch", outcome="steered away", flag=flag))
    assert not {texts.EARLY, texts.LATE} & set(damped), "what was done is said instead"


def test_scores_before_and_after_cannot_be_mistaken(generate):
    """Under Damp the prompt pulls back to its copy and what is seen of it goes on rising: that number is told of no picture."""
    report = numbers(first_line(shown(generate({"mode": "report"}, prompt=PULLING, **FULL))))
    highest = last_job.last()["images"][0]["first"]["score"]
    done = generate({"mode": "damp", "damping": "directional"}, prompt=PULLING, **FULL)
    said, found = shown(done), last_job.last()["images"][0]["first"]
    outcome, seen = found["outcome"], found["trajectory"]
    first = next(number for number, one in enumerate(seen, 1) if one["damped"])
    assert found["score"] == pytest.approx(max(one["watch"] for one in seen[:first]), rel=1e-4) and found["score"] <= highest + 1e-4
    kept = verdicts_of(done.infotexts[0])
    assert kept.first.score == pytest.approx(found["score"], rel=0.01) and kept.first.score_after == pytest.approx(found["score_after"], rel=0.01)
    assert max(one["watch"] for one in seen) > found["score"] + 0.2  # else this picture shows nothing
    told = numbers(first_line(said).partition("(1\u00a0×")[0])
    assert told and max(told) <= report[0] + 0.06 and len(told) == (2 if outcome == STEERED else 1)
    assert "before it was" in first_line(said) and "Strong" not in first_line(said)


def test_an_older_text_of_a_damped_picture_tells_no_number_before(generate):
    """Its score was the highest on the way."""
    text = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL).infotexts[0]
    old = re.sub(r"MG score after: [^,]*, ", "", text).replace("Seed: ", "Seed: 9")  # of no job that is known any more
    assert "MG outcome" in old and numbers(first_line(html.unescape(panel.lines(old)))) == []


def test_a_map_is_of_a_picture_that_can_be_seen(generate):
    assert "memorization-guard-which" in shown(generate({"mode": "report"}, prompt=MEMORIZED, **FULL))
    for mode in ("damp", "stop"):
        assert "memorization-guard-which" not in shown(generate({"mode": mode}, prompt=MEMORIZED, **FULL))


# -- what judges --------------------------------------------------------------------------------------------------------------------------


def trust(line: str) -> str:
    return re.search(r"memorization-guard-trust-(\w+)", line)[1]


def test_a_guess_does_not_look_like_a_measurement(host):
    measured, guess = (serving.profile_line(name, "Medium", 3.0) for name in ("Testbed", "SD 1.x prior"))
    assert trust(measured) == "measured" and "About 1 in 100 ordinary images is flagged." in measured and "Calibrate now" not in measured
    assert trust(guess) == "guess" and "a guess" in guess and "nobody has counted" in guess and "Calibrate now" in guess
    assert trust(serving.profile_line("no such", "Medium", 3.0)) == "nothing"
    plain = measured.partition("<details>")[0]
    assert not TERMS.search(html.unescape(re.sub(r"<[^>]+>", "", plain)))


@pytest.mark.parametrize(("level", "told"), [("Low", "1 in 500 "), ("Medium", "1 in 100 "), ("High", "1 in 20 ")])
def test_the_help_of_the_levels_says_what_they_flag(host, level, told):
    assert told.strip() in texts.CONTROLS["sensitivity"][1] and told in serving.profile_line("Testbed", level, 3.0)


def test_what_a_calibration_takes_is_known_after_a_generation(host, generate, monkeypatch):
    monkeypatch.setattr(pace, "_known", {})
    assert "after the first generation" in serving.profile_line("SD 1.x prior", "Medium", 3.0)
    generate({"profile": "SD 1.x prior"}, prompt=ORDINARY, **FULL)
    assert re.search(r"about \d+ (min|h) for 200 images of 512x512 here", serving.profile_line("SD 1.x prior", "Medium", 3.0))


def test_dates_are_written_out(host):
    assert judges.date("2026-03-12") == "12 March 2026" and judges.date("") == "" and judges.date("lately") == "lately"


def test_every_control_has_its_line_of_help(host):
    config = host.demo.config["components"]
    for name in ("mode", "sensitivity", "tau", "profile", "damping", "strength", "probe", "probe_evaluations"):
        control = next(one["props"] for one in config if one["props"].get("elem_id") == f"memorization_guard_txt2img_{name}")
        assert (control["label"], control["info"]) == texts.CONTROLS[name]
    inside = [one["props"] for one in config if str(one["props"].get("elem_id")).startswith("memorization_guard_tab_")]
    asked = [one for one in inside if one.get("interactive") is not False and one.get("label") and ("minimum" in one or "lines" in one)]
    assert len(asked) > 8 and all(one.get("info") for one in asked)


# -- languages ----------------------------------------------------------------------------------------------------------------------------


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", language.files(), ids=lambda path: path.stem)
def test_a_translation_has_every_text_and_its_places(path):
    table = json.loads(path.read_text(encoding="utf-8"))
    assert set(table) == set(texts.everything())
    assert [text for text, told in table.items() if places(text) != places(told) or not told.strip()] == []


@pytest.mark.parametrize("path", language.files(), ids=lambda path: path.stem)
def test_no_translation_is_translated_again(path):
    """The web UI looks at what it has changed once more. A word that is one of the English ones too has an invisible joiner, \\u2060, at its end."""
    table = json.loads(path.read_text(encoding="utf-8"))
    assert {text: told for text, told in table.items() if table.get(told, told) != told} == {}


#: Buttons and choices that other texts speak of by their names.
NAMED = (
    *("Report", "Damp", "Replace", "Stop", "Low", "Medium", "High", "Custom", "Reword", "Directional", "Radial", "Auto", "Always", "Never"),
    *("Second look", "Go back", "Training pictures", "Profile"),
)


@pytest.mark.parametrize("path", language.files(), ids=lambda path: path.stem)
def test_a_translation_names_buttons_and_choices_as_it_has_translated_them(path):
    table = json.loads(path.read_text(encoding="utf-8"))
    spoken = [(name, text) for name in NAMED for text in table if text != name and re.search(rf"\b{name}\b", text)]
    assert len(spoken) > 25
    assert [(name, table[text]) for name, text in spoken if table[name] not in table[text]] == []
    assert [(name, told) for text, told in table.items() for name in NAMED[:4] if text != name and re.search(rf"\b{name}\b", told)] == []


def test_there_is_a_german_and_a_chinese_one():
    assert {path.stem for path in language.files()} == {"de_DE", "zh_CN"}


def test_no_text_holds_a_pictograph():
    """The hosts leave those untranslated."""
    assert [text for text in texts.everything() if re.search("[\U0001f000-\U0001faff\u2190-\u21ff\u25a0-\u27bf]", text)] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("de_DE", "etwa 1 von 100"), ("zh_CN", "每 100 张"), ("zh-Hans (Stable)", "每 100 张"), ("None", "About 1 in 100"), ("xx", "About 1")],
)
def test_lines_with_numbers_are_in_the_hosts_language(host, options, name, told):
    options.set("localization", name)
    assert told.lower() in serving.profile_line("Testbed", "Medium", 3.0).lower()


def test_badges_keep_their_colour_in_every_language(host, options, generate):
    done = generate({}, prompt=MEMORIZED, **FULL)
    options.set("localization", "de_DE")
    said = html.unescape(panel.answer(json.dumps({"number": 1, "info": json.dumps(done.js()), "index": 0})))
    assert '"strong": "stark"' in json.loads(json.dumps(said)) or json.loads(re.search(r'data-words="(\{.*?\})"', said)[1]) == {"strong": "stark"}
    assert 'data-verdicts="["strong"' in said


@pytest.mark.parametrize(("name", "told"), [("de_DE", "1.592,5"), ("zh_CN", "1,592.5"), ("None", "1,592.5"), ("xx", "1,592.5")])
def test_numbers_are_written_as_the_language_writes_them(host, options, name, told):
    options.set("localization", name)
    assert language.number("1,592.5") == told


def test_a_german_verdict_holds_no_english(generate, options):
    """Its line, its terms, what is written into its drawings."""
    done = generate({"mode": "report"}, prompt=MEMORIZED, **FULL)
    options.set("localization", "de_DE")
    said = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html.unescape(panel.lines(done.infotexts[0])))
    own = re.sub(r"Testbed \(bundled calibration\)", "", said)
    assert "Wert " in own and "laut laufender Prüfung" in own and "Band: gewöhnliche Läufe" in own and "Linie: " in own
    assert not re.search(r"\b(watch|norm of|ordinary|unstable|score|times|threshold)\b", own) and not re.search(r"\d\.\d+[-\u2011][Ff]ach", own)
    assert re.search(r"\d,\d+\u2011Fach", own)


def test_all_that_drawings_say_has_texts(host):
    from lib_stability.guard.history import Point
    from lib_stability.guard.locality import LocalMap
    from lib_stability.pictures import chart, overlay

    said = []

    def say(text: str, **values: str) -> str:
        said.append(text)
        return text.format(**values)

    point = Point(1.0, 7.5, 1.0, 1.0, 1.0, 0.1, 1.0, 0.1, 5.0, 3.0, True, True)
    chart.trajectory([point, point], 3.0, "", say)
    overlay.svg(LocalMap.from_json({"rows": [[0.0, 3.0], [1.0, 1.0]], "threshold": 1.5}), None, "", say)
    assert len(set(said)) > 9 and set(said) <= set(texts.everything())


def test_long_calibrations_are_told_in_hours(monkeypatch, host):
    monkeypatch.setattr(pace, "minutes", lambda *_: 700)
    assert "about 12 h for 200 images of 512x512 here" in judges.offer()
    monkeypatch.setattr(pace, "minutes", lambda *_: 40)
    assert "about 40 min for" in judges.offer()


def test_choices_and_settings_have_texts(host):
    words = {
        text
        for labels in (settings.labels(words) for words in (controls.MODES, controls.LEVELS, controls.DAMPINGS, controls.PROBES))
        for text in labels
    }
    assert words <= set(texts.CHOICES)
    ours = {key: info for key, info in host.shared.opts.data_labels.items() if key.startswith("memorization_guard_")}
    assert {info.label for info in ours.values()} <= set(texts.everything())


# -- in a browser -------------------------------------------------------------------------------------------------------------------------


def test_one_click_calibrates_and_the_line_follows(page, options, monkeypatch):  # noqa: F811
    """From the line under the controls, without a visit to the tab; once it has ended the page asks for nothing any more."""
    from lib_stability.webui.tasks import api_jobs
    from lib_stability.webui.tasks.background import Task

    go_on = []

    def run(running) -> dict:
        for step in range(1, 400):
            running.progress(step, 400, "runs")
            if go_on or running.stop.wait(0.2):
                break
        return {}

    monkeypatch.setattr(api_jobs, "_latest", {})
    monkeypatch.setitem(api_jobs._KINDS, "calibrate", (api_jobs._KINDS["calibrate"][0], lambda options: Task("calibration", run)))
    options.set("memorization_guard_profile", "SD 1.x prior")
    options.set("memorization_guard_enabled", True)
    page.reload()
    line = "#memorization_guard_txt2img_line"
    page.locator(f"{line} .memorization-guard-now").click(timeout=20_000)
    says = "([id, text]) => document.querySelector(id).innerText.includes(text)"
    page.wait_for_function(says, arg=[line, " of 400 images"], timeout=20_000)
    before = page.locator(line).first.inner_text()
    page.wait_for_function("([id, text]) => document.querySelector(id).innerText !== text", arg=[line, before], timeout=20_000)
    go_on.append(True)
    page.wait_for_function("id => !document.querySelector(id).innerText.includes('of 400')", arg=line, timeout=20_000)
    page.wait_for_timeout(1500)
    seen = []
    page.on("request", lambda request: seen.append(request.url))
    page.wait_for_timeout(6000)
    assert seen == []


def test_a_word_leads_to_the_glossary(page, options):  # noqa: F811
    fill(page, "prompt", ORDINARY)
    page.locator("#memorization_guard_txt2img_enabled-checkbox input").first.check()
    page.locator("#txt2img_generate").click()
    page.locator("#memorization_guard_verdict_txt2img details.memorization-guard-details > summary").first.click(timeout=60_000)
    page.locator("#memorization_guard_verdict_txt2img .memorization-guard-glossary").first.click()
    page.locator("#memorization_guard_tab_glossary").get_by_text("training picture").first.wait_for(state="visible", timeout=20_000)


def test_sentences_are_joined_as_their_language_joins_them():
    assert language.joined(["One.", "", "Two."]) == "One. Two." and language.joined([]) == ""
    assert language.joined(["一。", "二？", "三"]) == "一。二？三"
