"""Results of a scan in its folder: kept line by line so that it can go on, and written as a table and a page."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from ..guard.verdict import NOT_JUDGED
from ..profile.networks import UNKNOWN
from ..trail import scan_report
from ..trail.captions.entry import Caption, plain
from . import webui_answers
from .webui_client import ClientError

NAME = "scan.jsonl"


class Kept:
    """Rows of a folder that were asked for in the same way, by prompt.

    Parameters
    ----------
    folder : Path
    asked : dict
        How they are asked for.
    """

    def __init__(self, folder: Path, asked: dict) -> None:
        self.path, self.asked = folder / NAME, asked
        self.rows: dict[str, dict] = {}
        #: What rows were made with, by their networks: each list of networks has a profile of its own.
        self._made: dict[str, dict] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError, RecursionError):  # a line that makes no sense is ignored
                    self._take(json.loads(line))

    def _take(self, entry: dict) -> None:
        if entry["asked"] == self.asked:
            row, about = webui_answers.row(entry["row"]), webui_answers.about(entry["about"])
            self.rows[entry["row"]["caption"]] = row | {"caption": entry["row"]["caption"]}
            self._made[row.get("networks", "")] = about

    @property
    def about(self) -> dict | None:
        """What the rows were made with, the profiles of all networks named."""
        if not self._made:
            return None
        return next(iter(self._made.values())) | {"profile": " + ".join(dict.fromkeys(one["profile"] for one in self._made.values()))}

    def add(self, result: dict, prompts: list[str]) -> None:
        """Keep the web UI's answer about these prompts.

        Raises
        ------
        ClientError
            It makes no sense, or was made with something else than those before.
        """
        now, new = webui_answers.about(result), webui_answers.rows(result, prompts)
        for name in {row.get("networks", "") for row in new}:
            before = self._made.setdefault(name, now)
            if before != now:
                changed = ", ".join(f"{name} {before[name]} → {now[name]}" for name in webui_answers.SAME if now[name] != before[name])
                raise ClientError(f"{self.path} was made with something else ({changed}); use another --out")
        self._append(now, new)
        self.rows |= {row["caption"]: row for row in new}

    def pass_over(self, prompts: list[str], reason: str) -> None:
        """Rows of prompts with networks that no profile knows; not kept, so that they are scanned once one does."""
        why = reason[reason.find(UNKNOWN) :].partition(";")[0]
        blank = {"scores": [], "median": None, "max": None, "above": 0, "verdict": NOT_JUDGED, "reason": why}
        self.rows |= {prompt: {"caption": prompt, **blank} for prompt in prompts}

    def _append(self, about: dict, rows: list[dict]) -> None:
        cut_off = self.path.exists() and self.path.stat().st_size > 0 and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            lines = (json.dumps({"asked": self.asked, "about": about, "row": row}, ensure_ascii=False) + "\n" for row in rows)
            file.write("\n" * cut_off + "".join(lines))


def for_people(row: dict, caption: Caption, root: Path) -> dict:
    """A row under the caption's own text, with its first picture and how often training shows it."""
    shown = {**row, "caption": caption.text, "count": caption.count}
    if caption.pictures:
        shown["file"], shown["picture"] = str(caption.pictures[0]), plain(_relative(caption.pictures[0], root))
    return shown


def _relative(picture: Path, root: Path) -> str:
    with suppress(ValueError):
        return os.path.relpath(picture, root if root.is_dir() else root.parent)
    return picture.name


def write(folder: Path, rows: list[dict], about: dict | None, how: str = "") -> None:
    """The table and the page of a folder; the page has small pictures of its own, and says `how` those that were made were compared."""
    from ..trail import thumbnails

    ordered = scan_report.ranked(rows)
    worst = [row for row in ordered[: scan_report.SHOWN] + [row for row in ordered[scan_report.SHOWN :] if row.get("made")] if row.get("file")]
    for row, shown in zip(worst, thumbnails.thumbnails([row["file"] for row in worst])):
        if shown:
            row["thumbnail"] = shown
    (folder / "scan.csv").write_text(scan_report.to_csv(rows), encoding="utf-8")
    (folder / "scan.html").write_text(scan_report.page(rows, about, how), encoding="utf-8")
