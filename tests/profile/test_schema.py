"""The JSON Schema of profiles against the reader that has the last word."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lib_stability.guard.fitting import Curves
from lib_stability.guard.region import StabilityRegion
from lib_stability.profile import priors, storage
from lib_stability.profile.networks import Network
from lib_stability.profile.profiles import Model, Profile
from lib_stability.validation import ValidationError

SCHEMA = json.loads((storage.BUNDLED / "profile.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)
BUNDLED = sorted(path for path in storage.BUNDLED.glob("*.json") if not path.name.endswith(".schema.json"))
REMOVED = object()


def accepted(data: object) -> bool:
    try:
        Profile.from_json(data)
    except ValidationError:
        return False
    return True


def tiny() -> dict:
    """A profile small enough to be mutated at every place."""
    region = StabilityRegion()
    region.knots_, region.guidance_, region.scores_ = np.arange(3.0), (1.0, 15.0), np.arange(10) / 4
    region.curves_ = {name: Curves(np.full((3, 3), 0.02), np.full(3, 0.1), np.full(3, 0.2)) for name in ("rate", "clean")}
    model = Model("sd1", "epsilon", "a.safetensors", "0f" * 32, networks=(Network("mine", "1e" * 32, 0.8, 0.6, "dyn=4"),))
    return Profile("Tiny", "calibrated", model, region, region, provenance={"runs": 10}).to_json()


def test_without_networks_a_profile_needs_no_checkpoint() -> None:
    data = tiny()
    data["model"] |= {"networks": [], "sha256": ""}
    assert VALIDATOR.is_valid(data) and accepted(data)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Paths to everything in a document, the items of a list represented by the first."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    return [path, *(place for key, one in items for place in places(one, (*path, key)))]


def changed(data: dict, path: tuple, value: object) -> object:
    """A copy of `data` with the value at `path` replaced or removed."""
    if not path:
        return value
    data = copy.deepcopy(data)
    holder = data
    for key in path[:-1]:
        holder = holder[key]
    if value is REMOVED:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return data


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_object_is_closed() -> None:
    """Each object lists its fields, but for the provenance, which is free."""

    def walk(node: object, name: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and name != "provenance":
                assert node["additionalProperties"] is False, name
                assert set(node["required"]) <= set(node["properties"]), name
            for key, value in node.items():
                walk(value, key)

    walk(SCHEMA, "root")


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.name)
def test_bundled_profiles(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    VALIDATOR.validate(data)
    assert accepted(data)


def test_fitted_profiles(profile: Profile, flow_region: StabilityRegion, tmp_path: Path) -> None:
    flow = dataclasses.replace(profile, model=Model("flux", "flow"), watch=flow_region, probe=None)
    for number, one in enumerate((profile, dataclasses.replace(profile, probe=None, negative="ab" * 32), flow, priors.sd1())):
        path = tmp_path / f"{number}.json"
        storage.write(one, path)
        data = json.loads(path.read_text(encoding="utf-8"))
        VALIDATOR.validate(data)
        assert accepted(data)


def test_schema_names_all_that_is_written() -> None:
    """Each field of the format is in the schema, and each field of the schema is written."""
    data = tiny()
    assert set(SCHEMA["properties"]) == set(data)
    assert set(SCHEMA["properties"]["model"]["properties"]) == set(data["model"])
    assert set(SCHEMA["properties"]["model"]["properties"]["networks"]["items"]["properties"]) == set(data["model"]["networks"][0])
    region = SCHEMA["$defs"]["region"]["properties"]
    assert set(region) == set(data["watch"])
    assert set(region["grid"]["properties"]) == set(data["watch"]["grid"])
    assert set(region["statistics"]["properties"]) == set(data["watch"]["statistics"])
    assert set(SCHEMA["$defs"]["curves"]["properties"]) == set(data["watch"]["statistics"]["rate"])


#: What the reader passes over, on purpose: it is there for people.
FOR_PEOPLE = ("axis", "false_alarms")


def compared(path: tuple) -> bool:
    return not any(key in FOR_PEOPLE for key in path)


VALUES = [
    REMOVED,
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    0.5,
    1e7,
    -1e7,
    10**400,
    "",
    "x",
    "sigma",
    "flow",
    "v",
    "../x",
    "a\n",
    "0" * 64,
    [],
    [1],
    {},
    {"x": 1},
]


@pytest.mark.parametrize("path", [path for path in places(tiny()) if path and compared(path)], ids=lambda path: ".".join(map(str, path)))
def test_schema_and_reader_agree_on_mutations(path: tuple) -> None:
    data = tiny()
    assert VALIDATOR.is_valid(data) and accepted(data)
    for value in VALUES:
        if value is REMOVED and isinstance(path[-1], int):
            continue  # lengths of lists are compared with each other by the reader only
        if path[-2:-1] == ("knots",) or path[-2:] == ("guidance", 0) or path[-1] in ("guidance", "knots"):
            continue  # as are their order and steps
        if path == ("provenance",) or (isinstance(value, dict) and path[-1] == "provenance"):
            continue
        mutant = changed(data, path, value)
        assert VALIDATOR.is_valid(mutant) == accepted(mutant), (path, value)


NUMBERS = {
    "probe_guidance": [(5, True), (4.99, False), (100, True), (100.1, False)],
    "watch.guidance.0": [(0, True), (-0.1, False)],
    "watch.guidance.1": [(1000, True), (1000.1, False)],
    "watch.statistics.rate.a.0": [(0, True), (-1e-9, False), (5.1e4, False), (1e6, False), (1e-7, True)],
    "watch.statistics.clean.spread.2": [(0.01, True), (0.009, False), (1.5, True), (1.6, False), (3, False), (1000, False)],
    "probe.reference_scores.1": [(-2, True), (-101, False), (1001, False), (9e5, False)],
    "watch.version": [(1, True), (3, False), (0, False), ("1", False)],
    "version": [(1, True), (2, True), (3, False), (10**9, False)],
    "model.networks.0.unet": [(-100, True), (100.1, False)],
    "name": [
        ("a" * 100, True),
        ("a" * 101, False),
        ("ä b.(1)[x]+-_", True),
        ("a/b", False),
        ("a..b", False),
        ("a\n", False),
        (".a", False),
        ("a,b", False),
    ],
    "kind": [("prior", True), ("Prior", False)],
    "model.family": [("any", True), ("sd1.5-inpaint_x", True), ("SD1", False), ("", False), ("a" * 41, False), ("a\n", False)],
    "model.prediction": [("v", True), ("flow", False), ("eps", False)],
    "model.checkpoint": [("c" * 300, True), ("c" * 301, False), ("any / thing, at all", True)],
    "model.sha256": [("", False), ("0f" * 32, True), ("0F" * 32, False), ("0f" * 31, False), ("0f" * 32 + "\n", False)],
    "negative": [("", True), ("0f" * 32, True), ("blurry", False)],
    "provenance": [({}, True), ({"deep": [{"x": None}]}, True), ([], False), (None, False)],
    "probe": [(None, True), ({}, False), (1, False)],
    "watch": [(None, False), ([], False)],
    "watch.parameterisation": [("flow", False), ("edm", False)],
    "watch.grid.knots": [([0.0, 1.0, 61.0], False), ([0.0], False), ("012", False)],
}


@pytest.mark.parametrize(("place", "value", "good"), [(place, *case) for place, cases in NUMBERS.items() for case in cases])
def test_bounds(place: str, value: object, good: bool) -> None:
    path = tuple(int(key) if key.isdigit() else key for key in place.split("."))
    mutant = changed(tiny(), path, value)
    assert (VALIDATOR.is_valid(mutant), accepted(mutant)) == (good, good)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5)


@given(st.sampled_from(places(tiny())).filter(compared), JSON)
def test_what_the_schema_accepts_the_reader_accepts(path: tuple, value: object) -> None:
    """But for the relations between values that a schema cannot express."""
    mutant = changed(tiny(), path, value)
    if not {"knots", "guidance", "a", "b", "c", "reference_scores"} & set(path) and not isinstance(value, list) and VALIDATOR.is_valid(mutant):
        assert accepted(mutant)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda region: region["grid"]["knots"].append(9.0),
        lambda region: region["grid"].update(knots=[2.0, 1.0, 0.0]),
        lambda region: region["statistics"]["rate"]["a"].pop(),
        lambda region: region.update(guidance=[15.0, 1.0]),
        lambda region: region["statistics"]["rate"]["c"].__setitem__(0, 5.0),
        lambda region: region.update(reference_scores=[3.0] * 100),
        lambda region: region.update(reference_scores=[float(score) for score in range(100, 1000)]),
    ],
)
def test_what_only_the_reader_sees(break_it: Callable[[dict], object]) -> None:
    data = tiny()
    break_it(data["watch"])
    assert VALIDATOR.is_valid(data) and not accepted(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("extra",), 1),
        (("watch", "extra"), 1),
        (("model", "extra"), "x"),
        (("watch", "false_alarms"), [[3.0, 1.5]]),
        (("watch", "false_alarms"), [[3.0]]),
    ],
)
def test_where_the_schema_is_stricter(path: tuple, value: object) -> None:
    mutant = changed(tiny(), path, value)
    assert not VALIDATOR.is_valid(mutant) and accepted(mutant)
