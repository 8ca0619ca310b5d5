"""Captions in tables: JSON and its lines, CSV, Parquet. Which column holds the caption, and which the picture, is told by their names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..imagetext import OTHERS
from ..imagetext import PICTURES as COMMON
from .entry import Found

#: Names of columns, the first that is there counts.
CAPTIONS = ("caption", "text", "prompt", "captions", "tags", "tag_string", "title", "description", "top_caption")
PICTURES = ("file_name", "filename", "image", "image_path", "path", "file", "img", "image_file", "file_path")
REPEATS = ("num_repeats", "repeats", "repeat")
#: Of pictures.
ENDINGS = (*COMMON, *OTHERS)
KINDS = (".json", ".jsonl", ".csv", ".tsv", ".parquet")
_MOST_REPEATS = 100_000


def read(path: Path, text: str, problems: list[str]) -> Iterator[Found] | None:
    """The captions of a table in a file's text, None where it is none."""
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return _json(path, text, problems)
    kind = path.suffix.lower()
    return _csv(path, text, problems, "\t" if kind == ".tsv" else ",") if kind in (".csv", ".tsv") else None


def _json(path: Path, text: str, problems: list[str]) -> Iterator[Found] | None:
    try:
        return _rows(_of(json.loads(text)), path, problems)
    except RecursionError:
        problems.append(f"{path.name}: is nested too deeply, left out")
        return iter(())
    except ValueError:
        pass
    rows = list(_of_lines(path, text, problems))
    return _rows(rows, path, problems) if rows else None


def _of_lines(path: Path, text: str, problems: list[str]) -> Iterator[tuple[str, object]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError):
            problems.append(f"{path.name}, line {number}: is not JSON, left out")


def _of(value: object) -> list[tuple[str, object]]:
    """The rows of a JSON value: a list of them, one, or an object of picture to row as kohya's scripts write it."""
    if isinstance(value, list):
        return [(f"row {number}", one) for number, one in enumerate(value, start=1)]
    if isinstance(value, dict) and _column(value, CAPTIONS) is None:
        inner = next((one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)), None)
        if inner is not None:
            return _of(inner)
        return [(key, {"file_name": key, **(one if isinstance(one, dict) else {"caption": one})}) for key, one in value.items()]
    return [("row 1", value)]


def _csv(path: Path, text: str, problems: list[str], separator: str) -> Iterator[Found]:
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(cell.strip() for cell in row)]
    if not rows:
        return
    heads = [cell.strip().lower() for cell in rows[0]]
    if _column(dict.fromkeys(heads, ""), CAPTIONS) is None:  # no line of names: the longest cell of a row says most
        yield from (Found(max(row, key=len), _picture(path, next((cell for cell in row if Path(cell).suffix), None))) for row in rows)
        return
    yield from _rows([(f"row {number}", dict(zip(heads, row))) for number, row in enumerate(rows[1:], start=2)], path, problems)


def parquet(path: Path, problems: list[str]) -> Iterator[Found]:
    """The captions of a Parquet file; of columns that hold pictures nothing is read."""
    try:
        import pyarrow.parquet as table
    except ImportError as error:  # not there, or not for the NumPy that is
        problems.append(f"{path.name}: reading Parquet needs pyarrow (pip install pyarrow; {error}), left out")
        return
    try:
        file = table.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name.lower() in (*CAPTIONS, *PICTURES, *REPEATS)]
        for part in file.iter_batches(columns=names):
            rows = [{key.lower(): value for key, value in row.items() if not isinstance(value, bytes)} for row in part.to_pylist()]
            yield from _rows([(f"row {number}", row) for number, row in enumerate(rows, start=1)], path, problems)
    except Exception as error:  # pyarrow has errors of its own
        problems.append(f"{path.name}: is no Parquet file that can be read ({type(error).__name__}), left out")


def _rows(rows: Iterable[tuple[str, object]], path: Path, problems: list[str]) -> Iterator[Found]:
    for where, row in rows:
        if isinstance(row, str):
            yield Found(row)
            continue
        values = {str(key).lower(): value for key, value in row.items()} if isinstance(row, dict) else {}
        texts = _texts(values.get(_column(values, CAPTIONS) or ""))
        if not texts:
            problems.append(f"{path.name}, {where}: holds no caption, left out")
        picture = _picture(path, values.get(_column(values, PICTURES) or ""))
        times = values.get(_column(values, REPEATS) or "")
        for text in texts:
            yield Found(text, picture, _whole(times))


def _column(values: dict, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in values), None)


def _texts(value: object) -> list[str]:
    """A caption, several of one picture, or a list of tags."""
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [one for one in value if isinstance(one, str) and one.strip()] if isinstance(value, list) else []


def _whole(value: object) -> int:
    text = str(value)
    return min(int(text), _MOST_REPEATS) if text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0 else 1


def _picture(path: Path, told: object) -> Path | None:
    """Where a table says that a picture is, beside the table."""
    told = told.get("path") if isinstance(told, dict) else told
    if not isinstance(told, str) or not told.strip() or "\0" in told:
        return None
    picture = path.parent / told.strip()
    if not picture.suffix:  # kohya's keys may leave the ending out
        return next((one for one in (picture.with_name(picture.name + ending) for ending in ENDINGS) if one.is_file()), picture)
    return picture
