"""Arguments of the page and the API: positions, one dict, a bare bool, and refusals that name the field."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.trail.infotext import Settings
from lib_stability.validation import ValidationError
from lib_stability.webui.job.arguments import FIELDS, POSITIONS, parse

PAGE = [True, "Damp", "High", 3.0, "Radial", 2.0, "Auto", "Always", 1.0, False, 6.0]


def test_positions_of_the_page():
    assert parse(PAGE) == Settings(True, "damp", "high", 3.0, "radial", 2.0, None, "Auto", "always", 1, False, 6)


@given(st.integers(0, len(PAGE)), st.lists(st.none() | st.integers() | st.text(), max_size=3))
def test_fewer_and_more_arguments(count, beyond):
    short = parse(PAGE[:count])
    for name, value in asdict(short).items():
        known = name in POSITIONS[:count]
        assert value == getattr(parse(PAGE) if known else Settings(), name)
    assert parse([*PAGE, *beyond]) == parse(PAGE)


#: A truth value may come as a text, too, as some clients write it.
ON = [(one, True) for one in (True, {}, {"mode": "damp"}, "true", "True", {"enabled": " TRUE "})]
OFF = [(one, False) for one in (False, {"enabled": False}, "false", "False", {"enabled": "false"})]


@pytest.mark.parametrize("given, enabled", [*ON, *OFF])
def test_what_turns_it_on(given, enabled):
    assert parse([given]).enabled is enabled


def test_nothing_given_takes_the_base():
    base = Settings(True, mode="damp", tau=5.0)
    assert parse([], base) == parse([None, None, None], base) == base


def test_a_dict_goes_before_positions():
    assert parse([{"mode": "stop", "margin": 1.5}, *PAGE[1:]]) == Settings(
        True, "stop", "high", 3.0, "radial", 2.0, 1.5, "Auto", "always", 1, False, 6
    )


@given(st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["REPORT", " Damp ", "stop"]), "profile": st.sampled_from(["auto", "AUTO "])}))
def test_words_in_any_case(given):
    made = parse([given])
    assert made.mode == given.get("mode", "report").strip().lower() and made.profile == "Auto"


@pytest.mark.parametrize(
    "args, field",
    [
        ([{"mode": "explode"}], "mode"),
        ([{"mode": None}], "mode"),
        ([{"enabled": 1}], "enabled"),
        ([{"tau": "3"}], "tau"),
        ([{"tau": float("nan")}], "tau"),
        ([{"strength": True}], "strength"),
        ([{"probe_evaluations": 1.5}], "probe_evaluations"),
        ([{"profile": "a/b"}], "profile"),
        ([{"profil": "Auto"}], "'profil'"),
        ([{3: 4}], "3"),
        (["yes"], "enabled"),
        ([True, ["damp"]], "mode"),
        ([True, "damp", "medium", 1e9], "tau"),
    ],
)
def test_refusals_name_the_field(args, field):
    with pytest.raises(ValidationError, match=rf"^{field}: "):
        parse(args)


@given(
    st.dictionaries(
        st.sampled_from(FIELDS) | st.text(max_size=5), st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.lists(st.none())
    )
)
def test_only_validation_errors(given):
    try:
        made = parse([given])
    except ValidationError as error:
        assert str(error).split(":")[0]
    else:
        assert set(given) <= set(FIELDS) and isinstance(made, Settings)
