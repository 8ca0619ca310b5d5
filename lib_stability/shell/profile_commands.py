"""``profiles`` on the command line: list, show, import, export, check, go back, delete."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..guard import sensitivity
from ..profile import checking, older, own_profiles, profiles, storage
from ..profile.displacing import Outlook, outlook

#: First words that are an action, and what has to follow.
ACTIONS = {"import": ("FILE",), "export": ("NAME", "FILE"), "versions": ("NAME",), "back": ("NAME",), "delete": ("NAME",), "check": ("FILE",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "words",
        nargs="*",
        metavar="NAME | import FILE | export NAME FILE | versions NAME | back NAME [NUMBER] | delete NAME | check FILE",
        help="show the profile of this name, or do what is said",
    )
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="further folders with profiles; the last one in place of the web UI's own"
    )
    parser.add_argument("--yes", action="store_true", help="import a profile that displaces others without asking")
    parser.add_argument("--by", default="", metavar="WHO", help="export: who measured it, as others are to know")
    parser.add_argument("--hardware", default="", metavar="TEXT", help="export: on what")
    parser.add_argument("--against", type=Path, metavar="FILE", help="check: another profile of the same checkpoint")
    parser.add_argument("--plot", type=Path, help="write the named profile's region as a PNG")


def main(arguments: argparse.Namespace) -> int:
    """Run one action; returns the exit status."""
    from ..profile.storage import USER_FOLDER

    words = arguments.words
    if words and words[0] in ACTIONS:
        wanted = ACTIONS[words[0]]
        if len(words) != 1 + len(wanted) and not (words[0] == "back" and len(words) == 3):
            raise ValueError(f"{words[0]} wants {' and '.join(wanted)}")
        if words[0] == "check":
            return _check(Path(words[1]), arguments.against)
        if words[0] == "export":
            own_profiles.hand_out(words[1], Path(words[2]), [storage.BUNDLED, *(arguments.folder or [USER_FOLDER])], arguments.by, arguments.hardware)
            print(f"{words[1]} exported to {words[2]}")
            return 0
        return _act(words[0], words[1:], [storage.BUNDLED, *(arguments.folder or [USER_FOLDER])], arguments.yes)
    if len(words) > 1:
        raise ValueError(f"{words[1]!r} is one word too many")
    found, refused = storage.load_all([storage.BUNDLED, USER_FOLDER, *arguments.folder])
    for message in refused:
        print(f"refused: {message}", file=sys.stderr)
    if arguments.plot and not words:
        raise ValueError("--plot wants the NAME of a profile")
    if words:
        return _show(words[0], found, arguments.plot)
    for one in found:
        limit = sensitivity.thresholds(one.watch, "medium")
        print(f"{one.name:24} {one.standing:20} {one.model.family}, {one.model.prediction}: Medium {limit.describe()}")
    return 0


def _act(action: str, words: list[str], folders: list[Path], yes: bool) -> int:
    if action == "import":
        found = _outlook(Path(words[0]), folders)
        for said in found.lines:
            print(said)
        if found.displaced and not yes and not agreed("Import it?"):
            raise ValueError(f"{words[0]} was not imported; --yes imports it all the same")
        name, target = own_profiles.bring(Path(words[0]), folders[-1])
        print(f"{name} imported as {target}")
    elif action == "versions":
        kept = older.versions(words[0], folders[-1])
        if not kept:
            known = any(own_profiles.find(words[0], folder) for folder in folders)
            raise ValueError(f"{words[0]!r} has no older versions" if known else f"no profile is named {words[0]!r}")
        for number, (_, one) in enumerate(kept, start=1):
            print(f"{number:3} {one.evidence}")
    elif action == "back":
        if len(words) == 2 and not words[1].isdecimal():
            raise ValueError(f"{words[1]!r} is not the number of a version")
        profile = own_profiles.back(words[0], folders[-1], int(words[1]) if len(words) == 2 else 1)
        print(f"{words[0]} is an older version again ({profile.evidence}); back {words[0]} undoes that")
    else:
        for path in own_profiles.delete(words[0], folders[-1]):
            print(f"{path} deleted")
    return 0


def _check(path: Path, against: Path | None) -> int:
    """What a maintainer wants to know of a file; 1 where something is wrong with it."""
    found = checking.check(path, against)
    for one in found:
        print(f"{'  ' if one.good is None else 'ok' if one.good else 'NO'}  {one.said}")
    return int(any(one.good is False for one in found))


def _outlook(path: Path, folders: list[Path]) -> Outlook:
    """What an import would change; nothing where the same is there already."""
    profile, present = own_profiles.offered(path), storage.load_all(folders)[0]
    if any(own_profiles.same(profile, one) for one in present):
        return Outlook([], [])
    return outlook(profile, present)


def agreed(question: str) -> bool:
    """Whether whoever sits there says yes; nobody does where there is no terminal."""
    return sys.stdin.isatty() and input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _show(name: str, found: list[profiles.Profile], plot: Path | None) -> int:
    one = next((profile for profile in found if profile.name == " ".join(name.split())), None)
    if one is None:
        raise ValueError(f"no profile is named {name!r}")
    print(f"{one.name}: {one.evidence}, for {one.model.family} with {one.model.prediction} prediction {one.model.checkpoint}".rstrip())
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
