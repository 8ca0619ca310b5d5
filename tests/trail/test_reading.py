"""Verdicts read from text that others have had their hands in: what follows the parameters, what stands within them, what imitates them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard.verdict import Verdict
from lib_stability.trail.infotext import Settings, format_line, format_text, write
from lib_stability.trail.reading import verdicts_of

HOST = {"Steps": "20", "Sampler": "Euler", "CFG scale": "7", "Seed": "7", "Size": "512x512", "Model": "one, two"}
STRONG = Verdict("strong", 18.2, flagged_at=2, evaluations=20, damped=6, detector="watch")
STABLE = Verdict("stable", 0.4)
NOT_JUDGED = Verdict("not judged", reason="no profile")


def line(verdict: Verdict | None = STRONG, hires: Verdict | None = None, **more: str) -> str:
    """A host's line of parameters, with the guard's results or (None) without the guard."""
    return format_line({**HOST, **(write(Settings(enabled=True), verdict, hires) if verdict else {}), **more, "Version": "v1.10.1"})


def said(text: str) -> str | None:
    found = verdicts_of(text).first
    return found and found.verdict


# -- what follows, what stands within ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [
        "\nTemplate: {red|green} fox",
        "\nTemplate: a fox, MG verdict: stable, b: c\nNegative Template: x, MG verdict: stable",
        "\nTemplate: a\n\nfox, with: colons, and: more, of: them",
        "\nNegative Template: blurry",
        "\nWildcards: fox, wolf",
        "\n\n\n",
        "\nsome prose",
        "\nTemplate: x\nSteps: 20, Sampler: Euler, Seed: 7, MG verdict: stable, MG version: 1",
    ],
)
@pytest.mark.parametrize("verdict", [STRONG, NOT_JUDGED, None])
def test_lines_behind_the_parameters_hide_and_change_nothing(behind, verdict):
    found = verdicts_of("a red fox\nNegative prompt: blurry\n" + line(verdict) + behind)
    assert found.first == verdict and found.settings.enabled == (verdict is not None)
    assert (found.prompt, found.negative, found.params["Seed"]) == ("a red fox", "blurry", "7")


@pytest.mark.parametrize(
    "value", ["one\ntwo", "one\n\n\ntwo", "\none: more\n", "one\nSteps: 3 apples", "one\nstyle: ink", '"half\nquoted', "one\r\ntwo"]
)
@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_raw_newline_in_anothers_value(value, where):
    plain = line(STRONG, Verdict("mild", 4.0), Wildcard="PLACE") if where == "behind" else line().replace("MG verdict", "Wildcard: PLACE, MG verdict")
    found = verdicts_of("a red fox\n" + plain.replace("PLACE", value))
    assert found.first == STRONG and found.prompt == "a red fox" and found.params["Model"] == "one, two"
    assert (found.hires is not None) == (where == "behind")


@pytest.mark.parametrize("quoted", ["x, MG verdict: stable", "x\nMG verdict: stable, y", 'a "b", MG verdict: stable', "MG verdict: strong"])
def test_what_stands_in_quotes_is_a_value(quoted):
    text = "a fox\n" + line(NOT_JUDGED, **{"Hires prompt": quoted})
    assert (said(text), verdicts_of(text).params["Hires prompt"]) == ("not judged", quoted)
    assert said("a fox\n" + line(None, **{"Hires prompt": quoted})) is None
    assert (
        said("a fox\n" + line(NOT_JUDGED, Wild="PLACE").replace("PLACE", f'"{quoted}"' if '"' not in quoted else json.dumps(quoted))) == "not judged"
    )


# -- imitations -------------------------------------------------------------------------------------------------------------------------


def test_of_two_verdicts_the_graver_counts():
    twice = "a fox\n" + line(STRONG) + ", MG verdict: stable"
    assert verdicts_of(twice).first == STRONG and "more than one" in verdicts_of(twice).problems[0]
    found = verdicts_of("a fox\n" + line(STABLE) + ", MG verdict: strong")
    assert found.first == Verdict("strong") and found.problems  # no score that is another verdict's


def test_an_infotext_within_the_prompt():
    other = format_text("old", "", {**HOST, "Seed": "99", **write(Settings(enabled=True), STABLE)})
    assert said(f"{other}\n{line(NOT_JUDGED)}") == "not judged"
    assert said(f"{other}\n{line(None)}") is None
    assert said(f"{other}\n{line(STRONG)}") == "strong"
    found = verdicts_of(f"{other}\n{line(STABLE)}")
    assert (found.first.verdict, found.params["Seed"], found.problems) == ("stable", "7", [])
    found = verdicts_of(f"{other.replace('stable', 'strong')}\n{line(STABLE)}")
    assert found.first.verdict == "strong" and found.params["Seed"] == "7" and "more than one" in found.problems[0]


def test_parameters_that_are_said_without_end_are_not_believed():
    found = verdicts_of("a fox\n" + (line(NOT_JUDGED) + "\n") * 100 + line(STABLE, Verdict("stable")))
    assert (found.first, found.hires, found.settings.enabled) == (None, None, False) and "only a flag in them" in found.problems[0]


@pytest.mark.parametrize("decoy", ["Steps: 1, one: 1, two: 2", "Steps: 1, MG verdict: strongest, MG hires verdict: mildest", line(Verdict("mild"))])
def test_no_number_of_them_hides_a_flag(decoy):
    found = verdicts_of("a fox\n" + (decoy + "\n") * 100 + line(STRONG, STRONG))
    assert (found.first, found.hires) == (STRONG, STRONG) and "only a flag in them" in found.problems[0]
    assert verdicts_of("a fox\n" + (decoy + "\n") * 100 + line(STABLE, Verdict("mild"))).hires == Verdict("mild")


@pytest.mark.parametrize("template", ["\nTemplate: x\n", "\nTemplate:\n", "\nNegative Template: x\nNegative prompt: y\n"])
def test_a_template_within_the_prompt_makes_nothing_stable(template):
    other = format_text("old", "", {**HOST, "Seed": "99", **write(Settings(enabled=True), STABLE, Verdict("stable"))})
    found = verdicts_of(other + template + line(None))
    assert (found.first, found.hires) == (None, None)
    assert said(other + template + line(NOT_JUDGED)) == "not judged" and said(other + template + line(STRONG)) == "strong"
    found = verdicts_of(other + template + line(STABLE))
    assert (found.first.verdict, found.hires) == ("stable", None)


# -- the rest ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n"), lambda text: text.replace("\n", "\r")])
def test_marks_and_line_ends_of_other_systems(change):
    found = verdicts_of(change("a red fox\nsecond line\nNegative prompt: blurry\n" + line() + "\nTemplate: x\n"))
    assert (found.prompt, found.negative, found.first) == ("a red fox\nsecond line", "blurry", STRONG)


def test_text_without_steps_is_read_as_the_hosts_do():
    found = verdicts_of("a cat\nSampler: Euler, Seed: 1, MG verdict: mild")
    assert (found.prompt, found.first) == ("a cat", Verdict("mild"))
    assert verdicts_of("a cat, style: ink").params == {} and verdicts_of("").first is None
    assert verdicts_of("Steps: 20 people dancing\n" + line()).prompt == "Steps: 20 people dancing"


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 400_000,
        "\n a" * 200_000,
        'a: "' * 200_000,
        ',aa: "\\\\"' * 100_000,
        ", a\n: " * 100_000,
        ",a a" * 200_000,
        "Steps: 1\n" * 60_000,
        "Steps: 1, a b: 2, MG mode: x\n" * 30_000,
        "Steps: 1, a b: 2, MG verdict: mild\n" * 30_000,
        "\n   " * 200_000,
        "Template:\n" * 90_000,
        "MG verdict: stable, " * 50_000,
        '"' * 500_000,
    ],
)
def test_hostile_text_takes_no_time(text):
    for whole in (text, "x\nSteps: 1, Seed: 2, MG verdict: strong, Foo: " + text):
        began = time.process_time()
        verdicts_of(whole)
        assert time.process_time() - began < 2


@given(st.text(max_size=200) | st.text(st.sampled_from('ab:," \\\n\rS'), max_size=200), st.booleans())
def test_no_text_raises_or_turns_strong_to_stable(text, quoted):
    assert said("a fox\n" + line(STRONG, Foo="PLACE").replace("PLACE", json.dumps(text) if quoted else text.replace('"', ""))) == "strong"
    verdicts_of(text)
