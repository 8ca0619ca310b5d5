"""``scan --generate``: pictures of the worst captions, made by the web UI and kept in the scan's folder, and how like the training pictures they are.

Likeness is to the nearest training picture, which after a training that has collapsed need not be the caption's own. What counts as a copy is what
unrelated pictures of the training set do not reach with each other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..match import describing, opening, threshold
from ..match.describing import Describer
from ..trail import thumbnails
from ..trail.audit import plain
from ..trail.captions.entry import Caption
from . import match_commands, webui_answers
from .progress import Bar
from .webui_client import Client, ClientError

#: Captions that pictures are made for, pictures of one request, and training pictures that they are compared with beside the captions' own.
WORST, CHUNK, COMPARED = 12, 16, 400
FOLDER = "generated"
#: Side of the squares by which a file is seen to be whole.
_GLANCE = 32


class Made:
    """Pictures of captions, and how they were compared.

    Attributes
    ----------
    rows : dict
        By prompt, what is known of each picture: its `seed`, `file`, `thumbnail`, `likeness`, `copy` (None: nobody can tell), and `nearest`, the
        name of the training picture that it is like, where that is not the caption's own.
    how : str
        For people.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict]] = {}
        self.how = "Nothing to compare them with: the captions have no pictures."


def generate(
    arguments: argparse.Namespace, client: Client, chosen: Sequence[Caption], captions: Sequence[Caption], out: Path, networks: str, checkpoint: str
) -> Made:
    """Pictures of the `chosen` captions, those that the folder `out` has from an earlier call among them, held against those of all `captions`.

    Raises
    ------
    ClientError
        The web UI refuses, or has loaded another than the `checkpoint` that was scanned ("" where nothing was).
    """
    if not chosen:
        return Made()
    how = describing.by_sscd(arguments.sscd) if arguments.sscd else match_commands.by_webui(client, describing.FINE)
    made, options = Made(), {name: getattr(arguments, name) for name in ("width", "height")}
    options |= {"networks": networks} if networks else {}
    paths = _paths([one.prompt for one in chosen], options, arguments.generate, out / FOLDER)
    todo = [prompt for prompt, files in paths.items() if not all(_square(path, _GLANCE) is not None for path in files)]
    bar, at_once = Bar("captions generated", len(chosen) - len(todo)), max(CHUNK // arguments.generate, 1)
    try:
        for first in range(0, len(todo), at_once):
            part = todo[first : first + at_once]
            asked = {**options, "captions": part, "count": arguments.generate, "batch_size": min(arguments.batch_size, CHUNK)}
            loaded, rows = webui_answers.pictures(client.follow("pictures", asked), part, arguments.generate)
            if checkpoint and loaded != checkpoint:
                raise ClientError(f"the web UI has loaded {loaded} meanwhile, the scan was of {checkpoint}")
            for prompt, pictures in zip(part, rows):
                for path, data in zip(paths[prompt], pictures):
                    path.write_bytes(data)
            bar(len(chosen) - len(todo) + first + len(part), len(chosen))
    finally:
        bar.close()
    for prompt, files in paths.items():
        shown = thumbnails.thumbnails([str(path) for path in files])
        made.rows[prompt] = [{"seed": seed, "file": f"{FOLDER}/{path.name}", "thumbnail": one} for seed, (path, one) in enumerate(zip(files, shown))]
    _compare(made, paths, chosen, captions, how)
    return made


def _paths(prompts: Sequence[str], options: dict, count: int, folder: Path) -> dict[str, list[Path]]:
    """A file for each picture, of the same name whenever it is asked for in the same way."""
    folder.mkdir(parents=True, exist_ok=True)
    return {prompt: [folder / f"{_key(prompt, options)}-{seed}.jpg" for seed in range(count)] for prompt in prompts}


def _key(prompt: str, options: dict) -> str:
    return hashlib.sha256(json.dumps([prompt, options], sort_keys=True).encode()).hexdigest()[:12]


def _compare(made: Made, paths: dict[str, list[Path]], chosen: Sequence[Caption], captions: Sequence[Caption], how: Describer) -> None:
    """Fill in likenesses, and say by what."""
    others = [one.pictures[0] for one in captions if one.pictures]
    spread = [others[number] for number in np.linspace(0, len(others) - 1, min(COMPARED, len(others))).round().astype(int)]
    own = {one.prompt: one.pictures for one in chosen}
    files = list(dict.fromkeys([path for some in own.values() for path in some] + spread))
    squares = {path: square for path in files if (square := _square(path, how.side)) is not None}
    if not squares:
        return
    known, of = list(squares), [path for some in paths.values() for path in some]
    wanted = [*squares.values(), *(square[:, ::-1] for square in squares.values()), *(opening.square(opening.whole(path), how.side) for path in of)]
    bar = Bar("pictures described")
    try:
        found = _rows(how, wanted, bar)
    finally:
        bar.close()
    rows, mirrored, asked = np.split(found, [len(known), 2 * len(known)])
    limit, why = threshold.calibrate(rows) if len(rows) >= threshold.FEWEST else threshold.of_few(rows, mirrored)
    pictures = [(prompt, row) for prompt in paths for row in made.rows[prompt]]
    for (prompt, row), one in zip(pictures, asked):
        likeness = np.maximum(rows @ one, mirrored @ one)
        best = known[int(likeness.argmax())]
        row["likeness"] = round(float(likeness.max()), 4)
        row["copy"] = None if limit is None else row["likeness"] > limit
        if best not in own[prompt]:
            row["nearest"] = plain(best.name)
    told = f"copies are those above {limit:.2f}, what one in a hundred unrelated pictures reaches" if limit is not None else f"no threshold: {why}"
    made.how = f"Likeness to the nearest of {len(known)} training pictures, by {plain(how.name or how.kind)}; {told}."


def _square(path: Path, side: int) -> np.ndarray | None:
    try:
        return opening.square(opening.whole(path, side), side)
    except (opening.Unreadable, OSError):
        return None


def _rows(how: Describer, squares: list[np.ndarray], bar: Bar) -> np.ndarray:
    found = []
    for first in range(0, len(squares), match_commands.CHUNK):
        found.append(how.rows(np.stack(squares[first : first + match_commands.CHUNK])))
        bar(min(first + match_commands.CHUNK, len(squares)), len(squares))
    return np.concatenate(found)
