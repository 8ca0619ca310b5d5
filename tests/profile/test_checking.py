"""Profiles that somebody offers: what a check finds wrong, how far two of one checkpoint agree, and what an export keeps to itself."""

from __future__ import annotations

import getpass
import json
from copy import deepcopy
from pathlib import Path

import pytest

from lib_stability.profile import agreeing, checking, own_profiles, private, storage
from lib_stability.profile.profiles import Profile
from lib_stability.shell import cli

TESTBED = json.loads((storage.BUNDLED / "testbed.json").read_text())
#: Calibrations that this project made itself, and says so beside them.
OURS = ("testbed.json", "testbed-forge.json")
#: What a calibration in a web UI may say of itself, and then some that an edited file could.
PRIVATE = {
    "judged_by": "my-secret-merge-0011223344",
    "folder": "/home/anna/webui/models",
    "note": "a portrait of my neighbour",
    "user": getpass.getuser() + " on the big machine",
    "left_out_prompts": ["a portrait of my neighbour"],
    "origin": "own",
}


def write(folder: Path, name: str = "offered.json", **changes) -> Path:
    """The testbed's calibration as somebody offers it; keys with dots lead into it."""
    data = deepcopy(TESTBED)
    data["name"], data["provenance"]["measured_by"] = "Offered", "anna"
    for key, value in changes.items():
        *way, last = key.split("__")
        place = data
        for step in way:
            place = place[step]
        if value is None:
            place.pop(last)
        else:
            place[last] = value
    (folder / name).write_text(json.dumps(data))
    return folder / name


def wrong(path: Path, against: Path | None = None) -> list[str]:
    return [one.said for one in checking.check(path, against) if one.good is False]


def test_a_good_calibration_passes(tmp_path, capsys):
    path = write(tmp_path)
    assert wrong(path) == [] and cli.main(["profiles", "check", str(path)]) == 0
    out = capsys.readouterr().out
    assert "1535 reference runs" in out and "measured by anna" in out and "1535 leave-one-out scores" in out and "NO" not in out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "other"}, "format"),
        ({"watch__statistics__rate__spread": [0.0] * 3}, "offered.json.watch"),
        ({"watch__reference_scores": [1.0] * 200}, "no two runs give the same number"),
        ({"watch__reference_scores": [90 + number / 10 for number in range(200)]}, "pass for ordinary"),
        ({"model__sha256": ""}, "of no SHA-256"),
        ({"provenance__runs": 90_000}, "states 90000 runs, its leave-one-out scores bear out 1535"),
        ({"provenance__trial": "own prompts"}, "a trial: own prompts"),
        ({"probe": None}, "no probe region"),
        ({"provenance__measured_by": None}, "does not say who measured it"),
        ({"provenance__date": None, "provenance__samplers": None}, "does not say its date, samplers"),
        ({"provenance__judged_by": "mine"}, "provenance.judged_by is not for others"),
        ({"provenance__software": "made in C:\\Users\\anna\\sd"}, "provenance.software looks like a path"),
        ({"provenance__samplers": ["Euler", "~/secret"]}, "provenance.samplers[1] looks like a path"),
        ({"model__checkpoint": "anna/mine"}, "model.checkpoint looks like a path"),
        ({"provenance__measured_by": "anna@example.org"}, "provenance.measured_by looks like a mail address"),
        ({"provenance__left_out_rule": "word " * 50}, "provenance.left_out_rule is longer than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_found(tmp_path, capsys, changes, said):
    path = write(tmp_path, **changes)
    assert any(said in one for one in wrong(path)), wrong(path)
    assert cli.main(["profiles", "check", str(path)]) == 1 and "NO  " in capsys.readouterr().out


def test_calibrations_of_one_network_agree_and_of_another_do_not(tmp_path):
    forge = json.loads((storage.BUNDLED / "testbed-forge.json").read_text())
    path = write(tmp_path)
    again = write(tmp_path, "again.json", watch=forge["watch"], probe=forge["probe"])
    assert wrong(path, again) == []
    other = json.loads(path.read_text())
    for which in ("watch", "probe"):
        for statistic in other[which]["statistics"].values():
            statistic |= {name: [3 * value for value in statistic[name]] for name in "abc"}
    other = write(tmp_path, "other.json", watch=other["watch"], probe=other["probe"])
    assert [one.split(" (")[0].split(":")[1] for one in wrong(path, other)] == [" does not agree with other.json"] * 2
    stranger = write(tmp_path, "stranger.json", model__sha256="0" * 64)
    assert wrong(path, stranger) == ["stranger.json is of another checkpoint"]


def test_a_threshold_twice_as_high_is_no_agreement(tmp_path):
    scores = [2 * score for score in TESTBED["watch"]["reference_scores"]]
    lenient = storage.read(write(tmp_path, "lenient.json", watch__reference_scores=scores))
    found = agreeing.compare(storage.read(write(tmp_path)).watch, lenient.watch)
    assert found.means == 0 and found.norms > agreeing.NORMS and not found.holds


def test_flow_and_sigma_have_nothing_in_common(tmp_path):
    watch = storage.read(write(tmp_path)).watch
    flow = Profile.from_json(deepcopy(TESTBED)).watch
    flow.parameterisation = "flow"
    with pytest.raises(ValueError, match="no noise levels in common"):
        agreeing.compare(watch, flow)


# -- what an export keeps to itself ------------------------------------------------------------------------------------------------------


def test_an_export_holds_nothing_private(tmp_path):
    (tmp_path / "profiles").mkdir()
    stored = write(tmp_path / "profiles", provenance__measured_by=None, model__checkpoint="sorted\\by anna\\mine-v2")
    data = json.loads(stored.read_text())
    data["provenance"] |= PRIVATE
    stored.write_text(json.dumps(data))
    own_profiles.hand_out("Offered", tmp_path / "out.json", [tmp_path / "profiles"], "anna of the forum", "RTX 3060")
    text = (tmp_path / "out.json").read_text()
    for secret in (*PRIVATE.values(), "neighbour", "my-secret-merge", "home", "by anna", str(tmp_path)):
        assert json.dumps(secret)[1:-1] not in text or secret == "own", secret
    exported = storage.read(tmp_path / "out.json")
    assert exported.model.checkpoint == "mine-v2" and exported.provenance["measured_by"] == "anna of the forum"
    assert exported.provenance["hardware"] == "RTX 3060" and set(exported.provenance) <= set(private.KEPT)
    assert wrong(tmp_path / "out.json") == []
    assert exported.to_json()["watch"] == storage.read(stored).to_json()["watch"]


def test_a_prior_is_exported_with_its_assumptions(tmp_path):
    own_profiles.hand_out("SD 1.x prior", tmp_path / "out.json", [storage.BUNDLED])
    assert storage.read(tmp_path / "out.json").to_json() == storage.read(storage.BUNDLED / "sd1-prior.json").to_json()


def test_export_by_command_says_who(tmp_path, capsys):
    (tmp_path / "profiles").mkdir()
    write(tmp_path / "profiles", provenance__measured_by=None)
    command = ["profiles", "export", "Offered", str(tmp_path / "out.json"), "--folder", str(tmp_path / "profiles")]
    assert cli.main([*command, "--by", "anna"]) == 0 and cli.main(["profiles", "check", str(tmp_path / "out.json")]) == 0


@pytest.mark.parametrize("path", sorted(path for path in storage.BUNDLED.glob("*.json") if "schema" not in path.name), ids=lambda path: path.name)
def test_what_lies_in_regions_passes_and_says_who_measured_it(path):
    unnamed = [one for one in wrong(path) if not (path.name in OURS and "who measured it" in one)]
    assert unnamed == []
    table = (storage.BUNDLED / "README.md").read_text()
    assert f"`{path.name}`" in table
