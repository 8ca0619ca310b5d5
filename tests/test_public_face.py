"""The public face: loaded when asked for, the same objects as in their rooms, documented to the last parameter, with examples that run."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import lib_stability

FACE = ("Guard", "Options", "Damping", "Probe", "StabilityRegion", "Profile", "Recorder", "choose_profile", "load_profiles")


def test_the_face_is_complete_and_nothing_else():
    assert {*lib_stability.__all__} == {*FACE, "__version__"}
    assert {*FACE} <= {*dir(lib_stability)}
    everything: dict = {}
    exec("from lib_stability import *", everything)
    assert {*FACE} <= {*everything}


@pytest.mark.parametrize("name", FACE)
def test_a_public_name_is_the_rooms_own(name):
    module, inner = lib_stability._PLACES[name]
    assert getattr(lib_stability, name) is getattr(import_module(f"lib_stability.{module}"), inner)


def test_type_checkers_see_what_is_loaded():
    tree = ast.parse(Path(lib_stability.__file__).read_text("utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname or alias.name: (node.module, alias.name) for node in typed.body for alias in node.names}
    assert seen == lib_stability._PLACES


def test_an_unknown_name_is_refused_in_pythons_words():
    with pytest.raises(AttributeError, match="module 'lib_stability' has no attribute 'Gaurd'"):
        _ = lib_stability.Gaurd
    with pytest.raises(ImportError, match="cannot import name 'Gaurd'"):
        from lib_stability import Gaurd  # noqa: F401


# -- documentation -----------------------------------------------------------------------------------------------------------------------


def tried(text: str, name: str) -> tuple[int, str]:
    """How many examples a docstring holds, and what they said that they should not have; each docstring starts from nothing."""
    said: list[str] = []
    found = doctest.DocTestParser().get_doctest(text, {}, name, None, None)
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found, out=said.append)
    return len(found.examples), "".join(said)


def unexplained(one: object) -> list[str]:
    """Parameters that a docstring does not name, and public members without a docstring of their own."""
    text = inspect.getdoc(one) or ""
    listed = {name.strip() for line in re.findall(r"^([\w, ]+?) :|^(\w+)$", text, re.MULTILINE) for part in line for name in part.split(",")}
    lacking = [name for name in inspect.signature(one).parameters if name not in listed]
    if inspect.isclass(one):
        members = [(name, member) for name, member in vars(one).items() if not name.startswith("_")]
        lacking += [name for name, member in members if (callable(member) or hasattr(member, "__get__")) and not inspect.getdoc(member)]
    return lacking


@pytest.mark.parametrize("name", FACE)
def test_the_examples_run(name):
    count, said = tried(getattr(lib_stability, name).__doc__ or "", name)
    assert count > 0, f"{name} shows no example"
    assert not said, said


@pytest.mark.parametrize("name", FACE)
def test_every_parameter_and_member_is_explained(name):
    assert unexplained(getattr(lib_stability, name)) == []


def test_a_wrong_example_and_a_missing_one_are_seen():
    assert tried(">>> 1 + 1\n2\n", "right") == (1, "")
    count, said = tried(">>> 1 + 1\n3\n", "wrong")
    assert count == 1 and "Expected:\n    3\nGot:\n    2" in said
    assert "NameError" in tried(">>> torch.ones(1)\n", "without its import")[1]
    assert tried("Says nothing by example.", "none") == (0, "")


def test_what_is_not_explained_is_seen():
    class Half:
        """Half of it.

        Parameters
        ----------
        left, middle : int
            `right` is not listed.
        """

        def __init__(self, left: int, middle: int, right: int) -> None: ...

        def said(self) -> None:
            """It is."""

        def unsaid(self) -> None: ...

    assert unexplained(Half) == ["right", "unsaid"]
