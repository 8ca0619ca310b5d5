"""Profiles: what is written is read back, what is broken is refused by name, and which one serves a checkpoint."""

from __future__ import annotations

import copy
import json
import math
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib_stability.profile import storage
from lib_stability.profile.displacing import outlook
from lib_stability.profile.profiles import Model, Profile, choose
from lib_stability.profile.storage import MAX_BYTES, load_all, read, write
from lib_stability.validation import NAME, Field, ValidationError

#: Fields that a file may lack, and what follows from that is tested apart.
OPTIONAL = {"provenance", "negative", "probe_guidance", "probe", "checkpoint", "sha256", "false_alarms", "guided_spread"}
#: Texts that may be anything, and numbers for people that are not read.
FREE = {"checkpoint", "provenance", "false_alarms"}
HUGE = 10**400


def equal(one: Profile, other: Profile) -> bool:
    """Same content to the digits that the file keeps."""
    return one.to_json() == other.to_json()


def paths(value: object, path: tuple = ()) -> list[tuple]:
    """Every place of a JSON document; of a list of numbers its first, middle and last."""
    if isinstance(value, dict):
        inner = [p for key, item in value.items() for p in paths(item, (*path, key))]
    elif isinstance(value, list):
        inner = [p for i in sorted({0, len(value) // 2, len(value) - 1}) if value for p in paths(value[i], (*path, i))]
    else:
        inner = []
    return [path, *inner] if path else inner


def written(path: tuple) -> str:
    """A path as messages spell it: ``.watch.grid.knots[3]``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def parent(document: dict, path: tuple) -> object:
    for step in path[:-1]:
        document = document[step]
    return document


def mutated(document: dict, path: tuple, value: object) -> dict:
    document = copy.deepcopy(document)
    parent(document, path)[path[-1]] = value
    return document


def as_text(document: object) -> str:
    """JSON in which an infinity is spelled as the number that overflows."""
    return json.dumps(document).replace("Infinity", "1e400")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiles")


@pytest.fixture(scope="session")
def document(profile: Profile) -> dict:
    return json.loads(json.dumps(profile.to_json()))


def refusal(text: str | bytes, folder: Path) -> str:
    """The message with which a file of this content is refused."""
    path = folder / "broken.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValidationError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith("broken.json"), message
    return message


# -- round trip ----------------------------------------------------------------------------------------------------------------------


def test_round_trip(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "profile.json"
    write(profile, path)
    again = read(path)
    assert equal(again, profile)
    assert (again.name, again.kind, again.model, again.provenance) == (profile.name, profile.kind, profile.model, profile.provenance)
    np.testing.assert_allclose(again.watch.knots_, profile.watch.knots_, rtol=1e-6)
    np.testing.assert_allclose(again.watch.scores_, profile.watch.scores_, rtol=1e-6)
    assert [entry.name for entry in path.parent.iterdir()] == ["profile.json"]


def test_round_trip_of_a_flow_prior_without_a_probe(flow_region, tmp_path: Path) -> None:
    flow_prior = Profile("Flow prior", "prior", Model("flux", "flow"), replace_scores(flow_region, []))
    write(flow_prior, tmp_path / "p.json")
    again = read(tmp_path / "p.json")
    assert equal(again, flow_prior)
    assert again.probe is None and len(again.watch.scores_) == 0 and again.watch.parameterisation == "flow"


def test_the_provenance_of_a_file_tells_of_distilled_guidance(flow_region, tmp_path: Path) -> None:
    profile = Profile("Flux dev", "prior", Model("flux", "flow", distilled=True), replace_scores(flow_region, []), probe_guidance=5.0)
    write(profile, tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text())
    assert document["provenance"] == {"distilled": True} and "distilled" not in document["model"]
    again = read(tmp_path / "p.json")
    assert again.model == profile.model and again.probe_guidance == 5.0 and "distilled guidance" in again.evidence
    for claimed in (False, "yes", 1, None):
        document["provenance"]["distilled"] = claimed
        assert Profile.from_json(document).model.distilled is False


def replace_scores(region, scores: list[float]):
    region = copy.copy(region)
    region.scores_ = np.array(scores)
    return region


NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda name: ".." not in name and name.lower() != "auto")
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(name=NAMES, provenance=st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4), guidance=st.floats(5, 100))
@example(name="Mine [ 1 2 ]", provenance={}, guidance=7.5)
@example(name="Mine", provenance={"note": "sizes [ 512  768 ]", "steps": [20, 30]}, guidance=7.5)
def test_round_trip_keeps_texts_and_provenance(profile: Profile, folder: Path, name: str, provenance: dict, guidance: float) -> None:
    described = replace(profile, name=name, provenance=provenance, probe_guidance=guidance, kind="prior")
    write(described, folder / "described.json")
    again = read(folder / "described.json")
    assert (again.name, again.provenance, again.probe_guidance, again.kind) == (name, provenance, guidance, "prior")


def test_the_file_is_short_to_read_in_an_editor(profile: Profile, tmp_path: Path) -> None:
    write(profile, tmp_path / "p.json")
    lines = (tmp_path / "p.json").read_text().splitlines()
    assert len(lines) < 120 and any(line.strip().startswith('"knots": [') and line.rstrip(",").endswith("]") for line in lines)


# -- refusals ------------------------------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_missing_field_is_named(document: dict, folder: Path, data: st.DataObject) -> None:
    required = [p for p in paths(document) if not OPTIONAL & {p[-1]} and not FREE & set(p) and isinstance(p[-1], str)]
    path = data.draw(st.sampled_from(required))
    broken = copy.deepcopy(document)
    del parent(broken, path)[path[-1]]
    message = refusal(as_text(broken), folder)
    assert message.startswith(f"broken.json{written(path[:-1])}:") and repr(path[-1]) in message


def wrong_values(path: tuple, old: object) -> list[object]:
    """Values that no place of a profile may hold, and those that this one may not."""
    wrong = [True, math.inf, -math.inf, HUGE, -HUGE, [0.0] * 30_000, [[[]]], "../../x"]
    if not isinstance(old, dict):
        wrong.append({})
    if path[-1] not in ("probe", "sha256", "negative"):
        wrong.append(None)
    if isinstance(old, str):
        wrong += [1, "x" * 3000, "nul\0", "line\nbreak", "C:\\x", "/etc/passwd"]
    else:
        wrong += ["", "1"]
    if path[-1] == "version":
        wrong += [2, 999, 0, -1, 1.0, "1"]
    return wrong


@given(st.data())
def test_a_wrong_value_is_named(document: dict, folder: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([p for p in paths(document) if not FREE & set(p)]))
    old = parent(document, path)[path[-1]]
    value = data.draw(st.sampled_from(wrong_values(path, old)))
    message = refusal(as_text(mutated(document, path, value)), folder)
    assert message.startswith(f"broken.json{written(path)}"), message
    assert len(message) < 400


@pytest.mark.parametrize("key", ["watch", "probe"])
def test_every_place_of_a_region_refuses_every_wrong_value(document: dict, folder: Path, key: str) -> None:
    for path in paths(document):
        if path[0] == key and not FREE & set(path):
            for value in (True, math.inf, HUGE, "../../x", [0.0] * 30_000):
                message = refusal(as_text(mutated(document, path, value)), folder)
                assert message.startswith(f"broken.json{written(path)}"), message


@given(st.data())
def test_not_a_number_is_refused(document: dict, folder: Path, data: st.DataObject) -> None:
    """``NaN`` is no JSON, so a file that holds one is refused as a whole; a document from elsewhere is refused by field."""
    path = data.draw(st.sampled_from([p for p in paths(document) if not FREE & set(p)]))
    value = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    broken = mutated(document, path, value)
    assert str(value).removeprefix("-").lower()[:3] in refusal(json.dumps(broken), folder).lower()
    with pytest.raises(ValidationError, match=rf"^from the page{re.escape(written(path))}"):
        Profile.from_json(broken, "from the page")


@pytest.mark.parametrize("path", [("version",), ("watch", "version"), ("probe", "version")])
@pytest.mark.parametrize("version", [3, 10**6])
def test_a_future_version_says_so(document: dict, folder: Path, path: tuple, version: int) -> None:
    message = refusal(as_text(mutated(document, path, version)), folder)
    assert f"broken.json{written(path)}: {version} is newer" in message


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "C:x",
        "a..b",
        "",
        " ",
        ".hidden",
        "a ",
        "Auto",
        "x" * 101,
        "a\nb",
        "a\0b",
        "<b>",
        "a,b",
        "a:b",
        "a\n",
    ],
)
def test_path_like_and_odd_names_are_refused(document: dict, folder: Path, name: str) -> None:
    assert refusal(as_text(mutated(document, ("name",), name)), folder).startswith("broken.json.name: ")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "prediction"), "flow"),
        (("model", "prediction"), "eps"),
        (("model", "family"), "SD 1"),
        (("model", "sha256"), "AB" * 32),
        (("model", "sha256"), "ab" * 31),
        (("kind",), "guess"),
        (("format",), "memorization-guard-region"),
        (("probe_guidance",), 0.5),
        (("watch", "parameterisation"), "vp"),
        (("watch", "guidance"), [5.0, 2.0]),
        (("watch", "guidance"), [1.0, 2.0, 3.0]),
        (("watch", "grid", "knots"), [0.0]),
        (("watch", "grid", "knots"), [0.0, 0.1, 0.3]),
        (("watch", "grid", "knots"), [0.3, 0.2, 0.1]),
        (("watch", "grid", "knots"), [0.1, 0.1]),
        (("watch", "statistics", "rate", "a"), [1.0]),
        (("watch", "statistics", "clean", "spread"), []),
    ],
)
def test_values_that_do_not_go_together(document: dict, folder: Path, path: tuple, value: object) -> None:
    assert refusal(as_text(mutated(document, path, value)), folder).startswith(f"broken.json{written(path)}: ")


@pytest.mark.parametrize("axis", ["logit_sigma", "sigma", 3, None])
def test_a_grid_on_another_axis_is_refused(document: dict, folder: Path, axis: object) -> None:
    """The knots of one parameterisation read as those of the other would judge at the wrong noise levels without a word."""
    assert "axis" in refusal(as_text(mutated(document, ("watch", "grid", "axis"), axis)), folder)


@given(st.data())
def test_whatever_a_file_holds_it_is_read_or_refused(document: dict, folder: Path, data: st.DataObject) -> None:
    """Several mutations anywhere, the free fields included; a profile that was read can be written and is read again as the same."""
    broken, places = copy.deepcopy(document), paths(document)
    for path in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        try:
            holder = parent(broken, path)
            if data.draw(st.booleans()):
                del holder[path[-1]]
            else:
                holder[path[-1]] = data.draw(JSON_VALUES | st.sampled_from([math.nan, math.inf, HUGE, "\ud800", [0.5] * 600]))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took the place away
    path = folder / "mutated.json"
    path.write_text(as_text(broken), encoding="utf-8")
    try:
        found = read(path)
    except ValidationError as error:
        assert str(error).startswith("mutated.json")
        return
    write(found, folder / "again.json")
    assert equal(read(folder / "again.json"), found)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_provenance_that_could_not_be_written_is_refused(document: dict, folder: Path, value: float) -> None:
    broken = mutated(document, ("provenance", "steps"), value)
    refusal(as_text(broken), folder)
    with pytest.raises(ValidationError, match=r"^page\.provenance"):
        Profile.from_json(broken, "page")


def test_provenance_has_a_limit(document: dict, folder: Path) -> None:
    assert refusal(as_text(mutated(document, ("provenance", "note"), "x" * 30_000)), folder).startswith("broken.json.provenance: ")
    assert refusal(as_text(mutated(document, ("provenance",), [])), folder).startswith("broken.json.provenance: ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"{]",
        b"\x00",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{'a': 1}",
        b"\x80",
        b"\x89PNG\r\n\x1a\n",
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_files_that_are_not_json(folder: Path, content: bytes) -> None:
    assert "not JSON" in refusal(content, folder)


@pytest.mark.parametrize("content", ["null", "1", "[]", '"text"', "true", "NaN", "1e400", "[{}]", "{}", '{"format": "x"}'])
def test_json_that_is_no_profile(folder: Path, content: str) -> None:
    refusal(content, folder)


@pytest.mark.parametrize("path", [("provenance", "sampler"), ("name",), ("watch", "grid", "knots"), ("watch",), ("model", "family")])
@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_read_or_refused(document: dict, folder: Path, path: tuple, brackets: tuple[str, str]) -> None:
    """Above all near the depth at which Python gives up, where reading may succeed and writing out again may not."""
    text = as_text(mutated(document, path, "deep"))
    limit = sys.getrecursionlimit()
    for depth in (100, *range(limit - 150, limit + 10, 3), 20_000):
        (folder / "deep.json").write_text(text.replace('"deep"', brackets[0] * depth + "1" + brackets[1] * depth))
        try:
            read(folder / "deep.json")
        except ValidationError as error:
            assert str(error).startswith("deep.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: pytest.fail("read all the same"))
    with pytest.raises(ValidationError, match=r"^large\.json: larger than"):
        read(path)


def test_the_largest_profile_fits_the_limit(profile: Profile, tmp_path: Path) -> None:
    many = replace_scores(profile.watch, list(np.random.default_rng(0).normal(size=20_000)))
    write(replace(profile, watch=many, probe=many), tmp_path / "p.json")
    assert len(read(tmp_path / "p.json").watch.scores_) == 20_000


def test_fields_that_may_be_missing(document: dict, folder: Path) -> None:
    shorter = {key: value for key, value in document.items() if key not in ("probe", "provenance", "negative", "probe_guidance")}
    shorter["model"] = {key: document["model"][key] for key in ("family", "prediction")}
    (folder / "shorter.json").write_text(as_text(shorter))
    found = read(folder / "shorter.json")
    assert (found.probe, found.provenance, found.negative, found.probe_guidance) == (None, {}, "", 7.5)
    assert (found.model.checkpoint, found.model.sha256) == ("", "")


# -- single values -------------------------------------------------------------------------------------------------------------------


@given(value=st.floats(allow_nan=True) | st.integers() | st.sampled_from([HUGE, -HUGE, True, None, "1", [], {}]), low=st.floats(-1e6, 1e6))
def test_numbers_are_in_range_or_refused(value: object, low: float) -> None:
    field = Field(value, "file.field")
    valid = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= low + 100
    if valid:
        assert field.number(low, low + 100) == value
    else:
        with pytest.raises(ValidationError, match=r"^file\.field: has to be"):
            field.number(low, low + 100)


def test_elements_of_a_list_are_named_by_their_place() -> None:
    with pytest.raises(ValidationError, match=re.escape("file.field[2]: ")):
        Field([1.0, 2.0, math.nan], "file.field").numbers(0, 10, 1, 5)
    np.testing.assert_array_equal(Field([1, 2.5], "file.field").numbers(0, 10, 2, 2), [1.0, 2.5])


# -- choice --------------------------------------------------------------------------------------------------------------------------

HERE, ELSEWHERE = "aa" * 32, "bb" * 32


@pytest.fixture(scope="session")
def made(region):
    def make(name: str, family: str = "sd1", prediction: str = "epsilon", sha256: str = "", kind: str = "prior", runs: int = 200) -> Profile:
        measured = replace_scores(region, list(np.linspace(-1, 3, runs)) if kind == "calibrated" else [])
        return Profile(name, kind, Model(family, prediction, sha256=sha256), measured)

    return make


def chosen(candidates: list[Profile], sha256: str = HERE, family: str = "sd1", prediction: str = "epsilon") -> str | None:
    return getattr(choose(candidates, sha256, family, prediction)[0], "name", None)


def test_hash_before_family_before_any_before_none(made) -> None:
    candidates = [made("hash", "other", sha256=HERE), made("family"), made("any", "any")]
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        ordered = [candidates[i] for i in order]
        assert chosen(ordered) == "hash"
        assert chosen(ordered, sha256=ELSEWHERE) == "family"
        assert chosen(ordered, sha256="") == "family"
        assert chosen(ordered, sha256="", family="sdxl") == "any"
        assert chosen(ordered, sha256="", family="") == "any"
    assert chosen([made("family")], family="sdxl") is None
    assert chosen([]) is None


def test_a_hash_prior_goes_before_a_calibrated_family(made) -> None:
    assert chosen([made("family", kind="calibrated"), made("hash", sha256=HERE)]) == "hash"


@pytest.mark.parametrize("sha256", [HERE, ""])
@pytest.mark.parametrize("family", ["sd1", "any"])
def test_prediction_types_are_never_crossed(made, sha256: str, family: str) -> None:
    candidates = [made("v", family, "v", sha256, "calibrated"), made("epsilon", family, "epsilon", sha256, "calibrated")]
    assert chosen(candidates, prediction="v") == "v"
    assert chosen(candidates, prediction="epsilon") == "epsilon"
    assert chosen(candidates, prediction="flow") is None


@pytest.mark.parametrize("sha256", [HERE, ""])
def test_nor_are_kinds_of_guidance(made, sha256: str) -> None:
    plain = made("plain", "flux", "flow", sha256, "calibrated")
    distilled = replace(plain, name="distilled", model=replace(plain.model, distilled=True))
    for candidates in ([plain, distilled], [distilled, plain]):
        assert choose(candidates, sha256, "flux", "flow")[0] is plain
        assert choose(candidates, sha256, "flux", "flow", True)[0] is distilled
    assert choose([plain], sha256, "flux", "flow", True) == (None, "no profile for flow prediction with distilled guidance fits")
    assert choose([distilled], sha256, "flux", "flow") == (None, "no profile for flow prediction fits")
    assert outlook(distilled, [plain]).displaced == [] and outlook(plain, [distilled]).displaced == []


def test_calibrated_before_prior_then_the_later(made) -> None:
    assert chosen([made("calibrated", kind="calibrated"), made("prior")]) == "calibrated"
    assert chosen([made("prior"), made("calibrated", kind="calibrated")]) == "calibrated"
    assert chosen([made("bundled"), made("own")]) == "own"
    assert chosen([made("older", kind="calibrated"), made("newer", kind="calibrated"), made("prior")]) == "newer"
    assert chosen([made("calibrated", sha256=HERE, kind="calibrated"), made("prior", sha256=HERE)]) == "calibrated"


def test_a_trial_serves_nobody_who_did_not_ask(made) -> None:
    """24 runs took over from 1,600, and an ordinary caption became strong."""
    good, small = made("good", sha256=HERE, kind="calibrated", runs=1600), made("small", sha256=HERE, kind="calibrated", runs=24)
    assert chosen([good, small]) == chosen([small, good]) == "good"
    assert chosen([made("prior"), small]) == "prior" and chosen([small]) is None
    assert small.trial == "only 24 reference runs" and good.trial == "" and made("prior").trial == ""
    assert chosen([made("99", kind="calibrated", runs=99)]) is None and chosen([made("100", kind="calibrated", runs=100)]) == "100"
    # Five in a hundred may have been left out, not more.
    for left_out, name in ((5, "95"), (50, "95"), (True, None), (-9, None), ("5", None)):
        assert chosen([replace(made("95", kind="calibrated", runs=95), provenance={"left_out": left_out})]) == name
    assert chosen([replace(made("60", kind="calibrated", runs=60), provenance={"left_out": 40})]) is None
    assert chosen([replace(good, provenance={"trial": "own prompts, and nothing to judge their runs by"})]) is None


def test_better_evidence_wins_but_not_by_a_few_runs(made) -> None:
    first, later, more = (made(name, sha256=HERE, kind="calibrated", runs=runs) for name, runs in (("200", 200), ("196", 196), ("400", 400)))
    assert chosen([first, later]) == "196" and chosen([more, first, later]) == chosen([later, more, first]) == "400"
    assert chosen([replace(more, negative="ab" * 32), first]) == "200"


@pytest.mark.parametrize(("stated", "scores", "runs"), [(300, 200, 300), (5000, 200, 200), (10, 200, 200), ("many", 200, 200), (True, 30, 30)])
def test_runs_are_believed_as_far_as_the_scores_bear_them_out(made, stated: object, scores: int, runs: int) -> None:
    assert replace(made("x", kind="calibrated", runs=scores), provenance={"runs": stated}).runs == runs


@pytest.mark.parametrize("family", ["sd1", "any"])
@pytest.mark.parametrize("sha256", [HERE, ""])
def test_a_calibration_of_another_checkpoint_is_never_chosen(made, family: str, sha256: str) -> None:
    other = made("other", family, sha256=ELSEWHERE, kind="calibrated")
    assert chosen([other], sha256) is None
    assert chosen([made("prior"), other], sha256) == "prior"
    assert chosen([made("general", "any"), other], sha256, family="sdxl") == "general"


def test_the_reason_says_how_good_the_fit_is(made) -> None:
    candidates = [made("hash", sha256=HERE), made("family"), made("any", "any")]
    reasons = [choose(candidates, *asked)[1] for asked in ((HERE, "sd1"), ("", "sd1"), ("", "sdxl"), ("", "sdxl", "v"))]
    assert len(set(reasons)) == 4
    assert "checkpoint" in reasons[0] and "sd1" in reasons[1] and "general" in reasons[2] and "v prediction" in reasons[3]


# -- folders -------------------------------------------------------------------------------------------------------------------------


def test_load_all_skips_and_reports_what_is_broken(profile: Profile, document: dict, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundled, own = tmp_path / "bundled", tmp_path / "own"
    write(replace(profile, name="first"), bundled / "b.json")
    write(replace(profile, name="second"), bundled / "c.json")
    write(replace(profile, name="third"), own / "a.json")
    (bundled / "a.json").write_text("{")
    (bundled / "profile.schema.json").write_text("{}")
    (bundled / "notes.txt").write_text("no profile")
    (own / "future.json").write_text(as_text(mutated(document, ("version",), 7)))
    (own / "folder.json").mkdir()
    (own / "gone.json").symlink_to(own / "nowhere")
    found, refused = load_all([bundled, own, tmp_path / "missing"])
    assert [p.name for p in found] == ["first", "second", "third"]
    assert len(refused) == 4
    for name in ("a.json: not JSON", "future.json.version: 7", "folder.json", "gone.json"):
        assert sum(name in message for message in refused) == 1
        assert name in caplog.text


def test_bundled_profiles_are_readable() -> None:
    found, refused = load_all([storage.BUNDLED])
    assert refused == []
    assert len({p.name for p in found}) == len(found)


# -- writing -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt(), RuntimeError("?")])
@pytest.mark.parametrize("where", ["half way", "at the end"])
def test_a_failed_write_leaves_the_old_file_and_no_rest(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, where: str
) -> None:
    path = tmp_path / "p.json"
    write(profile, path)
    before = path.read_bytes()

    def fail(*args: object, **kwargs: object) -> None:
        raise failure

    def fail_half_way(self: Path, text: str, **kwargs: object) -> None:
        self.write_bytes(text[: len(text) // 2].encode())
        raise failure

    if where == "half way":
        monkeypatch.setattr(Path, "write_text", fail_half_way)
    else:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(failure)):
        write(replace(profile, name="other"), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize("provenance", [{"x": math.nan}, {"x": object()}, {"x": {1, 2}}])
def test_what_json_cannot_hold_is_not_written(profile: Profile, tmp_path: Path, provenance: dict) -> None:
    write(profile, tmp_path / "p.json")
    before = (tmp_path / "p.json").read_bytes()
    with pytest.raises((ValueError, TypeError)):
        write(replace(profile, provenance=provenance), tmp_path / "p.json")
    assert (tmp_path / "p.json").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]


def test_a_write_replaces_the_old_file(profile: Profile, tmp_path: Path) -> None:
    for name in ("old", "new"):
        write(replace(profile, name=name), tmp_path / "p.json")
        assert read(tmp_path / "p.json").name == name
