"""What the model is told of each part of a prompt alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lib_stability.webui.host.probing import parts_apart

CHUNK = 77


def told(*images: str) -> torch.Tensor:
    """Conditionings of chunks named by letters, e for an empty one."""
    return torch.stack([torch.cat([torch.full((CHUNK, 3), float(ord(letter))) for letter in one]) for one in images])


def said(conds: list) -> list[tuple[str, ...]]:
    """Letters again: of every part, what each image is told."""
    texts = [one["crossattn"] if isinstance(one, dict) else one for one in conds]
    return [tuple("".join(chr(int(row[at, 0])) for at in range(0, len(row), CHUNK)) for row in text) for text in texts]


def apart(text: object, weights: list[list[float]]) -> list:
    empty = told("e") if not isinstance(text, dict) else {"crossattn": told("e")}
    return parts_apart(SimpleNamespace(params=SimpleNamespace(text_cond=text)), weights, empty)


def test_one_whole_is_one_part():
    assert said(apart(told("a", "b"), [[1.0], [1.0]])) == [("a", "b")]


def test_a_chunk_takes_the_places_of_all_others():
    assert said(apart(told("abc"), [[1.0]])) == [("aaa",), ("bbb",), ("ccc",)]
    assert said(apart(told("ab", "cd"), [[1.0], [1.0]])) == [("aa", "cc"), ("bb", "dd")]


def test_what_only_fills_up_is_no_part():
    assert said(apart(told("ae", "be"), [[1.0], [1.0]])) == [("aa", "bb")]
    assert said(apart(told("ae", "bc"), [[1.0], [1.0]])) == [("aa", "bb"), ("ee", "cc")]


def test_parts_joined_by_and():
    assert said(apart(told("a", "b", "c"), [[1.0, 0.5], [1.0]])) == [("a", "c"), ("b", "c")]
    assert said(apart(told("a", "b"), [[1.0, -0.5]])) == [("a",)]
    assert said(apart(told("ab", "cd"), [[1.0, 1.0]])) == [("aa",), ("bb",), ("cc",), ("dd",)]


def test_what_comes_beside_the_text_stays():
    parts = apart({"crossattn": told("ab"), "vector": torch.tensor([[7.0]])}, [[1.0]])
    assert said(parts) == [("aa",), ("bb",)] and all(float(one["vector"]) == 7.0 for one in parts)


def test_there_is_an_end_to_it():
    assert len(apart(told("abcdefghijkl".replace("e", "m")), [[1.0]])) == 8


@pytest.mark.parametrize("tokens", [50, 256])
def test_text_in_no_chunks_is_one_part(tokens):
    text = torch.zeros(1, tokens, 3)
    assert len(parts_apart(SimpleNamespace(params=SimpleNamespace(text_cond=text)), [[1.0]], text)) == 1
