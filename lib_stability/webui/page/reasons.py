"""What infotexts, ledgers and files have written down in English, in plain words of the page's language."""

from __future__ import annotations

from ... import validation
from ...profile.profiles import STANDINGS
from ...sentences import Sentence, recognised
from ..host import texts
from ..host.language import say

#: What is read back, as it was written, and in plain words.
_KNOWN = {**texts.REASONS, **texts.OUTCOMES, **texts.PROBLEMS, **{text: text for text in validation.TEXTS.values()}}
#: Those with values, in the order in which they are tried.
_PLACES = [text for text in _KNOWN if "{" in text]
#: Of the parts of a guard that may fail.
_PARTS = {"watch": texts.DETECTORS["watch"], "probe": texts.DETECTORS["probe"], "parts": texts.DETECTORS["parts"]}
#: Values that are such texts themselves.
_NESTED = ("reason", "problem", "more", "verdict")


def plain(text: str) -> str:
    """A text that was written down, in plain words; what is none of ours as it stands."""
    if text in _KNOWN:
        return say(_KNOWN[text])
    found = recognised(text, _PLACES)
    if found is None:
        return say(_PARTS.get(text, text))
    return say(_KNOWN[found.text], **{name: _value(name, str(one)) for name, one in found.values.items()})


def _value(name: str, value: str) -> str:
    if name == "setting":
        field, colon, why = value.partition(": ")
        return f"{field}{colon}{plain(why)}" if colon else value
    return plain(value) if name in _NESTED else say(_PARTS.get(value, value))


def label(text: str) -> str:
    """What judged, as an infotext names it: a profile, whose it is, networks."""
    found = recognised(text, texts.LABELS.values())
    if found is None or found.values["standing"] not in STANDINGS:
        return text
    return say(found.text, **{**found.values, "standing": Sentence(str(found.values["standing"]))})


def told(text: str, /, **values: object) -> str:
    """As :func:`.language.say`, and of what was written down :func:`plain` or :func:`label`."""
    if values or isinstance(text, Sentence):
        return say(text, **values)
    return plain(text) if label(text) == text else label(text)
