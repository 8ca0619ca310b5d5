"""The house keeps its order: which room may import which, no circles, nothing heavy loaded unasked. And each check is seen to fail."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from rooms import Room, between_modules, between_rooms, breaches, circles, imports, loaded, room_of, silent_folders, sources

import lib_stability

HERE = Path(lib_stability.__file__).resolve().parent

#: What is the host's, or comes with it and is not wanted elsewhere.
_HOST = "modules modules_forge backend gradio fastapi starlette"
#: What the guard and profiles need, and what every other room has from there.
_CORE = "torch numpy"
_TESTBED = f"{_CORE} PIL tqdm safetensors diffusers transformers k_diffusion"

#: Each room's rule, as the folder's docstring has it.
RULES = {
    # Beside the rooms: the public face (its imports are for type checkers, or run when a name is asked for), and what every room may use.
    "": Room("version guard profile"),
    "version": Room(),
    "sentences": Room(),
    "validation": Room("sentences", packages="numpy"),
    "wording": Room(),
    "ranking": Room(packages="numpy"),
    "__main__": Room("shell"),
    # What judges, what it is judged by, and what is left of it.
    "guard": Room("sentences validation", _CORE),
    "profile": Room("guard sentences validation version", _CORE),
    "pictures": Room("guard sentences", f"{_CORE} PIL", late="matplotlib"),
    "trail": Room("guard profile sentences validation version wording", "PIL filelock", late="tqdm pyarrow"),
    "networks": Room(packages="torch safetensors"),
    "match": Room("trail sentences validation", "numpy PIL", late="torch filelock"),
    "trial": Room("guard profile trail match ranking validation version", f"{_CORE} PIL"),
    # Inside a web UI.
    "webui": Room("webui.job webui.page webui.tasks"),
    "webui.host": Room("guard profile trail match sentences validation wording", _CORE, late=_HOST),
    "webui.job": Room("guard profile trail match pictures sentences validation wording webui.host", f"{_CORE} PIL", late=_HOST),
    "webui.tasks": Room("guard profile trail match sentences validation wording webui.host webui.job", f"{_CORE} PIL", late=_HOST),
    "webui.page": Room("guard profile trail match pictures sentences validation wording webui.host webui.job webui.tasks", f"PIL {_HOST}"),
    # On a command line.
    "shell": Room("* -webui -webui.host -webui.job -webui.page -webui.tasks -__main__", f"{_CORE} requests", late="diffusers tqdm"),
    # The model that was made to memorize. Nothing outside but the command line may know it.
    "testbed": Room("guard profile pictures trail validation networks testbed.*", _TESTBED, late="matplotlib"),
    "testbed.world": Room("", f"{_CORE} safetensors tqdm"),
    "testbed.network": Room("guard profile wording testbed.world", _TESTBED, late="clip scipy"),
    "testbed.export": Room("profile testbed.network testbed.world", _TESTBED, late="ldm clip"),
    "testbed.lora": Room("networks testbed.network testbed.world testbed.export", _TESTBED),
    "testbed.rivals": Room("guard profile ranking testbed.network testbed.world", _CORE),
    "testbed.evidence": Room(
        "guard profile pictures ranking match trial networks testbed.world testbed.network testbed.export testbed.lora testbed.rivals",
        _TESTBED,
        late="matplotlib",
    ),
}

#: What a statement must not load.
DRAWING = "PIL matplotlib"
OTHERS = "gradio fastapi diffusers transformers k_diffusion torchvision safetensors scipy requests filelock modules"
UNLOADED = {
    "import lib_stability": f"torch numpy tqdm {DRAWING} {OTHERS}",
    "import lib_stability.webui": f"torch numpy {DRAWING} {OTHERS}",
    "import lib_stability.guard.guard": f"{DRAWING} {OTHERS}",
    "from lib_stability import Guard, choose_profile, load_profiles, Recorder": f"{DRAWING} {OTHERS}",
    "import lib_stability.shell.cli": f"{DRAWING} {OTHERS}",
    "import lib_stability.webui.tasks.api, lib_stability.webui.job.hooks, lib_stability.webui.job.ledgering, lib_stability.webui.page.tab": (
        f"matplotlib concurrent.futures.process {OTHERS.replace('filelock', '')}"
    ),
    "import lib_stability.match.building, lib_stability.match.finding": f"matplotlib {OTHERS}",
    "import lib_stability.trail.audit, lib_stability.pictures.figures": f"matplotlib {OTHERS.replace('filelock', '')}",
}


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return sources(HERE)


def test_every_module_is_walked(ours):
    assert len(ours) > 100
    found = imports(ours)
    assert ("lib_stability.profile.profiles", "lib_stability.guard.region") in between_modules(found)
    assert {room_of(name, RULES) for name in ours} == set(RULES)


def test_no_circle_among_modules(ours):
    assert circles(between_modules(imports(ours))) == []


def test_no_circle_among_rooms(ours):
    assert circles(between_rooms(imports(ours), RULES)) == []


def test_each_room_keeps_its_rule(ours):
    assert breaches(imports(ours), RULES) == []


def test_what_judges_stays_readable(ours):
    lengths = {name: source.count("\n") for name, source in ours.items() if room_of(name, RULES) == "guard"}
    assert len(lengths) > 15 and {name for name, lines in lengths.items() if lines > 300} == set()


def test_each_room_says_what_lives_there(ours):
    assert silent_folders(ours) == []


@pytest.mark.parametrize("statement", UNLOADED)
def test_nothing_heavy_is_loaded_unasked(statement):
    assert loaded(statement, UNLOADED[statement], HERE.parent) == []


# -- the checks themselves ---------------------------------------------------------------------------------------------------------------


def made_up(**more: str) -> dict[str, str]:
    """A small sound house: a room that imports another, a lazy import, a package; `more` adds or replaces modules, dots written as __."""
    house = {
        "house.__init__": '"""A house."""',
        "house.cellar.__init__": '"""What is stored."""',
        "house.cellar.wine": "import numpy as np\n",
        "house.kitchen.__init__": '"""What is cooked."""',
        "house.kitchen.stove": "from ..cellar import wine\nfrom ..cellar.wine import grapes\n\ndef cook():\n    import spices.hot\n",
        "house.kitchen.table": "from . import stove\nimport os.path\n",
    }
    return house | {f"house.{name if name == '__init__' else name.replace('__', '.')}": source for name, source in more.items()}


HOUSE = {"": Room(), "cellar": Room("", "numpy"), "kitchen": Room("cellar", late="spices")}


def test_a_sound_house_passes():
    found = imports(made_up())
    assert between_modules(found, "house") == [
        ("house.kitchen.stove", "house.cellar.wine"),
        ("house.kitchen.table", "house.kitchen.stove"),
    ]
    assert between_rooms(found, HOUSE, "house") == [("kitchen", "cellar")]
    assert circles(between_modules(found, "house")) == circles(between_rooms(found, HOUSE, "house")) == []
    assert breaches(found, HOUSE, "house") == [] and silent_folders(made_up()) == []


@pytest.mark.parametrize(
    ("source", "circle"),
    [
        ("from . import table", ["house.kitchen.stove", "house.kitchen.table"]),
        ("import house.kitchen.table", ["house.kitchen.stove", "house.kitchen.table"]),
        ("def later():\n    from .table import plate", ["house.kitchen.stove", "house.kitchen.table"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .table import Plate", ["house.kitchen.stove", "house.kitchen.table"]),
        ("from ..kitchen import stove", ["house.kitchen.stove"]),
    ],
    ids=["relative", "absolute", "in a function", "for types", "itself"],
)
def test_a_circle_among_modules_is_found(source, circle):
    assert circles(between_modules(imports(made_up(kitchen__stove=source)), "house")) == [circle]


def test_a_longer_circle_is_found_and_what_leads_to_it_is_not_in_it():
    assert circles([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("d", "e"), ("x", "y"), ("y", "x")]) == [["b", "c", "d"], ["x", "y"]]


def test_a_circle_among_rooms_is_found_where_there_is_none_among_modules():
    found = imports(made_up(cellar__lift="from ..kitchen import knives\n", kitchen__knives=""))
    assert circles(between_modules(found, "house")) == []
    assert circles(between_rooms(found, HOUSE, "house")) == [["cellar", "kitchen"]]


def test_a_folder_inside_a_room_belongs_to_it_unless_it_has_a_rule():
    names = ("house.__init__", "house.cellar.__init__", "house.cellar.deep.cask", "house.cellar.deep.__init__", "house.attic.box", "house.door")
    assert [room_of(name, HOUSE) for name in names] == ["", "cellar", "cellar", "cellar", "attic", "door"]
    assert room_of("house.cellar.deep.cask", HOUSE | {"cellar.deep": Room()}) == "cellar.deep"
    lift = imports(made_up(cellar__deep__lift="from ...kitchen import stove\n"))
    assert breaches(lift, HOUSE, "house") == ["house.cellar.deep.lift imports house.kitchen.stove"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cellar__wine": "from ..kitchen import table"}, ["house.cellar.wine imports house.kitchen.table"]),
        ({"cellar__wine": "import house.kitchen.table"}, ["house.cellar.wine imports house.kitchen.table"]),
        ({"cellar__wine": "from ..kitchen import spoon"}, ["house.cellar.wine imports house.kitchen.__init__"]),
        ({"cellar__wine": "import gradio"}, ["house.cellar.wine imports gradio as soon as it is loaded"]),
        ({"cellar__wine": "def pour():\n    from modules.shared import opts"}, ["house.cellar.wine imports modules"]),
        ({"kitchen__stove": "from spices import pepper"}, ["house.kitchen.stove imports spices as soon as it is loaded"]),
        ({"attic__box": "import os"}, []),
        ({"attic__box": "import numpy"}, ["attic: a room without a rule"]),
        ({"__init__": "from .cellar import wine"}, ["house.__init__ imports house.cellar.wine"]),
    ],
)
def test_a_broken_rule_is_named(more, said):
    assert breaches(imports(made_up(**more)), HOUSE, "house") == said


def test_a_rule_may_name_everything_a_folder_and_exceptions():
    found = imports(made_up(kitchen__pot="from ..cellar.deep import cask", cellar__deep__cask=""))
    for rooms, passes in (("cellar cellar.deep", True), ("cellar cellar.*", True), ("*", True), ("cellar", False), ("* -cellar.deep", False)):
        rules = HOUSE | {"kitchen": Room(rooms, late="spices"), "cellar.deep": Room()}
        assert (breaches(found, rules, "house") == []) is passes, rooms


@pytest.mark.parametrize("source", ["", "x = 1", '""" """', None])
def test_a_folder_that_says_nothing_is_found(source):
    house = made_up() | {"house.attic.box": ""} | ({} if source is None else {"house.attic.__init__": source})
    assert silent_folders(house) == ["house.attic"]


def test_what_is_loaded_is_seen():
    assert loaded("import json, numpy", "json numpy torch", HERE.parent) == ["json", "numpy"]


def test_what_is_cloned_is_at_most_25_megabytes():
    """Whoever installs the extension downloads all of it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=HERE.parent, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git repository here")
    assert sum((HERE.parent / name).lstat().st_size for name in listed.stdout.split("\0") if name and (HERE.parent / name).exists()) <= 25_000_000
