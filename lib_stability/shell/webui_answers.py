"""What a web UI answers, read as anything from outside: of the right kind and size, and fit to be shown in a terminal."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from functools import wraps

from ..guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG
from ..trail.audit import plain
from ..validation import Field, ValidationError

#: What of a scan's answer has to stay the same over all of its captions.
SAME = ("profile", "checkpoint", "sensitivity", "threshold", "seeds", "size")
_LONGEST, _SEEDS, _LARGE, _WORDS, _LETTERS = 2000, 64, 1e9, 100, 4_000_000


class ClientError(ValueError):
    """The web UI did not do what it was asked to; one line for people."""


class Failed(ClientError):
    """What was started has ended with an error of its own; `reason` is that."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"failed: {reason}")
        self.reason = reason


def _checked(reading: Callable) -> Callable:
    @wraps(reading)
    def read(*args: object) -> object:
        try:
            return reading(*args)
        except ValidationError as error:
            raise ClientError(f"the web UI's answer makes no sense: {plain(error)[:300]}") from None

    return read


def _text(field: Field, most: int = _LONGEST) -> str:
    return plain(field.text(most))


def _count(field: Field) -> int:
    return field.integer(0, 10**12)


def _number(field: Field) -> float:
    return field.number(-_LARGE, _LARGE)


def _perhaps(field: Field) -> float | None:
    return None if field.value is None else _number(field)


@_checked
def ident(answer: dict) -> str:
    """The id of what was started."""
    return _text(Field(answer, "answer").object()["id"], 100)


@_checked
def progress(answer: dict) -> dict:
    """How far it is; `result` is left as it is."""
    found = Field(answer, "answer").object()
    texts = {name: _text(found.get(name, "")) for name in ("id", "state", "note", "error")}
    numbers = {name: _count(found.get(name, 0)) for name in ("done", "total")}
    return {**texts, **numbers, "seconds_left": _perhaps(found.get("seconds_left", None)), "result": found.get("result", None).value}


@_checked
def calibration(result: object) -> dict:
    """What came out of a calibration; an older extension has no warning and does not say what changes."""
    found = Field(result, "result").object()
    left_out, changes = found.get("left_out", []), found.get("changes", ["The web UI serves it from now on."])
    for one in (left_out, changes):
        if not isinstance(one.value, list):
            one.fail("has to be a list")
    return {
        "profile": _text(found["profile"], 200),
        "runs": _count(found["runs"]),
        "warning": _text(found.get("warning", "")),
        "left_out": [_text(Field(one, "left_out")) for one in left_out.value],
        "changes": [_text(Field(one, "changes")) for one in changes.value],
        "levels": {plain(name): _levels(Field(one, "levels")) for name, one in found["levels"].object().value.items()},
    }


@_checked
def outlook(answer: object) -> dict:
    """What a calibration would displace: lines for people, and how many of those are calibrations."""
    found = Field(answer, "answer").object()
    changes = found["changes"]
    if not isinstance(changes.value, list):
        changes.fail("has to be a list")
    return {"changes": [_text(Field(one, "changes")) for one in changes.value], "calibrations": _count(found["calibrations"])}


@_checked
def trials(answer: object) -> dict[str, str]:
    """Of each profile that is a trial, by its name, why."""
    found = Field(answer, "answer").object()["profiles"]
    if not isinstance(found.value, list):
        found.fail("has to be a list")
    read = [Field(one, "profiles").object() for one in found.value]
    told = {_text(one["name"], 200): _text(one.get("trial", "")) for one in read}
    return {name: why for name, why in told.items() if why}


def _levels(region: Field) -> dict:
    levels = {name: Field(one, "levels").object() for name, one in region.object().value.items()}
    return {plain(name): {key: _number(one[key]) for key in ("threshold", "measured")} for name, one in levels.items()}


@_checked
def about(result: object) -> dict:
    """What a scan was made with: :data:`SAME`."""
    found = Field(result, "result").object()
    texts = {name: _text(found[name], 300) for name in ("profile", "checkpoint", "sensitivity", "size")}
    read = {**texts, "threshold": _number(found["threshold"]), "seeds": _count(found["seeds"])}
    return {name: read[name] for name in SAME}


@_checked
def row(value: object) -> dict:
    """A caption's row of a scan."""
    found = Field(value, "row").object()
    scores = found["scores"]
    if not isinstance(scores.value, list) or len(scores.value) > _SEEDS:
        scores.fail(f"has to be a list of at most {_SEEDS} numbers")
    told = {name: _text(found.get(name, ""), 300) for name in ("networks", "reason")}
    if found.get("threshold", None).value is not None:
        told["threshold"] = _number(found["threshold"])
    return {
        "caption": _text(found["caption"]),
        "scores": [_perhaps(Field(one, "row.scores")) for one in scores.value],
        "median": _perhaps(found["median"]),
        "max": _perhaps(found["max"]),
        "above": _count(found["above"]),
        "verdict": found["verdict"].choice((STABLE, MILD, STRONG, NOT_JUDGED)),
        **{name: value for name, value in told.items() if value},
    }


def rows(result: object, captions: Sequence[str]) -> list[dict]:
    """The rows of a scan of just these captions, under their own texts."""
    found = result.get("rows") if isinstance(result, dict) else None
    read = [row(one) for one in found] if isinstance(found, list) and len(found) == len(captions) else []
    if [one["caption"] for one in read] != [plain(caption) for caption in captions]:
        raise ClientError("the web UI's answer makes no sense: its rows are not those of the captions that it was asked for")
    return [{**one, "caption": caption} for one, caption in zip(read, captions)]


@_checked
def _explained(value: object) -> dict:
    found = Field(value, "row").object()
    words, suggestion = found["words"], found["suggestion"]
    if not isinstance(words.value, list) or len(words.value) > _WORDS:
        words.fail(f"has to be a list of at most {_WORDS} words")
    read = []
    for one in words.value:
        word = Field(one, "word").object()
        if not isinstance(word["spans"].value, list) or len(word["spans"].value) > _LONGEST:
            word["spans"].fail("has to be a list")
        spans = [Field(span, "spans").numbers(0, _LARGE, 2, 2) for span in word["spans"].value]
        read.append({"text": _text(word["text"]), "spans": [[int(at) for at in span] for span in spans], "share": _perhaps(word["share"])})
    told = None
    if suggestion.value is not None:
        lacking = suggestion["without"]
        if not isinstance(lacking.value, list) or len(lacking.value) > _WORDS:
            lacking.fail("has to be a list")
        told = {"text": _text(suggestion["text"]), "without": [_text(Field(one, "without")) for one in lacking.value]}
    return {"caption": _text(found["caption"]), "words": read, "suggestion": told, "note": _text(found.get("note", ""))}


def explained(result: object, captions: Sequence[str]) -> list[dict]:
    """What a web UI says of the words of just these captions, under their own texts."""
    found = result.get("rows") if isinstance(result, dict) else None
    read = [_explained(one) for one in found] if isinstance(found, list) and len(found) == len(captions) else []
    if [one["caption"] for one in read] != [plain(caption) for caption in captions]:
        raise ClientError("the web UI's answer makes no sense: its rows are not those of the captions that it was asked for")
    return [{**one, "caption": caption} for one, caption in zip(read, captions)]


def pictures(result: object, captions: Sequence[str], count: int) -> tuple[str, list[list[bytes]]]:
    """The checkpoint, and of each of just these captions so many pictures, as the bytes of JPEG files that can be read."""
    found = result.get("rows") if isinstance(result, dict) else None
    read = [_made(one, count) for one in found] if isinstance(found, list) and len(found) == len(captions) else []
    if [caption for caption, _ in read] != [plain(caption) for caption in captions]:
        raise ClientError("the web UI's answer makes no sense: its pictures are not those of the captions that it was asked for")
    return _checkpoint(result), [some for _, some in read]


@_checked
def _checkpoint(result: object) -> str:
    return _text(Field(result, "result").object()["checkpoint"], 300)


@_checked
def _made(value: object, count: int) -> tuple[str, list[bytes]]:
    from ..match import opening

    found = Field(value, "row").object()
    some = found["pictures"]
    if not isinstance(some.value, list) or len(some.value) != count:
        some.fail(f"has to be a list of {count} pictures")
    read = []
    for one in some.value:
        field = Field(one, "picture").object()["picture"]
        try:
            data = base64.b64decode(field.text(_LETTERS), validate=True)
            if not data.startswith(b"\xff\xd8"):
                raise ValueError("no JPEG")
            opening.whole(data, 32)
        except ValueError as error:
            field.fail(f"is no picture that can be read ({error})")
        read.append(data)
    return _text(found["caption"]), read
