"""``profiles`` on the command line: list, show, import, export, delete."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..guard import sensitivity
from ..profile import files, profiles

#: First words that are an action, and what has to follow.
ACTIONS = {"import": ("FILE",), "export": ("NAME", "FILE"), "delete": ("NAME",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="NAME | import FILE | export NAME FILE | delete NAME", help="show the profile of this name, or do what is said"
    )
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="further folders with profiles; the last one in place of the web UI's own"
    )
    parser.add_argument("--plot", type=Path, help="write the named profile's region as a PNG")


def main(arguments: argparse.Namespace) -> int:
    """Run one action; returns the exit status."""
    from ..profile.profiles import USER_FOLDER

    words = arguments.words
    if words and words[0] in ACTIONS:
        wanted = ACTIONS[words[0]]
        if len(words) != 1 + len(wanted):
            raise ValueError(f"{words[0]} wants {' and '.join(wanted)}")
        return _act(words[0], words[1:], [profiles.BUNDLED, *(arguments.folder or [USER_FOLDER])])
    if len(words) > 1:
        raise ValueError(f"{words[1]!r} is one word too many")
    found, refused = profiles.load_all([profiles.BUNDLED, USER_FOLDER, *arguments.folder])
    for message in refused:
        print(f"refused: {message}", file=sys.stderr)
    if words:
        return _show(words[0], found, arguments.plot)
    for one in found:
        limit = sensitivity.thresholds(one.watch, "medium")
        print(f"{one.name:24} {one.kind:10} {one.model.family}, {one.model.prediction}: Medium {limit.describe()}")
    return 0


def _act(action: str, words: list[str], folders: list[Path]) -> int:
    if action == "import":
        name, target = files.bring(Path(words[0]), folders[-1])
        print(f"{name} imported as {target}")
    elif action == "export":
        files.hand_out(words[0], Path(words[1]), folders)
        print(f"{words[0]} exported to {words[1]}")
    else:
        for path in files.delete(words[0], folders[-1]):
            print(f"{path} deleted")
    return 0


def _show(name: str, found: list[profiles.Profile], plot: Path | None) -> int:
    one = next((profile for profile in found if profile.name == " ".join(name.split())), None)
    if one is None:
        print(f"profiles: no profile is named {name!r}", file=sys.stderr)
        return 1
    print(f"{one.name}: {one.kind}, for {one.model.family} with {one.model.prediction} prediction {one.model.checkpoint}".rstrip())
    for key, value in one.provenance.items():
        print(f"  {key}: {value}")
    for label, region in (("watch", one.watch), ("probe", one.probe)):
        if region is None:
            continue
        print(f"  {label}: {len(region.knots_)} knots, guidance {region.guidance_[0]:g} to {region.guidance_[1]:g}")
        for level in ("low", "medium", "high", "paper"):
            print(f"    {level}: {sensitivity.thresholds(region, level).describe()}")
    if plot:
        from ..pictures import figures

        figures.region(plot, one.watch, 7.5, sensitivity.thresholds(one.watch, "medium").mild, title=f"{one.name}, guidance 7.5")
        print(f"plot written to {plot}")
    return 0
