"""How the evidence is written as JSON: each entry of a list on a line of its own, which a reader and a diff can follow, and shorter than indented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Significant digits of a number: no table shows more than five.
DIGITS = 7


def text(result: Any, indent: str = "") -> str:
    """`result` as JSON; dictionaries by key, lists of dictionaries by entry, everything else on one line."""
    more = indent + " "
    if isinstance(result, dict) and result:
        lines = [f"{more}{json.dumps(str(key))}: {text(value, more)}" for key, value in result.items()]
    elif isinstance(result, list) and any(isinstance(one, dict) for one in result):
        lines = [more + _line(one) for one in result]
    else:
        return _line(result)
    opening, closing = "{}" if isinstance(result, dict) else "[]"
    return opening + "\n" + ",\n".join(lines) + f"\n{indent}{closing}"


def _line(value: Any) -> str:
    return json.dumps(_rounded(value), separators=(",", ":"))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def write(path: Path, result: Any) -> None:
    """Write `result` to a file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(text(result) + "\n", "utf-8")
    part.replace(path)
