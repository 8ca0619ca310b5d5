"""The documents: links and paths that lead somewhere, commands that the parser takes, examples that run, tables that are those of the evidence."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lib_stability.profile.profiles import Profile
from lib_stability.shell import bench, cli
from lib_stability.testbed.evidence import pasting

ROOT = Path(__file__).parents[1]
_NAMED = (
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "tests/host/README.md",
    "regions/README.md",
    "lib_stability/testbed/weights/README.md",
)
DOCUMENTS = sorted([*(ROOT / name for name in _NAMED), *ROOT.glob("docs/*.md")])
#: Whose prose is wrapped; the changelog's first entries and the two cards are older than the rule.
WRAPPED = [path for path in DOCUMENTS if path.parent in (ROOT, ROOT / "docs") and path.name != "CHANGELOG.md"]
LONGEST_README, LONGEST_LINE = 180, 100

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
#: Starts of a path in this repository, as a document writes it.
_PLACES = re.compile(r"(?:lib_stability|tests|docs|regions|scripts|javascript)/[\w./-]*|[\w-]+\.(?:py|toml|css)")

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(text: str) -> str:
    """A document without its code blocks."""
    return _FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """Inline code, on one line each."""
    return [" ".join(one.split()) for one in _SPAN.findall(prose(text))]


# -- links -------------------------------------------------------------------------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    found: list[str] = []
    for heading in _HEADING.findall(prose(text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", one) is not None for one in found)
        found.append(f"{name}-{number}" if number else name)
    return set(found)


def broken_links(path: Path, text: str) -> list[str]:
    """Links of a document to files and headings of this repository that are not there."""
    broken = []
    for link in _LINK.findall(prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and anchor not in anchors(text if target == path else target.read_text("utf-8"))):
            broken.append(link)
    return broken


@every_document
def test_links_lead_somewhere(path):
    assert broken_links(path, path.read_text("utf-8")) == []


def test_a_link_that_leads_nowhere_is_found():
    text = "# A `b`, c\n## A b c\n[1](#a-b-c) [2](#a-b-c-1) [3](#d) [4](docs/none.md) [5](LICENSE)\n[6](docs/guide.md#none) ![7](docs/montage.png)"
    assert broken_links(ROOT / "README.md", text) == ["#d", "docs/none.md", "docs/guide.md#none"]
    assert broken_links(ROOT / "README.md", "[1](../outside.md) [2](https://example.org/none)") == ["../outside.md"]


def test_every_document_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        links = [path.parent / link.partition("#")[0] for link in _LINK.findall(prose(path.read_text("utf-8")))]
        waiting += {link.resolve() for link in links if link.suffix == ".md"} - reached
    assert {*DOCUMENTS} <= reached


@every_document
def test_paths_in_code_exist(path):
    named = [one for one in spans(path.read_text("utf-8")) if _PLACES.fullmatch(one)]
    missing = [one for one in named if not ((ROOT / one).exists() or (path.parent / one).exists() or list(ROOT.glob(f"lib_stability/**/{one}")))]
    assert missing == []


# -- lines -------------------------------------------------------------------------------------------------------------------------------


def long_lines(text: str) -> list[str]:
    """Lines of prose that are too long; tables, code, and lines that are one link are none."""
    lines = [line for line in prose(text).splitlines() if not line.startswith(("|", "    "))]
    return [line for line in lines if len(line) > LONGEST_LINE and not _LINK.fullmatch(line.strip(" *-"))]


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: path.name)
def test_prose_is_wrapped(path):
    assert long_lines(path.read_text("utf-8")) == []


def test_a_long_line_is_found():
    text = "a" * 101
    assert long_lines(f"{text}\n|{text}|\n```\n{text}\n```\n[{text}](b)\n") == [text]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= LONGEST_README


# -- commands ----------------------------------------------------------------------------------------------------------------------------


def commands(text: str) -> Iterator[str]:
    """Arguments of every quoted ``python -m lib_stability``, and of inline code that begins with one of its commands and goes on."""
    ours = re.compile(r"python -m lib_stability(?![\w.])(.*)")
    blocks = [line for _, block in _FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    names = _actions(cli.build_parser())
    inline = spans(text)
    yield from (found[1].strip() for found in map(ours.search, [*blocks, *inline]) if found)
    yield from (one for one in inline if one.split()[0] in names and " " in one)


def _actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next((one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)), {})


def _relaxed(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The same parser, content with less than a command needs to run: a document may name a command alone."""
    for action in parser._actions:
        action.required = False
        if not action.option_strings and action.nargs is None:
            action.nargs = "?"
    for inner in _actions(parser).values():
        _relaxed(inner)
    return parser


def complaint(capsys: pytest.CaptureFixture, command: str) -> str:
    """What the real parser says against a command; nothing where it takes it."""
    try:
        _relaxed(cli.build_parser()).parse_args(shlex.split(command, comments=True))
    except SystemExit as stop:
        said = capsys.readouterr()
        return said.err if stop.code else ""
    return ""


@every_document
def test_commands_are_taken_by_the_parser(capsys, path):
    said = {command: complaint(capsys, command) for command in commands(path.read_text("utf-8"))}
    assert {command: one for command, one in said.items() if one} == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\n.venv/bin/python -m lib_stability scan --webui-uri http://127.0.0.1:7860 captions.txt\n```", "--webui-uri"),
        ("`python -m lib_stability evaluate\n--onyl damping`", "--onyl"),
        ("`python -m lib_stability measure`", "measure"),
        ("run `testbed export --sdxl models` first", "--sdxl"),
        ("```\npython -m lib_stability compare --variant huge \\\n  --out here\n```", "huge"),
        ("```\npython -m lib_stability calibrate --runs 5\n```", "5"),
    ],
)
def test_a_command_that_the_parser_refuses_is_found(capsys, text, said):
    (command,) = commands(text)
    assert said in complaint(capsys, command)


def test_a_command_that_is_only_named_is_no_fault(capsys):
    for command in ("scan", "testbed", "audit outputs/ --fail-on strong  # a comment", "profiles --help"):
        assert complaint(capsys, command) == ""


def test_the_documents_name_every_command():
    named = {command.split()[0] for path in DOCUMENTS for command in commands(path.read_text("utf-8")) if command}
    assert {*_actions(cli.build_parser())} <= named


@every_document
def test_make_knows_its_targets(path):
    text = path.read_text("utf-8")
    quoted = [*spans(text), *(line for _, block in _FENCE.findall(text) for line in block.splitlines())]
    wanted = {found[1] for found in (re.match(r"make (?:-\w+ )*([a-z][\w-]*)", one) for one in quoted) if found}
    known = " ".join(line.split(":")[0] for line in (ROOT / "Makefile").read_text("utf-8").splitlines() if re.match(r"[a-z][\w -]*:", line))
    assert wanted - {*known.split()} == set()


# -- examples ----------------------------------------------------------------------------------------------------------------------------


def examples() -> list[tuple[str, str]]:
    return [(path.name, code) for path in DOCUMENTS for language, code in _FENCE.findall(path.read_text("utf-8")) if language == "python"]


def test_imports_of_examples_are_the_public_face():
    """Whatever a document takes from the package itself is there; checked by name, so that the example below need not say which failed."""
    names = {
        alias.name
        for _, code in examples()
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module == "lib_stability"
        for alias in node.names
    }
    import lib_stability

    assert names and {name for name in names if not hasattr(lib_stability, name)} == set()


@pytest.mark.parametrize("code", [code for _, code in examples()], ids=[name for name, _ in examples()])
def test_examples_run(capsys, code, profile: Profile):
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 5.0
    given = {"profile": profile, "x": x, "denoised": torch.randn_like(x), "sigma": torch.full((2,), 5.0), "guidance_scale": 7.5}
    exec(code, {**given, "predict": lambda x, sigma: (x / (1 + sigma**2), x / (1 + sigma**2))})
    shown = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in ("stable", "mild", "strong") for line in shown)


# -- evidence ----------------------------------------------------------------------------------------------------------------------------


def rows(text: str) -> list[tuple[str, ...]]:
    """Rows of all tables, by their cells."""
    lines = [line.strip().strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line) for line in lines if not set("".join(line)) <= set(" -:")]


@pytest.mark.parametrize("name", pasting.DOCUMENTS)
def test_the_tables_are_those_of_the_evidence(name):
    text = (ROOT / name).read_text("utf-8")
    assert pasting.pasted(text, (ROOT / name).parent) == text, "python -m lib_stability.testbed.evidence.pasting renews them"


def test_the_evidence_shows_what_was_evaluated():
    shown = rows((ROOT / "docs/evidence.md").read_text("utf-8"))
    made = rows((ROOT / "docs/evaluation/tables.md").read_text("utf-8"))
    assert len(made) > 30 and [row for row in made if row not in shown] == []


def test_the_cost_is_that_of_the_evidence():
    assert bench.table(json.loads((ROOT / "docs/evaluation/bench.json").read_text("utf-8"))) in (ROOT / "docs/evidence.md").read_text("utf-8")


def test_the_entry_for_the_extension_index():
    entry = json.loads((ROOT / "docs/extension-index.json").read_text("utf-8"))
    assert {*entry} == {"name", "url", "description", "tags"}
    assert entry["name"] == "Memorization Guard" and re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+\.git", entry["url"])
    assert 20 < len(entry["description"]) < 300 and entry["tags"] and all(isinstance(tag, str) and tag for tag in entry["tags"])
