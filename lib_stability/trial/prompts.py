"""Prompt sets as people publish them: lines of text, JSON lines, or a table with a column of captions."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..profile.reference import MAX_LENGTH, MAX_PROMPTS, read_prompts

#: Names of the column or field that holds the prompts, in the order in which they are looked for; capitals do not matter.
COLUMNS = ("caption", "prompt", "text", "captions", "prompts")
MAX_BYTES = 64 * 1024 * 1024


def read(path: Path) -> list[str]:
    """The prompts of a ``.jsonl``, ``.json``, ``.csv``, ``.tsv`` or text file, repetitions dropped.

    Raises
    ------
    ValueError
        In one line, naming the file and where in it.
    OSError
        The file cannot be read.
    """
    kind = path.suffix.lower()
    if kind not in (".jsonl", ".json", ".csv", ".tsv"):
        return read_prompts(path)
    raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
    if not raw:
        raise ValueError(f"{path.name}: empty, or larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name}: not UTF-8") from None
    rows = _table(text, "\t" if kind == ".tsv" else ",") if kind in (".csv", ".tsv") else _objects(text, path.name, kind == ".jsonl")
    found: dict[str, None] = {}
    for where, row in rows:
        found.setdefault(_prompt(row, f"{path.name}, {where}"))
        if len(found) > MAX_PROMPTS:
            raise ValueError(f"{path.name}, {where}: more than {MAX_PROMPTS} prompts")
    found.pop("", None)
    if not found:
        raise ValueError(f"{path.name}: holds no prompt")
    return list(found)


def _objects(text: str, name: str, lines: bool) -> Iterator[tuple[str, object]]:
    try:
        if not lines:
            whole = json.loads(text)
            yield from ((f"entry {number}", one) for number, one in enumerate(whole if isinstance(whole, list) else [whole], start=1))
            return
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                where = f"line {number}"
                yield where, json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"{name}{f', line {number}' if lines else ''}: not JSON") from None


def _table(text: str, delimiter: str) -> Iterator[tuple[str, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    for row in reader:
        yield f"line {reader.line_num}", row


def _prompt(row: object, where: str) -> str:
    if isinstance(row, dict):
        named = {str(key).strip().lower(): value for key, value in row.items()}
        column = next((name for name in COLUMNS if name in named), None)
        if column is None:
            raise ValueError(f"{where}: has no column called {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}")
        row = named[column]
    if not isinstance(row, str):
        raise ValueError(f"{where}: the prompt is no text")
    text = " ".join(row.split())
    if len(text) > MAX_LENGTH:
        raise ValueError(f"{where}: longer than {MAX_LENGTH} characters")
    if not text.isprintable():
        raise ValueError(f"{where}: holds a control character")
    return text


def literal(prompt: str) -> str:
    """A caption written so that a web UI takes every letter of it for text: brackets are no weights, AND joins no prompts, < calls no network."""
    text = re.sub(r"([\\()\[\]])", r"\\\1", prompt)
    text = re.sub(r"\b(AND|BREAK)\b", lambda word: word[1].lower(), text)
    return re.sub(r"<(?=\w+:)", "< ", text)


def digest(prompts: Sequence[str]) -> str:
    """What a set is known by to whoever has the same: the SHA-256 of its prompts in alphabetical order."""
    return hashlib.sha256("\n".join(sorted(prompts)).encode()).hexdigest()
