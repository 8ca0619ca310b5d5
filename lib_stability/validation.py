"""Reading of untrusted JSON: every refusal names the source and the field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from .sentences import Figure, Sentence

#: What a field has to be: the parts of refusals that people may see in the page.
TEXTS = {
    "lacks": "lacks the field {key}",
    "choice": "has to be one of {allowed}",
    "text": "has to be a text of at most {most} characters",
    "characters": "holds characters that are not allowed here",
    "whole": "has to be a whole number from {low} to {high}",
    "number": "has to be a number",
    "range": "has to be from {low} to {high}",
}
#: Names that people see; never used as paths all the same.
NAME = re.compile(r"\w(?:[\w .+()\[\]-]{0,98}[\w.+()\[\]-])?")


class ValidationError(ValueError):
    """A value that does not fit its format; the message names where it stands."""


class Field:
    """One value of a JSON document together with the path that leads to it."""

    def __init__(self, value: object, path: str) -> None:
        self.value, self.path = value, path

    def fail(self, reason: str) -> NoReturn:
        raise ValidationError(Sentence("{path}: {reason}", path=self.path, reason=reason if isinstance(reason, Sentence) else Sentence(reason)))

    def __getitem__(self, key: str) -> Field:
        found = self.mapping()
        if key not in found:
            self.fail(Sentence(TEXTS["lacks"], key=repr(key)))
        return Field(found[key], f"{self.path}.{key}")

    def get(self, key: str, default: object) -> Field:
        """The field, or `default` where it is missing."""
        return Field(self.mapping().get(key, default), f"{self.path}.{key}")

    def mapping(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.fail("has to be an object")
        return self.value

    def object(self) -> Field:
        self.mapping()
        return self

    def format(self, name: str, version: int) -> None:
        """Check `format` and `version` of an object."""
        if self["format"].value != name:
            self["format"].fail(f"has to be {name!r}")
        found = self["version"].integer(low=1, high=10**6)
        if found > version:
            self["version"].fail(f"{found} is newer than {version}, the newest that this version of Memorization Guard reads")

    def choice(self, allowed: Sequence[str]) -> str:
        if not isinstance(self.value, str) or self.value not in allowed:
            self.fail(Sentence(TEXTS["choice"], allowed=", ".join(allowed)))
        return self.value

    def text(self, most: int = 2000, pattern: re.Pattern | None = None) -> str:
        if not isinstance(self.value, str) or len(self.value) > most:
            self.fail(Sentence(TEXTS["text"], most=most))
        if pattern and not pattern.fullmatch(self.value):
            self.fail(TEXTS["characters"])
        return self.value

    def name(self) -> str:
        """A name made of letters, digits, spaces and ``.+()[]-_``, not path-like; several spaces in a row are one, as in an infotext."""
        text = self.text(most=100, pattern=NAME)
        if ".." in text:
            self.fail(TEXTS["characters"])
        return " ".join(text.split())

    def integer(self, low: int, high: int) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            self.fail(Sentence(TEXTS["whole"], low=low, high=high))
        return self.value

    def number(self, low: float, high: float) -> float:
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self.fail(TEXTS["number"])
        if not low <= self.value <= high:  # also refuses NaN
            self.fail(Sentence(TEXTS["range"], low=Figure(f"{low:g}"), high=Figure(f"{high:g}")))
        return float(self.value)

    def numbers(self, low: float, high: float, least: int, most: int) -> np.ndarray:
        """A list of finite numbers in a range, as a float64 array."""
        if not isinstance(self.value, list) or not least <= len(self.value) <= most:
            self.fail(f"has to be a list of {least} numbers" if least == most else f"has to be a list of {least} to {most} numbers")
        return np.array([Field(v, f"{self.path}[{i}]").number(low, high) for i, v in enumerate(self.value)], dtype=np.float64)
