"""``match``: an index of a folder of pictures, made and asked from the shell; and what ``audit --match`` adds to each picture."""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ..match import building, describing, finding, opening, store, timing
from ..match.describing import Describer
from ..trail import audit
from ..trail.audit import plain
from ..validation import Field
from .progress import Bar
from .webui_client import Client, ClientError

#: Pictures of one request to a web UI, and pictures that are looked up at a time.
CHUNK = 16
#: What an audit with an index says of each picture beside its verdict.
COLUMNS = ("match", "likeness", "copy")


def main(arguments: argparse.Namespace) -> int:
    """Run one action."""
    return {"index": _index, "find": _find, "show": _show, "bench": _bench}[arguments.action](arguments)


def describer(arguments: argparse.Namespace) -> Describer:
    """As the options say."""
    if arguments.webui_url:
        return by_webui(Client(arguments.webui_url, arguments.auth))
    if arguments.sscd:
        if not arguments.sscd.is_file():
            raise ValueError(f"{arguments.sscd} is no file")
        return describing.by_sscd(arguments.sscd)
    return describing.by_pixels()


def by_webui(client: Client, grid: int = 0) -> Describer:
    """By the autoencoder that a web UI has loaded; it may not change meanwhile. `grid` in the place of an index's."""
    more = {"grid": grid} if grid else {}  # an older extension does not know it
    pattern = describing.pattern(describing.SIDE)
    name, print = _asked(client, pattern[None], more)[0], _asked(client, pattern[None], more)[1][-1]

    at_once = CHUNK

    def rows(squares: np.ndarray) -> np.ndarray:
        nonlocal at_once  # what was too many once is too many the next time
        found, first = [], 0
        while first < len(squares):
            try:
                _, part = _asked(client, squares[first : first + at_once], more)
            except ConnectionError:
                if at_once == 1:
                    raise
                at_once //= 4  # a busy machine may need longer for many than the client waits
                continue
            if not describing.same(part[-1], print):
                raise ClientError("the web UI has loaded another checkpoint meanwhile; load the first one again and go on")
            found.append(part[:-1])
            first += at_once
        return np.concatenate(found)

    return Describer(describing.VAE, describing.SIDE, rows, name)


def _asked(client: Client, squares: np.ndarray, more: dict) -> tuple[str, np.ndarray]:
    """The name of what describes, and rows of the squares and of what is always the same."""
    answer = client.request("POST", "match/describe", {"pictures": [base64.b64encode(opening.png(one)).decode() for one in squares], **more})
    try:
        root = Field(answer, "answer").object()
        size, data = root["size"].integer(1, store.MOST_NUMBERS), base64.b64decode(root["rows"].text(10**8), validate=True)
        rows = np.frombuffer(data, "<f2").astype(np.float32).reshape(-1, size)
        if len(rows) != len(squares) + 1 or not np.isfinite(rows).all():
            raise ValueError("another number of rows")
        return plain(root["name"].text(200)), describing.unit(rows)
    except ValueError as error:
        raise ClientError(f"the web UI's answer makes no sense: {plain(error)[:200]}") from None


def _index(arguments: argparse.Namespace) -> int:
    how = describer(arguments)
    if how.kind == describing.PLAIN:
        print("match: by pixels alone; --webui-url or --sscd find more", file=sys.stderr)
    bar = Bar("pictures")
    try:
        built = building.build(arguments.out, arguments.folders, how, lambda done, total, note: bar(done, total) if total else None)
    except KeyboardInterrupt:
        print("match: what is done is kept; the same command goes on there", file=sys.stderr)
        raise
    finally:
        bar.close()
    print(f"{plain(built.about.describe())}\n{built.new:,} new or changed, {built.gone:,} gone. Written to {arguments.out}/")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    about = store.read(arguments.index)
    print(plain(about.describe()))
    for top in about.tops:
        print(f"  {plain(top)}")
    for one in store.sources(store.part(arguments.index, about, "files")):
        if one.problem:
            print(f"{plain(one.path)}: {plain(one.problem)}")
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    print(timing.table([timing.measure(arguments.pictures, numbers, arguments.folder) for numbers in arguments.numbers]))
    return 0


def _find(arguments: argparse.Namespace) -> int:
    missing = [path for path in arguments.pictures if not path.exists()]
    if missing:
        raise ValueError(f"{missing[0]} is no file and no folder")
    paths = [item.path for item in audit.find(arguments.pictures) if opening.is_supported(item.path)]
    copies = 0
    for path, near in looked_up(paths, arguments.index, describer(arguments), arguments.count):
        if isinstance(near, str):
            print(f"{plain(path)}: {near}", file=sys.stderr)
            continue
        copies += bool(near) and near[0].copy is True
        print(plain(path))
        for one in near:
            print(f"  {plain(one.source.path)}: {plain(one.describe().partition(', ')[2])}")
    print(f"{copies} of {len(paths)} pictures are copies of one in {arguments.index}")
    return 0


def looked_up(paths: Iterable[str], folder: Path, how: Describer, count: int) -> Iterator[tuple[str, list[finding.Near] | str]]:
    """Each picture with its nearest, or why it cannot be read."""
    waiting = iter(paths)
    with finding.opened(folder, how) as index:
        while part := list(islice(waiting, CHUNK)):
            squares = [_square(path, how.side) for path in part]
            found = iter(finding.near(index, how, [one for one in squares if not isinstance(one, str)], count))
            for path, one in zip(part, squares):
                yield path, one if isinstance(one, str) else next(found)


def _square(path: str, side: int) -> np.ndarray | str:
    try:
        return opening.square(opening.whole(path, side), side)
    except (opening.Unreadable, OSError) as error:
        return str(error)


# -- audit -------------------------------------------------------------------------------------------------------------------------------


def matching(arguments: argparse.Namespace) -> Callable[[Sequence[dict]], str] | None:
    """What adds :data:`COLUMNS` to the rows of an audit and says how many are copies; None where no index is named."""
    if arguments.match is None:
        if arguments.webui_url or arguments.sscd or arguments.auth:
            raise ValueError("--webui-url, --sscd and --auth go with --match")
        return None
    how = describer(arguments)
    finding.opened(arguments.match, how).close()  # before anything else takes its time

    def add(rows: Sequence[dict]) -> str:
        by_path = {row["file"]: row for row in rows if opening.is_supported(row["file"])}
        bar, copies, without = Bar("pictures looked up"), 0, 0
        try:
            for number, (path, near) in enumerate(looked_up(by_path, arguments.match, how, 1), start=1):
                if near and not isinstance(near, str):
                    by_path[path] |= {"match": near[0].file, "likeness": near[0].likeness, "copy": near[0].copy}
                    copies += near[0].copy is True
                    without += near[0].copy is True and by_path[path]["verdict"] == "no verdict"
                bar(number, len(by_path))
        finally:
            bar.close()
        unread = sum(row.get("match") is None for row in by_path.values())
        told = [f"copies       {copies:10} of {len(by_path)} pictures looked up, {without} of them without a verdict"]
        return "\n".join([*told, *([f"not compared {unread:10}"] if unread else [])])

    return add
