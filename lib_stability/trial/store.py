"""A trial's folder: what was asked for, a row for every image as soon as it is there, and the pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from .plan import MODES, OFF, PHASES, SETS, Plan, key

#: Pixels of the longer side of a picture that is kept: a copy detector looks at less.
SIDE, QUALITY = 512, 92
PLAN, ROWS, PICTURES = "plan.json", "rows.jsonl", "pictures"


class Store:
    """Of one folder.

    Raises
    ------
    ValueError
        The folder's rows belong to another trial.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        (folder / PICTURES).mkdir(parents=True, exist_ok=True)
        asked, path = plan.asked(), folder / PLAN
        if path.exists():
            differs = _differs(path, asked)
            if differs:
                raise ValueError(f"{folder} holds a trial with another choice of {', '.join(differs)}; use another --out")
        self._write(path, json.dumps({"asked": asked}, indent=1, ensure_ascii=False) + "\n")
        self._calibration = folder / "calibration.json"
        self.rows: list[dict] = [row for row in _lines(folder / ROWS) if _is_row(row)]
        _end_line(folder / ROWS)
        self.done = {key(row) for row in self.rows}

    def add(self, made: Sequence) -> None:
        """Keep pictures and rows of a request: the pictures first, so that no row is without one. Those
        without the guard are the same as those that it reports on."""
        for picture, row in made:
            if row["mode"] == OFF:
                continue
            small = picture.copy()
            small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
            small.save(self.folder / picture_of(row), "JPEG", quality=QUALITY)
        rows = [row for _, row in made]
        with (self.folder / ROWS).open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        self.rows += rows
        self.done |= {key(row) for row in rows}

    @property
    def calibrated(self) -> str:
        """The profile that this trial's calibration made; "" before."""
        try:
            return str(json.loads(self._calibration.read_text(encoding="utf-8"))["profile"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    @calibrated.setter
    def calibrated(self, name: str) -> None:
        self._write(self._calibration, json.dumps({"profile": name}) + "\n")

    def write(self, name: str, text: str) -> Path:
        """Write a report into the folder."""
        return self._write(self.folder / name, text)

    @staticmethod
    def _write(path: Path, text: str) -> Path:
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        part.replace(path)
        return path


def picture_of(row: dict) -> str:
    """Where an image's picture lies in the folder."""
    return f"{PICTURES}/{'-'.join(str(part) for part in key(row))}.jpg"


def _end_line(path: Path) -> None:
    """A line that was cut off is not to spoil the next."""
    if path.exists() and path.stat().st_size > 0:
        with path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _differs(path: Path, asked: dict) -> list[str]:
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["asked"]
        return [name.replace("_", " ") for name in asked if before.get(name) != asked[name]]
    except (OSError, ValueError, KeyError, AttributeError):
        return ["everything: its plan cannot be read"]


def _lines(path: Path) -> list[object]:
    found: list[object] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):  # a line that was cut off: its images are made again
                continue
    return found


def _is_row(row: object) -> bool:
    if not isinstance(row, dict) or "verdict" not in row:
        return False
    named = row.get("phase") in PHASES and row.get("mode") in (OFF, *MODES) and row.get("set") in SETS
    return named and all(type(row.get(name)) is int for name in ("setting", "prompt", "seed")) and isinstance(row.get("seconds"), float)
