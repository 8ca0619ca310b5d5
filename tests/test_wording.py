"""Versions of a prompt: one part left out each, everything else in place."""

import re

from hypothesis import given
from hypothesis import strategies as st

from lib_stability.wording import MOST, parts, versions, words


def texts(prompt):
    return [prompt[start:end] for start, end in words(prompt)]


def test_each_version_lacks_one_word():
    assert versions("alice large pink triangle") == ["large pink triangle", "alice pink triangle", "alice large triangle", "alice large pink"]


def test_syntax_stays_in_place():
    prompt = "(old castle:1.2), [fog|rain], [day:night:0.5] <lora:alice:0.8> BREAK a cat AND a dog"
    assert texts(prompt) == ["old", "castle", "fog", "rain", "day", "night", "a", "cat", "a", "dog"]
    out = versions(prompt)
    assert out[1] == "(old :1.2), [fog|rain], [day:night:0.5] <lora:alice:0.8> BREAK a cat AND a dog"
    assert out[5] == "(old castle:1.2), [fog|rain], [day::0.5] <lora:alice:0.8> BREAK a cat AND a dog"
    assert all("<lora:alice:0.8>" in one and "BREAK" in one and "AND" in one for one in out)


def test_what_the_negative_prompt_names_as_well_stays_in_all_versions():
    assert versions("alice large pink triangle", negative="Pink, (small:1.2)") == ["large pink triangle", "alice pink triangle", "alice large pink"]
    # With fewer than two words to leave out there would be nothing to take turns with.
    assert versions("alice large pink triangle", negative="large pink alice") == versions("alice large pink triangle")
    # A network's name is no word.
    assert versions("large alice", negative="<lora:alice:1>") == versions("large alice")


def test_a_prompt_of_less_than_two_words_has_no_versions():
    assert versions("") == versions("castle") == versions("(castle:1.3), 2024") == []


def test_a_long_prompt_is_left_out_in_stretches():
    prompt = ", ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(40))
    out = versions(prompt)
    assert len(out) == MOST
    assert {len(words(prompt)) - len(words(one)) for one in out} == {3, 4}


@given(st.text(alphabet="abc ,()[]:.1<>|-'", max_size=80), st.integers(2, 20))
def test_the_parts_are_all_words_once_and_versions_hold_the_rest(prompt, most):
    found = words(prompt)
    stretches = parts(prompt, most)
    assert [one for stretch in stretches for one in stretch] == (found if len(found) > 1 else [])
    assert len(versions(prompt, most)) == len(stretches) <= most
    for version, stretch in zip(versions(prompt, most), stretches):
        left = re.sub(r"\s", "", version)
        assert len(left) == len(re.sub(r"\s", "", prompt)) - sum(end - start for start, end in stretch)
