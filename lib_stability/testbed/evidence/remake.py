"""``make evidence``: remake every table and figure in the right order, but those whose code, weights and profiles are as they were.

Each step is a command of ``python -m lib_stability``. What it rests on is found, not listed: the modules that its own imports, directly or not, by
their code alone (comments and docstrings change no number), and the files that it reads. A digest of these, and the time that the step took, are kept
under ``outputs/evidence/``; a step whose digest is the same and whose results are there is skipped, so an interrupted run goes on with the step that
it was in. Pictures of web UIs (``docs/a1111.png``, ``docs/tab.png``, ``docs/audit.png``) are taken by hand.

Imports the standard library alone, so that the order can be shown before anything is installed.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from modulefinder import ModuleFinder
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
STAMPS = Path("outputs/evidence")
_WEIGHTS = "lib_stability/testbed/weights"
_DOCS = "docs/evaluation"
_TESTBED = (f"{_WEIGHTS}/testbed.safetensors", f"{_WEIGHTS}/attributes.safetensors")
_MAIN = (*_TESTBED, "regions/testbed.json")
_SMALL = (*_MAIN, f"{_WEIGHTS}/testbed-small.safetensors", f"{_WEIGHTS}/testbed-small-profile.json")
_FLOW = (*_TESTBED, *(f"{_WEIGHTS}/testbed-flow{end}" for end in (".safetensors", "-profile.json")))
_DISTILLED = (*_TESTBED, *(f"{_WEIGHTS}/testbed-distilled{end}" for end in (".safetensors", "-profile.json")))
_FEW = (*_TESTBED, *(f"{_WEIGHTS}/testbed-few{end}" for end in (".safetensors", "-profile.json")))
_FLOWS = {"flow": _FLOW, "distilled": _DISTILLED, "few": _FEW}
_LARGE = (*_MAIN, f"{_WEIGHTS}/testbed-large.safetensors", f"{_WEIGHTS}/testbed-large-profile.json")


@dataclass(frozen=True)
class Step:
    """One command and what it makes.

    Parameters
    ----------
    name : str
    minutes : float
        Rough time on two cores; what it took the last time is kept beside the digest.
    command : str
        Arguments of ``python -m lib_stability``.
    module : str
        Where its work is done, under ``lib_stability``; what this imports counts, too.
    reads : tuple of str
        Weights and profiles, from the repository's root.
    makes : tuple of str
        Files that are there afterwards.
    copies : tuple of str, optional
        A file made elsewhere, and where it goes.
    accelerator : bool
        Whether it needs one; such steps are left out unless asked for.
    """

    name: str
    minutes: float
    command: str
    module: str
    reads: tuple[str, ...]
    makes: tuple[str, ...]
    copies: tuple[str, str] | None = None
    accelerator: bool = False


def _in(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


#: The runs that the detection is judged on, which are kept between its steps.
TAPES = (
    Step("tapes", 0, "", "testbed.evidence.tapes", _TESTBED, ()),
    *(Step(f"tapes-{name}", 0, "", "testbed.evidence.tapes", reads[:3], ()) for name, reads in _FLOWS.items()),
)
#: In this order: profiles first, which all others are judged by.
STEPS = (
    Step("profile", 10, "testbed calibrate --runs 1600", "testbed.evidence.calibrate", _TESTBED, ("regions/testbed.json",)),
    *(
        Step(
            f"train-{name}",
            minutes,
            f"testbed train --variant {name} --folder outputs/testbed-{name} --install",
            "testbed.network.train",
            _TESTBED,
            _in(_WEIGHTS, f"testbed-{name}.safetensors"),
        )
        for name, minutes in (("small", 20), ("large", 60))
    ),
    Step(
        "train-few",
        35,
        "testbed train --variant few --minutes 35 --folder outputs/testbed-few --install",
        "testbed.network.train_flow",
        _DISTILLED[:3],
        _in(_WEIGHTS, "testbed-few.safetensors"),
    ),
    Step(
        "profile-small",
        3,
        "testbed calibrate --variant small --runs 400",
        "testbed.evidence.calibrate",
        (*_TESTBED, f"{_WEIGHTS}/testbed-small.safetensors"),
        _in(_WEIGHTS, "testbed-small-profile.json"),
    ),
    Step(
        "profile-large",
        5,
        "testbed calibrate --variant large --runs 400",
        "testbed.evidence.calibrate",
        (*_TESTBED, f"{_WEIGHTS}/testbed-large.safetensors"),
        _in(_WEIGHTS, "testbed-large-profile.json"),
    ),
    Step(
        "profile-forge",
        20,
        "testbed calibrate --forge --runs 800",
        "testbed.export.forge",
        (*_TESTBED, f"{_WEIGHTS}/forge.safetensors"),
        ("regions/testbed-forge.json",),
    ),
    *(
        Step(
            f"profile-{name}",
            minutes,
            f"testbed calibrate --variant {name} --runs 400",
            "testbed.evidence.calibrate",
            reads[:3],
            reads[3:],
        )
        for name, minutes, reads in (("flow", 5, _FLOW), ("distilled", 4, _DISTILLED), ("few", 2, _FEW))
    ),
    Step("scatter", 15, f"testbed scatter --out {_DOCS}", "testbed.evidence.scatter", _MAIN, _in(_DOCS, "scatter.json", "scatter.md")),
    Step("late", 8, f"testbed late --out {_DOCS}", "testbed.evidence.late", _MAIN, _in(_DOCS, "late.json", "late.md")),
    Step("study", 10, f"testbed study --out {_DOCS}/study.json", "testbed.evidence.study", _TESTBED, _in(_DOCS, "study.json")),
    Step(
        "detection",
        45,
        f"evaluate --only detection --out {_DOCS} --kept {STAMPS}/evaluate",
        "testbed.evidence.evaluate",
        _MAIN,
        _in(_DOCS, "evaluate.json", "tables.md", "trajectories.png"),
    ),
    Step(
        "damping",
        45,
        f"evaluate --only damping --out {_DOCS} --kept {STAMPS}/evaluate",
        "testbed.evidence.evaluate",
        _MAIN,
        _in(_DOCS, "evaluate.json", "tables.md", "damping.png"),
    ),
    *(
        Step(
            name,
            minutes,
            f"evaluate --variant {name} --out {_DOCS}/{name} --kept {STAMPS}/{name}",
            "testbed.evidence.evaluate_flow",
            reads,
            _in(f"{_DOCS}/{name}", "evaluate.json", "tables.md", "report.md", "trajectories.png", "damping.png"),
        )
        for name, minutes, reads in (("flow", 20, _FLOW), ("distilled", 15, _DISTILLED), ("few", 5, _FEW))
    ),
    Step(
        "scores",
        3,
        f"testbed scores --out {_DOCS} --kept {STAMPS}/evaluate",
        "testbed.evidence.scores",
        _MAIN,
        _in(_DOCS, "scores.json", "scores.md"),
    ),
    Step(
        "compare-detection",
        10,
        f"compare --only detection --out {_DOCS}",
        "testbed.evidence.compare",
        _MAIN,
        _in(_DOCS, "compare.json", "compare.md"),
    ),
    Step(
        "compare-mitigation",
        60,
        f"compare --only mitigation --out {_DOCS}",
        "testbed.evidence.compare",
        _MAIN,
        _in(_DOCS, "compare.json", "compare.md", "mitigation.png"),
    ),
    Step(
        "compare-small",
        15,
        f"compare --variant small --out {_DOCS}/small",
        "testbed.evidence.compare",
        _SMALL,
        _in(f"{_DOCS}/small", "compare.json", "compare.md", "mitigation.png"),
    ),
    Step(
        "compare-large",
        40,
        f"compare --variant large --out {_DOCS}/large",
        "testbed.evidence.compare",
        _LARGE,
        _in(f"{_DOCS}/large", "compare.json", "compare.md", "mitigation.png"),
    ),
    Step("scale", 50, f"testbed scale --out {_DOCS}", "testbed.evidence.scale", (*_SMALL, *_LARGE), _in(_DOCS, "scale.json", "scale.md")),
    Step("locate", 30, f"testbed locate --out {_DOCS}", "testbed.evidence.locate", _MAIN, _in(_DOCS, "locality.json", "locality.md")),
    Step("agreement", 8, f"testbed agreement --out {_DOCS}", "testbed.evidence.agreement", _MAIN, _in(_DOCS, "agreement.json", "agreement.md")),
    Step("match", 8, f"testbed match --out {_DOCS}", "testbed.evidence.matching", _MAIN, _in(_DOCS, "match.json", "match.md")),
    Step(
        "lora",
        40,
        f"testbed lora evaluate --out {_DOCS}/lora",
        "testbed.evidence.lora_detection",
        (
            *_MAIN,
            *_in(f"{_WEIGHTS}/lora", *(f"{name}.safetensors" for name in ("mine-000100", "mine-000200", "mine-000300", "mine", "between", "style"))),
        ),
        _in(f"{_DOCS}/lora", "lora.json", "lora.md"),
    ),
    Step("maps", 2, "testbed locate --figure docs/locality.png", "testbed.evidence.locate_figure", _MAIN, ("docs/locality.png",)),
    Step(
        "montage",
        2,
        f"demo --out {STAMPS}/demo",
        "testbed.demo",
        _MAIN,
        ("docs/montage.png",),
        (f"{STAMPS}/demo/montage.png", "docs/montage.png"),
    ),
    Step("bench-flagged", 10, f"bench --flagged --out {_DOCS}/bench-flagged.json", "shell.bench_flagged", (), _in(_DOCS, "bench-flagged.json")),
    Step("bench", 2, f"bench --out {_DOCS}/bench.json", "shell.bench", (), _in(_DOCS, "bench.json")),
    Step(
        "bench-accelerator",
        2,
        f"bench --device cuda --out {_DOCS}/bench-h200.json",
        "shell.bench",
        (),
        _in(_DOCS, "bench-h200.json"),
        accelerator=True,
    ),
    Step(
        "bench-unet",
        5,
        f"bench --device cuda --unet --out {_DOCS}/bench-unet-h200.json",
        "shell.bench_unet",
        (),
        _in(_DOCS, "bench-unet-h200.json"),
        accelerator=True,
    ),
)


# -- what a step rests on ----------------------------------------------------------------------------------------------------------------


def modules_of(module: str, root: Path = ROOT, package: str = "lib_stability") -> dict[str, Path]:
    """A module of the package and all of it that this imports, directly or not, when loaded or when called: file by dotted name."""
    finder = ModuleFinder(path=[str(root)])
    finder.import_hook(f"{package}.{module}", fromlist=["*"])
    ours = {name: Path(found.__file__) for name, found in finder.modules.items() if found.__file__ and name.split(".")[0] == package}
    # Written into profiles, but no number depends on it.
    return {name: path for name, path in sorted(ours.items()) if name != f"{package}.version"}


def code_of(source: str) -> str:
    """A module's code without comments, layout and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node, False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def digest(step: Step, root: Path = ROOT) -> str:
    """SHA-256 of all that a step rests on: its command, the code behind it, the files that it reads."""
    known = hashlib.sha256(step.command.encode())
    for name, path in modules_of(step.module, root).items():
        known.update(f"\0{name}\0{code_of(path.read_text('utf-8'))}".encode())
    for name in dict.fromkeys(step.reads):
        path = root / name
        known.update(f"\0{name}\0{hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ''}".encode())
    return known.hexdigest()


def rests_on(name: str, *more: object, root: Path = ROOT) -> str:
    """A name for what a step's results rest on and `more` than that, for files that an interrupted one leaves: the same while none of it changes."""
    step = next(one for one in (*TAPES, *STEPS) if one.name == name)
    return hashlib.sha256(f"{digest(replace(step, command=''), root)}\0{more!r}".encode()).hexdigest()[:16]


class Stamps:
    """What is known of earlier runs: by step its digest and minutes."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    def _path(self, step: Step) -> Path:
        return self.root / STAMPS / f"{step.name}.json"

    def _read(self, step: Step) -> dict:
        try:
            return json.loads(self._path(step).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def minutes(self, step: Step) -> float:
        """What the step took here the last time; the rough time where it never ran."""
        return self._read(step).get("minutes") or step.minutes

    def made(self, step: Step) -> bool:
        """Whether the results are there and what they rest on is as it was."""
        return all((self.root / name).exists() for name in step.makes) and self._read(step).get("digest") == digest(step, self.root)

    def write(self, step: Step, found: str, minutes: float | None) -> None:
        """Note that the step was made from what `found` is the digest of."""
        self._path(step).parent.mkdir(parents=True, exist_ok=True)
        self._path(step).write_text(json.dumps({"digest": found, "minutes": minutes}) + "\n", "utf-8")


def stale(steps: Sequence[Step], stamps: Stamps) -> Iterator[Step]:
    """The steps to make: those not made, and those that read what one before them will make anew."""
    anew: set[str] = set()
    for step in steps:
        if anew.intersection(step.reads) or not stamps.made(step):
            anew.update(step.makes)
            yield step


# -- running -----------------------------------------------------------------------------------------------------------------------------


def run(step: Step, stamps: Stamps, jobs: int = 1) -> None:
    """Run a step's command and note that it is made; raises CalledProcessError where it fails."""
    found, began = digest(step, stamps.root), time.monotonic()
    more = ["--jobs", str(jobs)] if jobs > 1 and step.command.startswith("evaluate ") else []
    subprocess.run([sys.executable, "-m", "lib_stability", *step.command.split(), *more], cwd=stamps.root, check=True)
    if step.copies:
        shutil.copyfile(*(stamps.root / name for name in step.copies))
    stamps.write(step, found, round((time.monotonic() - began) / 60, 1))


def told(minutes: float) -> str:
    """For people."""
    return f"about {minutes / 60:.1f} hours" if minutes >= 90 else f"about {max(minutes, 1):.0f} min"


def main(argv: Sequence[str] | None = None) -> int:
    """Show or run what is to be made; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make evidence", description="Remake tables and figures; hours in all, resumable.")
    parser.add_argument("--list", action="store_true", help="run nothing, show the order and what would be made")
    parser.add_argument("--adopt", action="store_true", help="run nothing, take the files that are there for made from what is there now")
    parser.add_argument("--accelerator", action="store_true", help="also the steps that need an accelerator")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, for the steps that can share their work")
    arguments = parser.parse_args(argv)
    steps, stamps = [step for step in STEPS if arguments.accelerator or not step.accelerator], Stamps()
    if arguments.adopt:
        for step in steps:
            stamps.write(step, digest(step), None)
        return 0
    todo = list(stale(steps, stamps))
    for step in steps:
        state = told(stamps.minutes(step)) if step in todo else "made"
        print(f"{step.name:18} {state:>14}  python -m lib_stability {step.command}")
    total = sum(map(stamps.minutes, todo))
    print(f"{len(todo)} of {len(steps)} steps to make, {told(total)} on two cores; interrupt it at will, the next run goes on.", flush=True)
    if arguments.list:
        return 0
    for number, step in enumerate(todo, 1):
        print(f"\n== {number} of {len(todo)}: {step.name}, {told(stamps.minutes(step))}", flush=True)
        try:
            run(step, stamps, arguments.jobs)
        except subprocess.CalledProcessError as error:
            print(f"{step.name} failed with status {error.returncode}; what was made before it stays made", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
