"""Versions of a prompt with one part left out each, and its tags of networks: text in, text out, in the prompt syntax of the web UIs."""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

#: Versions of a prompt at most; a longer prompt is left out by stretches of neighbouring words.
MOST = 12
#: A word, but for what the web UIs' prompt syntax means by one: joints, and the numbers of weights and schedules.
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_JOINTS = frozenset({"AND", "BREAK"})
#: Extra networks are not words of the prompt.
_NETWORK = re.compile(r"<[^<>]*>")
#: The tag of one: its kind, and what it is told.
TAG = re.compile(r"<(\w+):([^<>]+)>")


def tags(text: str) -> list[str]:
    """The tags of networks in a prompt, as they stand there."""
    return [found.group() for found in TAG.finditer(text)]


def without_tags(text: str) -> str:
    """A prompt without its tags of networks."""
    return TAG.sub("", text)


def words(prompt: str) -> list[tuple[int, int]]:
    """Where the words of a prompt stand, as (start, end)."""
    networks = [found.span() for found in _NETWORK.finditer(prompt)]
    found = [one.span() for one in _WORD.finditer(prompt) if one.group() not in _JOINTS]
    return [(start, end) for start, end in found if not any(low <= start < high for low, high in networks)]


def parts(prompt: str, most: int = MOST, negative: str = "") -> list[list[tuple[int, int]]]:
    """The words of a prompt in at most `most` stretches of nearly equal length; none where there are fewer than two words.

    Words that the negative prompt names as well are in none of them, unless fewer than two are left so: an image whose prompt no longer asks for what
    it is guided away from would lose it.
    """
    found = words(prompt)
    if len(found) < 2:
        return []
    against = {negative[start:end].casefold() for start, end in words(negative)}
    free = [(start, end) for start, end in found if prompt[start:end].casefold() not in against]
    found = free if len(free) > 1 else found
    return [found[low:high] for low, high in _bounds(len(found), min(most, len(found)))]


class Without(NamedTuple):
    """A version of a prompt: its text, and the words that it lacks."""

    text: str
    words: tuple[str, ...]


def stages(prompt: str, most: int = MOST, negative: str = "") -> list[list[Without]]:
    """Versions of a prompt in the order in which they are tried: without each of its :func:`parts`, without each quarter, without each half.

    Stages that would leave out no more than the one before are not there; none at all where there are fewer than two words.
    """
    each = parts(prompt, most, negative)
    found = [[without(prompt, part) for part in each]] if each else []
    for count in (4, 2):
        if len(each) > count:
            groups = [each[low:high] for low, high in _bounds(len(each), count)]
            found.append([without(prompt, [span for part in group for span in part]) for group in groups])
    return found


def versions(prompt: str, most: int = MOST, negative: str = "") -> list[str]:
    """The prompt without each of its :func:`parts` in turn."""
    return [without(prompt, stretch).text for stretch in parts(prompt, most, negative)]


def without(prompt: str, spans: list[tuple[int, int]]) -> Without:
    """A prompt without the words at `spans`, given in their order; brackets, weights and separators stay where they are."""
    text = prompt
    for start, end in reversed(spans):
        text = text[:start] + text[end:]
    return Without(re.sub(r" {2,}", " ", text).strip(), tuple(prompt[start:end] for start, end in spans))


def _bounds(length: int, count: int) -> list[tuple[int, int]]:
    """`length` things in `count` neighbourhoods of nearly equal size, each as (first, last + 1)."""
    edges = [round(number * length / count) for number in range(count + 1)]
    return list(itertools.pairwise(edges))
