"""What a large index costs: made of rows that nobody's pictures stand behind, and asked."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import building, describing, search, store

#: Rows that are made at a time, and queries.
_CHUNK, QUERIES = 50_000, 40


def measure(rows: int, size: int, folder: Path | None = None, queries: int = QUERIES, near: float = 0.5) -> dict:
    """Time and memory of an index of `rows` rows of `size` numbers, and how often the row that a query was made of is found.

    Rows have the falling spectrum of natural pictures; a query is one of them plus `near` times noise of its own length.
    """
    top = Path(tempfile.mkdtemp(prefix="memorization-guard-index-", dir=folder))
    try:
        return _measured(top, rows, size, queries, near)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _measured(folder: Path, rows: int, size: int, queries: int, near: float) -> dict:
    draw = np.random.default_rng(3)
    weights = ((1 + np.arange(size)) ** -0.5).astype(np.float32)
    about = store.About("pixels", 64, tuple(describing.unit(np.ones((1, size)))[0].tolist()), "made up", (str(folder),), "synthetic", complete=True)
    began = time.monotonic()
    kept, lines, offset = [], [], 0
    with open(store.part(folder, about, "rows"), "wb") as out, open(store.part(folder, about, "files"), "wb") as files:
        for first in range(0, rows, _CHUNK):
            part = describing.unit(draw.standard_normal((min(_CHUNK, rows - first), size), np.float32) * weights)
            kept += [(first + at, part[at]) for at in range(0, len(part), max(rows // queries, 1)) if first % max(rows // queries, 1) < _CHUNK]
            out.write(part.astype(np.float16).tobytes())
            for number in range(first, first + len(part)):
                lines.append(offset)
                offset += files.write(store.Source(str(folder), f"{number:07}.jpg", 0, 0).line())
    store.publish(folder, building.finish(folder, about, lines))
    made = time.monotonic() - began
    kept = kept[:: max(len(kept) // queries, 1)][:queries]
    before = _resident()
    with search.Index(folder) as index:
        asked = [
            (row, np.stack([describing.unit((one + near * describing.unit(draw.standard_normal((1, size)))[0])[None])[0], -one])) for row, one in kept
        ]
        index.search(asked[0][1])
        times, right = [], 0
        for row, views in asked:
            began = time.perf_counter()
            hits = index.search(views)
            times.append(1000 * (time.perf_counter() - began))
            right += hits[0].source.name == f"{row:07}.jpg"
        memory = _resident() - before
        files = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "rows": rows,
        "numbers": size,
        "made in s": round(made, 1),
        "on the disk MB": round(files / 1e6),
        "in memory MB": round(memory),
        "ms a query, median": round(float(np.median(times)), 1),
        "ms a query, worst": round(max(times), 1),
        "found": f"{right}/{len(asked)}",
    }


def _resident() -> float:
    """Megabytes of this process that are in memory, mapped files with them; NaN where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1000
    except (OSError, StopIteration, ValueError):
        return float("nan")


def table(found: Sequence[dict]) -> str:
    """Measurements as Markdown."""
    heads = list(found[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + "---:|" * len(heads)]
    lines += ["| " + " | ".join(str(one[name]) for name in heads) + " |" for one in found]
    return "\n".join(lines)
