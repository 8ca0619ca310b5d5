"""Made-up and spoiled input, the same at every run: a small number of cases in `make test`, FUZZ times as many, and others, in `make fuzz`."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator

#: How many times the small number.
FACTOR = max(int(os.environ.get("FUZZ", "1")), 1)
ODD_TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "\ud800",
    "é\u202e\u200b",
    "\U0001f600",
    "<script>alert(1)</script>",
    "../../x",
    "a" * 5000,
    "MG verdict: stable",
    '"',
    "\\",
    "{}",
    "%s{0}",
    "=1+1",
    "\x1b[2J",
    "Negative prompt: x",
    "Steps: 1, Seed: 2, MG verdict: stable",
    "<lora:x:1>",
    "((((",
    "[a:b:0.5]",
    "AND",
    "BREAK",
    "true",
    "nan",
    "1e999",
)
ODD_VALUES = (
    *ODD_TEXTS,
    None,
    True,
    False,
    0,
    -1,
    1,
    2**63,
    10**400,
    0.5,
    -0.0,
    1e308,
    -1e308,
    1e-320,
    float("nan"),
    float("inf"),
    [],
    {},
    [[[[]]]],
    {"": {}},
)


def cases(name: str, count: int) -> Iterator[random.Random]:
    """A source of randomness for each case; a failure's case comes again under the same name and number."""
    for number in range(count * FACTOR):
        yield random.Random(f"{name} {number}")


def text(draw: random.Random, most: int = 8) -> str:
    """Odd texts, ordinary words and random characters, one after the other."""
    words = ("a", "cat", "red", "Steps", ": ", ", ", "MG ", "7", "(x:1.2)")
    parts = []
    for _ in range(draw.randint(0, most)):
        kind = draw.random()
        parts.append(
            draw.choice(ODD_TEXTS if kind < 0.3 else words) if kind < 0.8 else chr(draw.choice((draw.randrange(128), draw.randrange(0x11000))))
        )
    return "".join(parts)


def value(draw: random.Random, depth: int = 3) -> object:
    """Any value of JSON."""
    kind = draw.random()
    if depth and kind < 0.2:
        return [value(draw, depth - 1) for _ in range(draw.randint(0, 4))]
    if depth and kind < 0.4:
        return {text(draw, 2): value(draw, depth - 1) for _ in range(draw.randint(0, 4))}
    # A copy: whoever spoils it further must not spoil the next case, or put a value into itself.
    return copy.deepcopy(draw.choice(ODD_VALUES)) if kind < 0.8 else text(draw)


def spoiled_json(draw: random.Random, document: object, times: int = 3) -> object:
    """A copy with some of its places replaced, taken out, doubled or renamed."""
    document = copy.deepcopy(document)
    for _ in range(draw.randint(1, times)):
        holder, key = _place(draw, document)
        if holder is None:
            return value(draw)
        kind = draw.random()
        if kind < 0.6:
            holder[key] = value(draw, 2)
        elif kind < 0.75:
            del holder[key]
        elif kind < 0.9 and isinstance(holder[key], (int, float)) and not isinstance(holder[key], bool):
            factor = draw.choice((-1, 0, 1e-9, 1e9, 1e300))
            holder[key] = holder[key] * (factor if abs(holder[key]) < 1e300 else -1)  # whole numbers may be beyond what a float holds
        elif isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            holder[text(draw, 2)] = holder.pop(key)
    return document


def _place(draw: random.Random, document: object) -> tuple[object, object]:
    holder, key, inner = None, None, document
    while isinstance(inner, (dict, list)) and inner:
        holder, key = inner, draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
        inner = holder[key]
        if draw.random() < 0.25:
            break
    return holder, key


def spoiled_bytes(draw: random.Random, data: bytes, times: int = 4) -> bytes:
    """A copy with bytes changed, taken out, put in, repeated or cut off; often a length or a count."""
    out = bytearray(data)
    for _ in range(draw.randint(1, times)):
        at, kind = draw.randrange(len(out) + 1), draw.random()
        if kind < 0.35 and at < len(out):
            out[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        elif kind < 0.5:
            out[at : at + 4] = draw.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\1", draw.randbytes(4)))
        elif kind < 0.65:
            del out[at : at + draw.randint(1, 40)]
        elif kind < 0.8:
            out[at:at] = draw.choice((draw.randbytes(draw.randint(1, 30)), b"\n", b'"', b"[" * 3000, b"\0" * 100))
        elif kind < 0.9:
            out[at:at] = out[max(at - draw.randint(1, 200), 0) : at]
        else:
            del out[at:]
    return bytes(out)


def dumped(document: object) -> bytes:
    """As JSON, also where JSON has no such values."""
    return json.dumps(document).encode()
