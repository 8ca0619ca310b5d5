"""Settings and verdicts through infotext and back, and the host's text format."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
from conftest import with_scores
from hypothesis import assume, example, given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_stability.guard.damping import POLICIES as DAMPINGS
from lib_stability.guard.damping import Damping
from lib_stability.guard.options import MODES, Options
from lib_stability.guard.outcome import OUTCOMES
from lib_stability.guard.probe import POLICIES as PROBES
from lib_stability.guard.probe import Probe
from lib_stability.guard.sensitivity import LEVELS, thresholds
from lib_stability.guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG, Verdict
from lib_stability.trail import infotext
from lib_stability.trail.infotext import Settings, read, write

NAMES = st.text(st.characters(categories=["L", "N"]) | st.sampled_from(" .+()[]-_"), min_size=1, max_size=100).map(lambda s: " ".join(s.split()))
PROFILES = NAMES.filter(lambda s: s and (s[0].isalnum() or s[0] == "_") and ".." not in s)
SETTINGS = st.builds(
    Settings,
    enabled=st.just(True),
    mode=st.sampled_from(MODES),
    sensitivity=st.sampled_from(LEVELS),
    tau=st.floats(0.1, 1000),
    damping=st.sampled_from(DAMPINGS),
    strength=st.floats(0, 4),
    margin=st.none() | st.floats(-3, 5),
    profile=PROFILES,
    probe=st.sampled_from(PROBES),
    probe_evaluations=st.integers(1, 3),
    again=st.booleans(),
    tries=st.integers(1, 16),
)
SCORES = st.floats(-1e4, 1e6)


@st.composite
def verdicts(draw, reasons=st.text(max_size=120)) -> Verdict:
    """Verdicts as a guard makes them."""
    total = draw(st.integers(1, 9999))
    damped = draw(st.integers(0, total))
    kind = draw(st.sampled_from((STABLE, MILD, STRONG, NOT_JUDGED)))
    if kind == NOT_JUDGED:
        return Verdict(kind, evaluations=total, damped=damped, reason=draw(reasons))
    detector = draw(st.sampled_from(("watch", "probe")))
    if kind == STABLE:
        return Verdict(kind, draw(SCORES), 3.0, evaluations=total, detector=detector)
    stopped = draw(st.none() | st.integers(1, total)) if kind == STRONG else None
    reason = draw(st.just("") | reasons)  # a flag may have been left without something
    outcome = draw(st.sampled_from(["", *OUTCOMES])) if damped else ""
    after = draw(SCORES) if outcome else None
    at, flag = draw(st.integers(1, total)), draw(st.sampled_from(["", "early", "late"]))
    return Verdict(kind, draw(SCORES), 3.0, at, total, damped, detector, reason, stopped, outcome, score_after=after, flag=flag)


def kept(verdict: Verdict | None) -> Verdict | None:
    """What infotext keeps of a verdict."""
    if verdict is None:
        return None
    shown = {"score": verdict.score, "score_after": verdict.score_after}
    return dataclasses.replace(
        verdict,
        **{name: value if value is None else round(float(f"{value:.3g}"), 3) for name, value in shown.items()},
        threshold=None,
        evaluations=verdict.evaluations if verdict.flagged or verdict.damped else 0,
        detector=verdict.detector if verdict.flagged else "",
        reason=infotext.clean(verdict.reason, 80),
    )


# -- the table -------------------------------------------------------------------------------------------------------------------------------


def test_every_setting_has_one_key() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields - set(infotext.SETTINGS) == {"enabled"}
    assert set(infotext.SETTINGS) <= fields


def test_every_result_has_one_key() -> None:
    fields = {field.name for field in dataclasses.fields(Verdict)}
    # Behind the slash, in the brackets of the verdict, and derived from settings and profile.
    assert fields - set(infotext.RESULTS) == {"evaluations", "reason", "threshold"}
    assert set(infotext.RESULTS) <= fields
    groups = {group for result in infotext.RESULTS.values() for group in re.compile(result.pattern).groupindex}
    assert groups == fields - {"threshold"}


def test_keys_are_unique_and_fit_the_host() -> None:
    assert len(set(infotext.KEYS)) == len(infotext.KEYS) == len(infotext.SETTINGS) + len(infotext.PASS_PREFIXES) * len(infotext.RESULTS) + 4
    assert all(key.startswith(infotext.PREFIX) and re.fullmatch(r"\w[\w \-/]+", key) for key in infotext.KEYS)


def test_defaults_are_those_of_the_core() -> None:
    default, probe = Settings(), Probe(region=None, predict=None)
    assert default.to_options() == Options()
    assert (default.probe, default.probe_evaluations) == (probe.policy, probe.evaluations)
    assert not default.enabled and default.profile == infotext.AUTO


# -- settings ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("enabled", v) for v in (1, 0, None, "true")),
        *(("mode", v) for v in ("", "Damp", "off", None, 1, ["damp"])),
        *(("sensitivity", v) for v in ("", "max", 3.0)),
        *(("tau", v) for v in (0.0999, 1000.1, -1, math.nan, math.inf, "3", None, True, 10**400)),
        *(("damping", v) for v in ("none", None)),
        *(("strength", v) for v in (-0.01, 4.01, math.nan, "1", True)),
        *(("margin", v) for v in (-3.01, 5.01, math.nan, "2", False)),
        *(("profile", v) for v in ("", "../x", "a/b", "a,b", "a:b", 'a"b', "a\nb", "x" * 101, " a", None, 3)),
        *(("probe", v) for v in ("Auto", "on", None)),
        *(("probe_evaluations", v) for v in (0, 4, 1.5, True, "2", None, math.nan, math.inf)),
    ],
)
def test_bad_settings_name_their_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        Settings(**{field: value})


def test_bounds_are_those_of_the_core() -> None:
    region = with_scores([])
    for tau in (0.1, 1000):
        assert thresholds(region, "custom", Settings(tau=tau).tau).mild == tau
    for tau in (0.0999, 1000.1):
        with pytest.raises(ValueError, match="threshold"):
            thresholds(region, "custom", tau)
    for field, low, high in (("strength", 0, 4), ("margin", -3, 5)):
        for bound in (low, high):
            assert getattr(Settings(**{field: bound}).to_options().damping, field) == bound
        for bound in (low - 0.01, high + 0.01):
            with pytest.raises(ValueError, match=field):
                Damping(**{field: bound})


def test_sliders_may_deliver_whole_floats() -> None:
    settings = Settings(probe_evaluations=3.0, tau=4)
    assert (settings.probe_evaluations, settings.tau) == (3, 4.0)
    assert type(settings.probe_evaluations) is int and type(settings.tau) is float


def test_options() -> None:
    settings = Settings(True, "report", "custom", 4.5, "radial", 2.0, 1.0)
    assert settings.to_options() == Options("report", "custom", 4.5, Damping("radial", 2.0, 1.0))


# -- writing -----------------------------------------------------------------------------------------------------------------------------------


def test_example() -> None:
    mode = next(mode for mode in MODES if mode != Settings.mode)
    settings = Settings(True, mode, "high", damping="radial", margin=2.0, profile="My model (768)", probe="always", probe_evaluations=1)
    first = Verdict(STRONG, 18.234, 2.5, 2, 20, 6, "probe")
    assert list(write(settings, first, Verdict(NOT_JUDGED, evaluations=9, reason="no profile")).items()) == [
        ("MG mode", mode),
        ("MG sensitivity", "high"),
        ("MG damping", "radial"),
        ("MG margin", "2"),
        ("MG profile", "My model (768)"),
        ("MG probe", "always"),
        ("MG probe evaluations", "1"),
        ("MG verdict", "strong"),
        ("MG score", "18.2"),
        ("MG flagged at", "2/20"),
        ("MG damped", "6/20"),
        ("MG flagged by", "probe"),
        ("MG hires verdict", "not judged (no profile)"),
        ("MG version", infotext.clean(infotext.__version__)),
    ]


def test_defaults_are_dropped() -> None:
    assert list(write(Settings(True), None)) == ["MG version"]
    assert list(write(Settings(True), Verdict(STABLE, 1.0, 3.0, evaluations=20, detector="watch"))) == ["MG verdict", "MG score", "MG version"]


def test_a_threshold_that_did_not_count_is_dropped() -> None:
    assert [list(write(Settings(True, sensitivity=level, tau=16.0), None)) for level in ("medium", "custom")] == [
        ["MG version"],
        ["MG sensitivity", "MG threshold", "MG version"],
    ]


@given(SETTINGS, verdicts(), verdicts())
def test_off_writes_nothing(settings: Settings, first: Verdict, second: Verdict) -> None:
    assert write(dataclasses.replace(settings, enabled=False), first, second) == {}


@given(SETTINGS, st.none() | verdicts(), st.none() | verdicts())
def test_order_and_keys(settings: Settings, first: Verdict | None, second: Verdict | None) -> None:
    keys = list(write(settings, first, second))
    assert keys == [key for key in infotext.KEYS if key in keys]


@given(SETTINGS, verdicts(), verdicts())
@example(Settings(True), Verdict(NOT_JUDGED, reason="a, b: \"c\" 'd'\n\te\x00\u2028f\u202eg"), Verdict(NOT_JUDGED, reason=",:"))
def test_values_hold_nothing_that_is_quoted_or_hidden(settings: Settings, first: Verdict, second: Verdict) -> None:
    values = write(settings, first, second)
    for value in values.values():
        assert value and value == value.strip() and value.isprintable() and len(value) <= 100
        assert not re.search(r"[,:\"'`‘’“”«»\n\r<>&\\]", value)
    assert '"' not in infotext.format_line(values)


@given(st.text(max_size=200))
def test_clean_is_idempotent(text: str) -> None:
    assert infotext.clean(infotext.clean(text)) == infotext.clean(text)


def test_every_character_that_clean_lets_through_is_printable() -> None:
    kept = infotext.clean("".join(map(chr, range(0x110000))), longest=0x110000)
    assert kept.isprintable() and not set(kept) & set(",:\"'`")


@pytest.mark.parametrize("score", [None, math.nan, math.inf, -math.inf])
def test_no_score(score: float | None) -> None:
    assert "MG score" not in write(Settings(True), Verdict(STABLE, score))


# -- reading -----------------------------------------------------------------------------------------------------------------------------------


def as_written(settings: Settings) -> Settings:
    """Without a threshold that did not count."""
    return settings if settings.sensitivity == "custom" else dataclasses.replace(settings, tau=Settings.tau)


@given(SETTINGS, st.none() | verdicts(), st.none() | verdicts())
@example(Settings(True, profile="512x768"), Verdict(STABLE, 0.0), None)
@example(Settings(True), Verdict(NOT_JUDGED, reason="a) (b"), Verdict(NOT_JUDGED, reason=""))
def test_round_trip(settings: Settings, first: Verdict | None, second: Verdict | None) -> None:
    malformed: list[str] = []
    written = write(settings, first, second)
    settings = as_written(settings)
    assert read(written, malformed) == (settings, kept(first), kept(second))
    assert malformed == []
    others = {"Steps": "20", "Size": "512x512", **written, "Version": "v1.10.1"}
    assert read(infotext.parse_line(infotext.format_line(others))) == (settings, kept(first), kept(second))


@given(SETTINGS, st.none() | verdicts(), st.none() | verdicts())
def test_writing_what_was_read_changes_nothing(settings: Settings, first: Verdict | None, second: Verdict | None) -> None:
    written = write(settings, first, second)
    assert write(*read(written)) == written


@pytest.mark.parametrize("params", [{}, {"Steps": "20", "Sampler": "Euler"}, {"MG": "x"}, {"mg verdict": "strong"}])
def test_no_key_means_off(params: dict[str, str]) -> None:
    assert read(params) == (Settings(), None, None)


@pytest.mark.parametrize("params", [{"MG version": "9.9"}, {"MG future key": "x: y"}])
def test_any_key_means_on(params: dict[str, str]) -> None:
    malformed: list[str] = []
    assert read(params, malformed) == (Settings(enabled=True), None, None)
    assert malformed == []


def test_a_text_from_before_damped_pictures_had_two_scores() -> None:
    params = {"MG mode": "damp", "MG verdict": "strong", "MG score": "58", "MG flagged at": "1/20", "MG damped": "20/20"}
    malformed: list[str] = []
    verdict = read({**params, "MG outcome": "steered away", "MG version": "0.1.0"}, malformed)[1]
    assert verdict == Verdict(STRONG, 58.0, None, 1, 20, 20, outcome="steered away") and malformed == []


def test_the_host_splits_sizes() -> None:
    assert read({"MG version": "1", "MG profile-1": "512", "MG profile-2": "768"})[0].profile == "512x768"


def test_case_and_spaces_do_not_matter() -> None:
    settings, verdict, _ = read({"MG mode": " Report ", "MG sensitivity": "HIGH", "MG verdict": "not judged", "MG threshold": " 4 "})
    assert (settings.mode, settings.sensitivity, settings.tau, verdict) == ("report", "high", 4.0, Verdict(NOT_JUDGED))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MG mode", "destroy"),
        ("MG sensitivity", ""),
        ("MG threshold", "nan"),
        ("MG threshold", "1e999"),
        ("MG threshold", "0"),
        ("MG strength", "five"),
        ("MG margin", "None"),
        ("MG profile", "../../etc"),
        ("MG profile", 7),
        ("MG probe evaluations", "1.5"),
        ("MG probe evaluations", "inf"),
        ("MG verdict", "fine"),
        ("MG verdict", "stable (really)"),
        ("MG verdict", "not judged(x)"),
        ("MG verdict", None),
        ("MG score", "inf"),
        ("MG score", "1_0"),
        ("MG score after", "-inf"),
        ("MG score", ["1"]),
        ("MG flagged at", "0/20"),
        ("MG flagged at", "3/2"),
        ("MG flagged at", "2"),
        ("MG flagged at", "9" * 5000 + "/1"),
        ("MG damped", "-1/20"),
        ("MG flagged by", "someone"),
    ],
)
def test_a_malformed_value_is_skipped_and_listed(key: str, value: object) -> None:
    good = write(Settings(True, sensitivity="low"), Verdict(MILD, 4.5, 3.0, 2, 20, 6, "watch"))
    malformed: list[str] = []
    found = read({**good, key: value}, malformed)
    assert found == read({name: text for name, text in good.items() if name != key})
    # None is how a host drops a key.
    assert [line.split(":")[0] for line in malformed] == [key] * (value is not None)


def test_contradicting_numbers_of_evaluations() -> None:
    malformed: list[str] = []
    _, verdict, _ = read({"MG verdict": "mild", "MG flagged at": "2/20", "MG damped": "6/30"}, malformed)
    assert verdict == Verdict(MILD, flagged_at=2, evaluations=20) and len(malformed) == 1


GARBAGE = st.text(max_size=40) | st.sampled_from(["2/20", "not judged (x)", "stable", "1e400", "nan", "-0", "٣/٤", "²", "x" * 10**4])
ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | GARBAGE | st.binary(max_size=9), st.lists, max_leaves=3)


@given(st.dictionaries(st.sampled_from(infotext.KEYS) | st.sampled_from(["MG profile-1", "MG profile-2", "MG x"]) | st.text(max_size=9), ANYTHING))
def test_garbage_never_raises(params: dict) -> None:
    malformed: list[str] = []
    settings, *both = read(params, malformed)
    assert all(verdict is None or isinstance(verdict, Verdict) for verdict in both)
    assert write(*read(write(settings, *both))) == write(settings, *both)
    assert all(len(line) < 200 for line in malformed)


# -- the host's text ---------------------------------------------------------------------------------------------------------------------------

PARAMETER_KEYS = st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_ /-]{0,20}[A-Za-z0-9_]\Z")
PARAMETERS = st.dictionaries(PARAMETER_KEYS, st.text(max_size=30) | st.sampled_from(['"', '""', '"a"', '"a" b', "a, b: c", " ", "\\", 'a\\"', "{}"]))


@given(PARAMETERS)
def test_parameter_line_round_trip(params: dict[str, str]) -> None:
    assert infotext.parse_line(infotext.format_line(params)) == params


def host_reads(line: str) -> dict[str, str]:
    """What AUTOMATIC1111's web UI makes of a parameter line, sizes aside: its documented pattern, values quoted as JSON."""
    found = {}
    for key, value in re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', line):
        found[key] = json.loads(value) if value[:1] == '"' == value[-1:] else value
    return found


@given(PARAMETERS)
def test_the_host_reads_what_we_write(params: dict[str, str]) -> None:
    # A vertical tab and its like count as space to the host's pattern, but only at the start of a bare value; we quote those.
    assert host_reads(infotext.format_line(params)) == params


@pytest.mark.parametrize("key", ["", "a", "a:b", "a,b", " a b", "ab ", "a\nb", '"ab"', "a.b"])
def test_impossible_keys(key: str) -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        infotext.format_line({key: "x"})


def test_real_line() -> None:
    line = (
        'Steps: 20, Sampler: DPM++ 2M, Size: 512x512, Lora hashes: "a: 1, b: 2", ADetailer prompt: "x, \\"y\\"", Hires upscale: 2, Version: v1.10.1'
    )
    assert infotext.parse_line(line) == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Size": "512x512",
        "Lora hashes": "a: 1, b: 2",
        "ADetailer prompt": 'x, "y"',
        "Hires upscale": "2",
        "Version": "v1.10.1",
    }


@given(st.text(max_size=200) | st.text(st.sampled_from('ab:," \\\n'), max_size=200))
def test_any_text_can_be_parsed(text: str) -> None:
    prompt, negative, params = infotext.parse_text(text)
    assert isinstance(prompt, str) and isinstance(negative, str)
    assert all(isinstance(value, str) for value in params.values())
    read(params)


PROMPTS = st.text(max_size=60).map(str.strip)


@given(PROMPTS, PROMPTS, SETTINGS, verdicts())
def test_whole_text_round_trip(prompt: str, negative: str, settings: Settings, verdict: Verdict) -> None:
    assume("Negative prompt:" not in prompt)
    params = {"Steps": "20", "Sampler": "Euler", "CFG scale": "7.5", **write(settings, verdict)}
    assert infotext.parse_text(infotext.format_text(prompt, negative, params)) == (prompt, negative, params)


def test_without_parameters_or_negative_prompt() -> None:
    assert infotext.parse_text("a cat, style: ink") == ("a cat, style: ink", "", {})
    assert infotext.parse_text("") == ("", "", {})
    assert infotext.format_text("a\nb", "", {"Steps": "20", "Sampler": "Euler", "Seed": "1"}) == "a\nb\nSteps: 20, Sampler: Euler, Seed: 1"


def test_through_a_png(tmp_path) -> None:
    params = {"Steps": "20", "Sampler": "Euler", "Note": "a, b", **write(Settings(True), Verdict(MILD, 3.456, 2.9, 1, 20, 19, "watch"))}
    info = PngInfo()
    info.add_text("parameters", infotext.format_text("große Katze", "blurry", params))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    with Image.open(tmp_path / "a.png") as image:
        prompt, negative, found = infotext.parse_text(image.text["parameters"])
    assert (prompt, negative, found) == ("große Katze", "blurry", params)
    assert read(found) == (Settings(True), Verdict(MILD, 3.46, None, 1, 20, 19, "watch"), None)


def test_what_an_image_stands_for():
    told = "seed 7 (strong) - 2 tries"
    params = write(Settings(enabled=True, mode="replace"), Verdict(STABLE, 1.0, 3.0, evaluations=20, detector="watch"), replaced=told)
    assert params[infotext.REPLACED_KEY] == told and infotext.replaced(params) == "7" and read(params)[1].verdict == STABLE
    assert infotext.replaced(write(Settings(enabled=True), None, replaced="no - interrupted")) == "" == infotext.replaced({})


@pytest.mark.parametrize(("text", "again"), [("false", False), ("False", False), ("true", True), ("maybe", True), ("", True)])
def test_a_switch_is_read_in_words(text, again):
    malformed = []
    assert read({"MG sample again": text}, malformed)[0].again is again
    assert bool(malformed) == (text in ("maybe", ""))
