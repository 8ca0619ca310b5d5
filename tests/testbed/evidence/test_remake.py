"""What is remade after which change, in which order, and that an interrupted run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from lib_stability.shell.cli import build_parser
from lib_stability.testbed.evidence import remake
from lib_stability.testbed.evidence.remake import STEPS, Stamps, Step, code_of, digest, modules_of, stale

ROOT = Path(__file__).resolve().parents[3]
#: Weights and profiles that are not in the repository.
MADE = ("testbed-small", "testbed-large", "testbed-few")

FIRST = Step("first", 1, "write weights.json profile.json", "room.first", ("weights.json",), ("profile.json",))
SECOND = Step("second", 2, "write profile.json table.md", "room.second", ("profile.json",), ("table.md",))
OTHER = Step("other", 3, "write weights.json other.md", "room.other", ("weights.json",), ("other.md",))
SMALL_STEPS = (FIRST, SECOND, OTHER)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository in small whose commands read one file and write another."""
    files = {
        "__init__.py": "",
        "__main__.py": "import sys, pathlib\n_, verb, one, two = sys.argv\n"
        "assert verb == 'write'\npathlib.Path(two).write_text(pathlib.Path(one).read_text() + '!')\n",
        "version.py": "__version__ = '1'",
        "deep.py": "def number():\n    '''Says it.'''\n    return 1\n",
        "room/__init__.py": "",
        "room/first.py": "def run():\n    from ..deep import number\n    from ..version import __version__\n",
        "room/second.py": "from .first import run  # what it rests on\n",
        "room/other.py": "import json\n",
    }
    for name, text in files.items():
        path = tmp_path / "lib_stability" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "weights.json").write_text("1")
    return tmp_path


def make_all(house: Path) -> list[str]:
    """Make what is to be made; the names of those steps."""
    stamps, names = Stamps(house), []
    for step in stale(SMALL_STEPS, stamps):
        remake.run(step, stamps)
        names.append(step.name)
    return names


def test_what_a_module_rests_on_is_found_also_where_a_call_imports_it(house):
    found = set(modules_of("room.second", house))
    assert found == {f"lib_stability{name}" for name in ("", ".room", ".room.second", ".room.first", ".deep")}


def test_everything_is_made_once_and_in_order(house):
    assert make_all(house) == ["first", "second", "other"]
    assert (house / "table.md").read_text() == "1!!"
    assert make_all(house) == []


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("lib_stability/deep.py", "def number():\n    return 2\n", ["first", "second"]),
        ("lib_stability/deep.py", "# said better\ndef number():\n\n    '''Says more.'''\n    return (1)\n", []),
        ("lib_stability/room/second.py", "from .first import run\nx = 1\n", ["second"]),
        ("lib_stability/version.py", "__version__ = '2'", []),
        ("lib_stability/room/unrelated.py", "x = 1", []),
        ("weights.json", "2", ["first", "second", "other"]),
        ("profile.json", "by hand", ["second"]),
        ("table.md", None, ["second"]),
        ("outputs/evidence/second.json", None, ["second"]),
        ("outputs/evidence/second.json", "{half", ["second"]),
    ],
)
def test_a_change_remakes_what_rests_on_it_and_nothing_else(house, file, text, names):
    make_all(house)
    path = house / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert make_all(house) == names and make_all(house) == []


@pytest.mark.parametrize(
    ("file", "text", "same"),
    [("weights.json", "2", False), ("lib_stability/room/other.py", "import sys\n", False), ("lib_stability/room/first.py", "x = 1\n", True)],
)
def test_what_an_interrupted_step_leaves_is_gone_on_with_only_where_it_rests_on_the_same(house, monkeypatch, file, text, same):
    """Runs of other weights or code were once taken for those of the present ones: they lay in the same folder."""
    monkeypatch.setattr(remake, "STEPS", SMALL_STEPS)
    before = remake.rests_on("other", root=house)
    assert before == remake.rests_on("other", root=house) != remake.rests_on("other", "another profile", root=house)
    (house / file).write_text(text)
    assert (remake.rests_on("other", root=house) == before) is same


def test_another_command_is_another_step(house):
    changed = Step(OTHER.name, OTHER.minutes, "write profile.json other.md", OTHER.module, OTHER.reads, OTHER.makes)
    assert digest(changed, house) != digest(OTHER, house)


def test_a_step_that_fails_is_not_made_and_what_was_before_it_stays(house):
    (house / "lib_stability" / "room" / "first.py").write_text("")
    broken = Step("second", 2, "erase profile.json table.md", "room.second", ("profile.json",), ("table.md",))
    stamps = Stamps(house)
    remake.run(FIRST, stamps)
    with pytest.raises(subprocess.CalledProcessError):
        remake.run(broken, stamps)
    assert stamps.made(FIRST) and list(stale((FIRST, broken), stamps)) == [broken]


def test_what_an_earlier_step_will_make_anew_is_waited_for(house):
    make_all(house)
    (house / "weights.json").write_text("3")
    assert [step.name for step in stale((FIRST, SECOND), Stamps(house))] == ["first", "second"]


def test_a_made_file_is_copied_to_its_place_and_the_time_is_kept(house):
    step = Step("copied", 7, "write weights.json made.md", "room.other", (), ("docs.md",), copies=("made.md", "docs.md"))
    stamps = Stamps(house)
    assert stamps.minutes(step) == 7
    remake.run(step, stamps)
    assert (house / "docs.md").read_text() == "1!" and stamps.made(step)
    stamps.write(step, digest(step, house), 12.5)
    assert stamps.minutes(step) == 12.5 and remake.told(12.5) == "about 12 min" and remake.told(120) == "about 2.0 hours"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('"""a"""\nx = 1', "x = 1", True),
        ('def f():\n    """a"""', "def f():\n    pass", True),
        ("x = (1)  # why", "x = 1", True),
        ("x = 1", "x = 2", False),
        ('x = """a"""', 'x = """b"""', False),
    ],
)
def test_code_is_what_computes(one, other, same):
    assert (code_of(one) == code_of(other)) is same


# -- the real steps ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_each_step_is_a_command_that_there_is(step):
    build_parser().parse_args(step.command.split())
    assert find_spec(f"lib_stability.{step.module}") and "lib_stability.guard.guard" in modules_of(step.module)
    made = {name for other in STEPS[: STEPS.index(step) + 1] for name in other.makes if any(one in name for one in MADE)}
    assert all((ROOT / name).exists() for name in (*step.reads, *step.makes) if name not in made)


def test_everything_under_evaluation_is_made_by_a_step():
    made = {name for step in STEPS for name in step.makes}
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "evaluation").rglob("*") if path.is_file()}
    assert there - made == set() and len({step.name for step in STEPS}) == len(STEPS)


def test_profiles_come_before_what_is_judged_by_them():
    for number, step in enumerate(STEPS):
        assert not {*step.reads} & {name for later in STEPS[number:] for name in later.makes}, step.name


def make(*arguments):
    """As from a shell, whichever make started these tests."""
    plain = {name: value for name, value in os.environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=plain, capture_output=True, text=True, timeout=120, check=True)


def test_the_order_is_shown_without_making_anything(tmp_path):
    """With a Python that sees no installed package and no environment, as after a fresh clone."""
    done = make("-n", "evidence", f"VENV={tmp_path}/none", f"PYTHON={sys.executable} -S")
    ran, *shown, total = done.stdout.splitlines()
    assert ran.endswith("--list") and "steps to make" in total, done.stderr
    assert [line.split()[0] for line in shown] == [step.name for step in STEPS if not step.accelerator]
    assert not list(tmp_path.iterdir())


def test_every_target_is_listed_by_help():
    text = (ROOT / "Makefile").read_text("utf-8")
    (targets,) = (line.split(":")[1].split() for line in text.splitlines() if line.startswith(".PHONY"))
    assert {line.split()[1] for line in make().stdout.splitlines()} == {*targets}


def test_make_says_the_same_below_another_make(monkeypatch):
    """`make test` runs these tests: its flags and its level are no part of what they ask."""
    alone = make().stdout
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.setenv("MAKEFLAGS", "w -j2")
    assert make().stdout == alone
