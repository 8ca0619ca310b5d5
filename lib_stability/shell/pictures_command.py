"""``scan --pictures``: finished pictures get a verdict afterwards, from the probe at their own prompt, seed and size, by a running web UI."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..trail import audit, old_pictures
from ..trail.old_pictures import Picture
from . import webui_answers
from .progress import Bar
from .webui_client import Client, ClientError

NAME = "pictures.jsonl"
NOT_JUDGED = "not judged"


def add_arguments(scan: argparse.ArgumentParser) -> None:
    """What ``scan`` takes beside captions."""
    scan.add_argument("--pictures", type=Path, metavar="DIR", help="instead of captions: finished pictures, judged by their own infotext")
    scan.add_argument("--any-checkpoint", action="store_true", help="with --pictures: those of other checkpoints too, as if they were this one's")


def scan(arguments: argparse.Namespace) -> int:
    """Judge what is not in the folder's results yet, then write the reports."""
    from ..trail import old_pictures_report

    if arguments.captions is not None:
        raise ValueError("--pictures goes without captions")
    if not arguments.pictures.exists():
        raise ValueError(f"{arguments.pictures} is no file and no folder")
    pictures = old_pictures.read(audit.find([arguments.pictures]))
    if not pictures:
        raise ValueError(f"{arguments.pictures} holds no picture")
    arguments.out.mkdir(parents=True, exist_ok=True)
    judging = _Judging(arguments)
    rows: list[dict] = []
    bar = Bar("pictures")
    try:
        for number, picture in enumerate(pictures, start=1):
            rows.append(judging.row(picture))
            bar(number, len(pictures))
    finally:
        bar.close()
        if rows:
            (arguments.out / "pictures.csv").write_text(old_pictures_report.to_csv(rows), encoding="utf-8", errors="backslashreplace")
            (arguments.out / "pictures.html").write_text(old_pictures_report.page(rows), encoding="utf-8", errors="backslashreplace")
    print(old_pictures_report.summary(rows))
    for row in old_pictures_report.ranked(rows)[:10]:
        print(f"  {row['verdict']:10} {'–' if row['score'] is None else format(row['score'], '.1f'):>6}  {audit.plain(row['file'])}")
    print(f"Written to {arguments.out}/")
    return 0


class _Judging:
    """Asks the web UI for what is not known from an earlier call."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.client = Client(arguments.webui_url, arguments.auth)
        self.asked = {name: getattr(arguments, name) for name in ("sensitivity", "profile")}
        self.path, self.any = arguments.out / NAME, arguments.any_checkpoint
        self.about: dict | None = None
        self.known: dict[tuple, dict] = {}
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines() if self.path.exists() else ():
            try:
                entry = json.loads(line)
                if entry["asked"] == self.asked:
                    self.about = webui_answers.about(entry["about"])
                    self.known[tuple(entry["picture"])] = webui_answers.row(entry["row"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue

    def row(self, picture: Picture) -> dict:
        """What the reports say of a picture."""
        problem, found = picture.problem or self._foreign(picture), None
        if not problem:
            try:
                found = self.known.get(picture.asked) or self._judge(picture)
            except ClientError as error:
                if not picture.networks:
                    raise
                problem = str(error)  # networks that are not here, or that no profile knows, are this picture's alone
        problem = problem or self._foreign(picture)  # which checkpoint is loaded, the first answer tells
        if problem or found is None:
            found = {"verdict": NOT_JUDGED, "median": None}
        elif found["verdict"] == NOT_JUDGED:
            problem = found.get("reason") or "outside the region"
        told = {
            "file": picture.file,
            "prompt": picture.prompt,
            "seed": picture.seed,
            "size": f"{picture.width}x{picture.height}",
            "said": picture.said,
        }
        return told | {"verdict": found["verdict"], "score": found["median"], "note": problem or picture.note}

    def _foreign(self, picture: Picture) -> str:
        if self.any or self.about is None or not picture.model or picture.model == self.about["checkpoint"]:
            return ""
        return f"made with another checkpoint, {picture.model}"

    def _judge(self, picture: Picture) -> dict:
        prompt, seed, width, height = picture.asked
        body = {**self.asked, "captions": [prompt.strip()], "seeds": 1, "first_seed": seed, "width": width, "height": height, "batch_size": 1}
        result = self.client.follow("scan", body)
        # The size is each picture's own; all else may not change.
        about, (row,) = webui_answers.about(result) | {"size": ""}, webui_answers.rows(result, [prompt.strip()])
        if picture.networks:  # they have profiles of their own
            about = self.about or about
        elif self.about is not None and about != self.about:
            changed = ", ".join(f"{name} {self.about[name]} → {about[name]}" for name in about if about[name] != self.about[name])
            raise ClientError(f"{self.path} was made with something else ({changed}); use another --out")
        self.about, self.known[picture.asked] = about, row
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"asked": self.asked, "about": about, "picture": picture.asked, "row": row}, ensure_ascii=False) + "\n")
        return row
