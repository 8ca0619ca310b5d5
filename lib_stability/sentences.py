"""Sentences for people that another language may put together anew: an English text with places, and the values in them.

The rooms that judge know of no language but English. A :class:`Sentence` is that English sentence, as a command line prints it; what speaks another
language finds in it the text to translate, and the values to put into the translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache, reduce


class Figure(str):
    """A number as English writes it; another language may write its marks in another way."""


class Sentence(str):
    """An English sentence that knows its text and values.

    Parameters
    ----------
    text : str
        With places for values, as ``{runs}``.
    **values
        Texts as they are, numbers as :class:`Figure`, parts of the sentence that are to be translated as sentences of their own.

    Examples
    --------
    >>> from lib_stability.sentences import Sentence
    >>> said = Sentence("{name} of {runs} runs", name="Mine", runs=24)
    >>> said, said.text, said.values
    ('Mine of 24 runs', '{name} of {runs} runs', {'name': 'Mine', 'runs': 24})
    """

    text: str
    values: dict[str, object]

    def __new__(cls, text: str, /, **values: object) -> Sentence:
        self = super().__new__(cls, text.format(**values) if values else text)
        self.text, self.values = text, values
        return self


def joined(separator: str, parts: Iterable[str]) -> Sentence:
    """Several, one behind the other; empty ones are left out."""
    values = {f"part{number}": part for number, part in enumerate(part for part in parts if part)}
    return Sentence(separator.join(f"{{{name}}}" for name in values), **values)


#: How the last of several is put behind the others.
AND = "{some} and {more}"


def listed(parts: Iterable[str]) -> str:
    """Several, as "one and another"; "" for none."""
    return reduce(lambda some, more: Sentence(AND, some=some, more=more), parts) if (parts := list(parts)) else ""


def recognised(text: str, known: Iterable[str]) -> Sentence | None:
    """The sentence that an English text, out of a file for instance, was made of: the first of these texts with places that fits, if one does.

    Examples
    --------
    >>> recognised("error KeyError in the probe", ["error {kind} in the {part}", "error {kind}"]).values
    {'kind': 'KeyError', 'part': 'probe'}
    """
    for one in known:
        found = _pattern(one).fullmatch(text)
        if found:
            return Sentence(one, **found.groupdict())
    return None


@lru_cache(maxsize=512)
def _pattern(text: str) -> re.Pattern:
    parts = re.split(r"\{(\w+)\}", text)
    return re.compile("".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL)


def spoken(text: str, /, **values: object) -> str:
    """English, as it stands, the values put in: what another language has a function of its own for."""
    return text.format(**values) if values else text


def reason(error: BaseException) -> str:
    """What an error says, a sentence where it was given one: ``str(error)`` keeps only its letters."""
    found = error.args[0] if len(error.args) == 1 else None
    return found if isinstance(found, Sentence) else str(error)
