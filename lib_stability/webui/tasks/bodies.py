"""JSON bodies of the guard's routes: declared as JSON, of limited size and depth, whole characters only. FastAPI's own reading wants none of it."""

from __future__ import annotations

import json

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
        text = data.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        body.fail("is nested too deeply" if isinstance(error, RecursionError) else "is not JSON in UTF-8")
    if _depth(value) > MOST_DEPTH:
        body.fail("is nested too deeply")
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            body.fail("holds half a character (a lone surrogate)")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _depth(value: object) -> int:
    level, depth = [value], 0
    while level and depth <= MOST_DEPTH:
        level = [one for outer in level if isinstance(outer, (dict, list)) for one in (outer.values() if isinstance(outer, dict) else outer)]
        depth += bool(level)
    return depth
