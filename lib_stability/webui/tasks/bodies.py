"""JSON bodies of the guard's routes: declared as JSON, of limited size and depth, whole characters only. FastAPI's own reading wants none of it."""

from __future__ import annotations

import json
import math

from ...trail.audit import plain
from ...validation import Field, ValidationError

MOST_BYTES, MOST_DEPTH = 32 * 1024 * 1024, 8


def refusal(where: str, error: ValidationError) -> list[dict]:
    """A refusal in the shape of FastAPI's own; texts of the client's come back without what no JSON holds."""
    said = plain(error)
    return [{"loc": [where, said.split(":", 1)[0]], "msg": said, "type": "value_error"}]


async def read(request: object) -> object:
    """A dependency: the body's value. 415 for anything not declared as JSON (which no form or script of another site can send unasked), 413, 422."""
    from fastapi import HTTPException

    if request.headers.get("content-type", "").split(";", 1)[0].strip().lower() != "application/json":
        raise HTTPException(415, "The body has to be JSON, with the header Content-Type: application/json")
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"The body is larger than {MOST_BYTES} bytes")
    try:
        return parse(bytes(data))
    except ValidationError as error:
        raise HTTPException(422, refusal("body", error)) from None


def parse(data: bytes) -> object:
    """The value of a JSON text.

    Raises
    ------
    ValidationError
        Not UTF-8, not JSON, nested too deeply, or a text in it holds half a character.
    """
    body = Field(None, "body")
    try:
        body = Field(json.loads(data.decode("utf-8"), parse_constant=_refuse), "body")
    except (ValueError, RecursionError) as error:
        body.fail("is nested too deeply" if isinstance(error, RecursionError) else "is not JSON in UTF-8")
    return check(body)


def check(field: Field) -> object:
    """The value of a field if every program could write it as JSON again, as a host does that repeats what it was asked.

    Raises
    ------
    ValidationError
        It is nested too deeply, or holds a number that is not finite or of more than 64 bits, or half a character.
    """
    level, depth = [field.value], 0
    while level:
        if depth > MOST_DEPTH:
            field.fail("is nested too deeply")
        for one in level:
            _check_one(one, field)
        objects = [outer for outer in level if isinstance(outer, dict)]
        level = [one for outer in level if isinstance(outer, list) for one in outer]
        level += [one for outer in objects for pair in outer.items() for one in pair]
        depth += 1
    return field.value


def _check_one(value: object, field: Field) -> None:
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            field.fail("holds half a character (a lone surrogate)")
    elif isinstance(value, float) and not math.isfinite(value):
        field.fail("holds a number that is not finite")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        field.fail("holds a number of more than 64 bits")


def _refuse(constant: str) -> None:
    raise ValueError(constant)
