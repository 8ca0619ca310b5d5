"""``python -m lib_stability audit``: the guard's verdicts read back from pictures and infotext files, and ledgers verified."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from ..guard.outcome import OUTCOMES
from ..guard.verdict import MILD, NOT_JUDGED, STABLE, STRONG
from . import ledger_check
from .image_row import COLUMNS, INNER, NO_VERDICT, PASSES, UNREADABLE, Item, examine_all, is_picture, shown_beside
from .imagetext import TEXTS
from .infotext import REPLACED_KEY, replaced

_WORDS = (STABLE, MILD, STRONG, NOT_JUDGED, NO_VERDICT, UNREADABLE)
#: What each choice of ``--fail-on`` fails on, in either pass.
FAIL_ON = {"mild": {MILD, STRONG}, "strong": {STRONG}, "not-judged": {NOT_JUDGED}, "no-verdict": {NO_VERDICT, UNREADABLE}}
#: Problems that are none.
_ORDINARY = ("no infotext", "guard off", "guard on, no verdict in it")
_CHUNK = 250
#: Below this many files, starting processes costs more than they save.
_FEW = 20_000
_LISTED = 50
#: Folders in which systems keep thumbnails, deleted files and other copies of pictures that lie elsewhere.
_COPIES = {"@eadir", "#recycle", "#snapshot", ".@__thumb", "$recycle.bin", "__macosx", ".appledouble", ".thumbnails", ".thumb", ".trashes", ".trash"}
#: How files begin in which macOS keeps what another system's disk has no room for, under the picture's name with ._ in front.
_APPLE_DOUBLE = b"\0\x05\x16\x07"
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="pictures, infotext files, or folders of both")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every row to FILE, as .csv or .jsonl")
    parser.add_argument("--prompts", action="store_true", help="write the prompts too, not their hashes alone")
    parser.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        action="append",
        default=[],
        help="exit with 1 if any file is: mild or strong (mild), strong, not judged, or without a readable verdict; may be given several times",
    )
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="processes (as many as this machine has cores)")
    parser.add_argument("--verify-ledger", type=Path, metavar="FOLDER", help="instead of pictures: verify the ledger in FOLDER, print its last hash")
    parser.add_argument("--expect", default="", metavar="HASH", help="with --verify-ledger: a last hash noted before, which has to be there still")


def find(paths: Iterable[Path], admits: Callable[[str], bool] = lambda path: True) -> Iterator[Item]:
    """Pictures and text files below `paths`, folders in the order of their names and each once: links that lead back end there.

    A text file beside a picture of the same name belongs to that picture: it is read where the picture holds no infotext. Of what is found below
    a folder, `admits` is asked about each folder and each link before either is looked into. Copies that systems keep for themselves, such as
    thumbnails, are left out unless they are named.
    """
    visited: set = set()
    named: set[str] = set()
    for path in paths:
        if path.is_dir():
            yield from _walk(str(path), visited, admits)
        elif (real := os.path.realpath(path)) not in named:
            named.add(real)
            yield Item(str(path), named=True)


def _walk(top: str, visited: set, admits: Callable[[str], bool]) -> Iterator[Item]:
    folders = [top]
    while folders:
        folder = folders.pop()
        if not admits(folder):
            continue
        try:
            stat = os.stat(folder)
            # Some file systems number nothing.
            identity = (stat.st_dev, stat.st_ino) if stat.st_ino else os.path.realpath(folder)
            if identity in visited:
                continue
            visited.add(identity)
            with os.scandir(folder) as entries:
                found = sorted((one for one in entries if not one.is_symlink() or admits(one.path)), key=lambda entry: entry.name)
        except OSError as error:
            print(f"audit: {plain(folder)}: {error.strerror}", file=sys.stderr)
            continue
        folders += [entry.path for entry in reversed(found) if _is(entry, "is_dir") and not _holds_copies(entry.name)]
        files = [entry for entry in found if (is_picture(entry.name) or entry.name.lower().endswith(TEXTS)) and _is(entry, "is_file")]
        files = [entry for entry in files if not _is_apple_double(entry)]
        texts = {os.path.splitext(entry.path)[0]: entry.path for entry in files if not is_picture(entry.name)}
        pictures = {os.path.splitext(entry.path)[0] for entry in files if is_picture(entry.name)}
        for entry in files:
            stem = os.path.splitext(entry.path)[0]
            if is_picture(entry.name):
                yield Item(entry.path, texts.get(stem, ""))
            elif stem not in pictures:
                yield Item(entry.path)


def _is(entry: os.DirEntry, kind: str) -> bool:
    try:
        return getattr(entry, kind)()
    except OSError:  # a link that leads in circles
        return False


def _holds_copies(name: str) -> bool:
    return name.lower() in _COPIES or name.startswith(".Trash-")


def _is_apple_double(entry: os.DirEntry) -> bool:
    if not entry.name.startswith("._"):
        return False
    try:
        with open(entry.path, "rb") as file:
            return file.read(4) == _APPLE_DOUBLE
    except OSError:
        return False


def rows(items: list[Item], prompts: bool = False, jobs: int = 0) -> Iterator[dict]:
    """The rows of all files, in order, by several processes where there are many.

    Reading a small file is mostly Python, which threads cannot share.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs or (cores if len(items) >= _FEW else 1), 60)
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    work = partial(examine_all, prompts=prompts)
    if jobs == 1:
        for chunk in chunks:
            yield from filter(None, work(chunk))
        return
    from concurrent.futures import ProcessPoolExecutor  # not every web UI that starts needs the machinery of processes

    pool = ProcessPoolExecutor(jobs)
    try:
        for done in pool.map(work, chunks):
            yield from filter(None, done)
    finally:
        pool.shutdown(cancel_futures=True)


def _with_progress(found: Iterable[dict], total: int) -> Iterable[dict]:
    """On a terminal a bar; nothing in a log."""
    from tqdm import tqdm

    return tqdm(found, total=total, unit="file", leave=False, disable=None)


def plain(text: object) -> str:
    """For a terminal: no control characters, nothing that cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in str(text))


def cell(value: object) -> object:
    """For a spreadsheet: a text that it would take for a formula is marked as text."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def write(table: Iterable[dict], path: Path, prompts: bool = False, more: Sequence[str] = ()) -> None:
    """Write rows as CSV or JSON lines, by the ending of `path`; the file is there as a whole or not at all. `more` are further columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    columns = [*COLUMNS, *more, *(["prompt", "carriers"] if prompts else [])]
    try:
        with open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            if path.suffix.lower() == ".csv":
                writer = csv.writer(file)
                writer.writerow(columns)
                writer.writerows([cell(row.get(name)) for name in columns] for row in table)
            else:
                file.writelines(json.dumps({name: row.get(name) for name in columns}) + "\n" for row in table)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def summary(table: list[dict]) -> str:
    """Counts per verdict and pass, how often the guard acted, and how that ended where it is known. Grids beside their images do not count again."""
    files, grids = len(table), shown_beside(table)
    table = [row for row, grid in zip(table, grids) if not grid]
    inner = any(row[INNER + "verdict"] for row in table)
    passes = PASSES if inner else PASSES[:2]

    def line(word: str, counts: list[int]) -> str:
        return f"{word:12} {counts[0]:10}" + "".join(f" {count or '':>10}" for count in counts[1:])

    found = [Counter(row[prefix + "verdict"] for row in table) for prefix in passes]
    lines = [f"{files} files" + (f", {sum(grids)} of them grids beside their images: not counted" if any(grids) else "")]
    lines += [f"{'':12} {'first pass':>10} {'hires pass':>10}" + (f" {'inner':>10}" if inner else "")]
    lines += [line(word, [counts[word] for counts in found]) for word in _WORDS]
    for name in ("damped", "stopped_at"):
        lines.append(line(name.split("_")[0], [sum(bool(row[prefix + name]) for row in table) for prefix in passes]))
    count = sum(bool(replaced({REPLACED_KEY: row["replaced"]})) for row in table)
    if count:
        lines.append(line("replaced", [count]))
    for word in OUTCOMES:
        counts = [sum(row[prefix + "outcome"] == word for row in table) for prefix in passes]
        if any(counts):
            lines.append(line(word, counts))
    return "\n".join(lines)


def main(arguments: argparse.Namespace, add: Callable[[list[dict]], str] | None = None, more: Sequence[str] = ()) -> int:
    """Run the command; ValueError or OSError for bad use. `add` may add the columns `more` to the rows, and says something of all of them."""
    if arguments.verify_ledger:
        return _verify(arguments)
    if not arguments.paths or arguments.expect:
        raise ValueError("--expect goes with --verify-ledger" if arguments.expect else "name a picture, a text file or a folder")
    missing = [path for path in arguments.paths if not (path.is_file() or path.is_dir())]
    if missing:
        raise ValueError(f"{plain(missing[0])} is no file and no folder")
    if arguments.out and arguments.out.suffix.lower() not in (".csv", ".jsonl"):
        raise ValueError("--out has to end in .csv or .jsonl")
    if arguments.jobs < 0:
        raise ValueError("--jobs has to be 1 or more")
    items = list(find(arguments.paths))
    table = list(_with_progress(rows(items, arguments.prompts, arguments.jobs), len(items)))
    said = add(table) if add is not None else ""
    if arguments.out:
        write(table, arguments.out, arguments.prompts, more)
    broken = [row for row in table if row["problem"] and (row["verdict"] == UNREADABLE or row["problem"] not in _ORDINARY)]
    for row in broken[:_LISTED]:
        print(f"{plain(row['file'])}: {plain(row['problem'])}", file=sys.stderr)
    if len(broken) > _LISTED:
        print(f"and {len(broken) - _LISTED} more, see the column problem of --out", file=sys.stderr)
    print(summary(table))
    if said:
        print(said)
    failing = set().union(*(FAIL_ON[choice] for choice in arguments.fail_on))
    return int(any(row[prefix + "verdict"] in failing for row in table for prefix in PASSES))


def _verify(arguments: argparse.Namespace) -> int:
    folder = arguments.verify_ledger
    if arguments.paths or arguments.out or arguments.fail_on:
        raise ValueError("--verify-ledger goes with --expect only")
    if not folder.is_dir():
        raise ValueError(f"{plain(folder)} is not a folder")
    if arguments.expect and not _SHA256.fullmatch(arguments.expect):
        raise ValueError("--expect wants the 64 hexadecimal digits that --verify-ledger has printed before")
    found = ledger_check.check(folder, arguments.expect)
    for message in [*found.trouble, *(f"note: {one}" for one in found.notes)]:
        print(plain(message))
    print(found.describe())
    print(f"last hash: {found.last_hash}")
    return int(bool(found.trouble))
