"""Who imports what: the imports of every module, read from its source, and what they break of the rooms' rules. Nothing is imported to find out."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

PACKAGE = "lib_stability"


class Import(NamedTuple):
    """One import: by which module, of what (a module of ours, or the first part of another package's name), and whether it waits for a call."""

    by: str
    of: str
    late: bool


class Room(NamedTuple):
    """What the modules of a folder may import: rooms of ours, other packages, and packages only once something is called. "*" is everything."""

    rooms: str = ""
    packages: str = ""
    late: str = ""


def sources(root: Path) -> dict[str, str]:
    """The source of every module below a package's folder, by dotted name; that of a folder ends in ``.__init__``."""
    return {".".join([root.name, *path.relative_to(root).with_suffix("").parts]): path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}


def room_of(module: str, rooms: Iterable[str]) -> str:
    """The deepest of the rooms (named without the package) that a module lies in; its folder, or itself beside the folders, where none is.

    So the folders inside a room belong to it unless they are rooms themselves.
    """
    _, _, name = module.removesuffix(".__init__").partition(".")
    parts = name.split(".")
    around = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    found = next((one for one in around if one in rooms), None)
    return around[-1] if found is None else found


def imports(modules: Mapping[str, str]) -> list[Import]:
    """All imports of all modules, also those that only a type checker or a call would run. The standard library's are left out."""
    found = []
    for name, source in modules.items():
        tree = ast.parse(source)
        late = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for inner in ast.walk(node)}
        for node in ast.walk(tree):
            found += [Import(name, of, id(node) in late) for of in _targets(name, node, modules)]
    return [one for one in dict.fromkeys(found) if one.of not in sys.stdlib_module_names]


def _targets(name: str, node: ast.AST, modules: Mapping[str, str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [_module(alias.name, modules) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    # A module's own name with as many parts less as there are dots; a folder's already ends in ``.__init__``.
    base = name.split(".")[: -node.level] if node.level else []
    start = ".".join([*base, *([node.module] if node.module else [])])
    return [_module(f"{start}.{alias.name}", modules, start) for alias in node.names]


def _module(name: str, modules: Mapping[str, str], else_name: str = "") -> str:
    """The module of ours that a dotted name means, or what holds it; of other packages the first part."""
    for one in filter(None, (name, else_name)):
        known = next((module for module in (one, f"{one}.__init__") if module in modules), None)
        if known:
            return known
    return name.split(".")[0]


def circles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of names that reach each other, in the order of the alphabet."""
    after: dict[str, set[str]] = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = after.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    reach = {name: reached(name) for name in after}
    return [list(group) for group in sorted({tuple(sorted(x for x in after if x in reach[name] and name in reach[x])) for name in after} - {()})]


def between_modules(found: Iterable[Import], package: str = PACKAGE) -> list[tuple[str, str]]:
    return [(one.by, one.of) for one in found if _ours(one.of, package)]


def between_rooms(found: Iterable[Import], rooms: Iterable[str], package: str = PACKAGE) -> list[tuple[str, str]]:
    pairs = [(room_of(start, rooms), room_of(end, rooms)) for start, end in between_modules(found, package)]
    return [(start, end) for start, end in pairs if start != end]


def _ours(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def breaches(found: Iterable[Import], rules: Mapping[str, Room], package: str = PACKAGE) -> list[str]:
    """Every import that the rules do not let pass, in words."""
    said = []
    for one in found:
        room = room_of(one.by, rules)
        if room not in rules:
            said.append(f"{room}: a room without a rule")
        elif _ours(one.of, package):
            other = room_of(one.of, rules)
            if other != room and not _allows(rules[room].rooms, other):
                said.append(f"{one.by} imports {one.of}")
        elif not (_allows(rules[room].packages, one.of) or (one.late and _allows(rules[room].late, one.of))):
            said.append(f"{one.by} imports {one.of}{'' if one.late else ' as soon as it is loaded'}")
    return list(dict.fromkeys(said))


def _allows(names: str, name: str) -> bool:
    """Names between spaces; ``a.*`` is all that lies in a, "*" everything, and what stands behind a minus is not meant."""
    listed = names.split()
    if f"-{name}" in listed:
        return False
    return name in listed or "*" in listed or any(name.startswith(one[:-1]) for one in listed if one.endswith(".*"))


def silent_folders(modules: Mapping[str, str]) -> list[str]:
    """Folders without an ``__init__`` that says in a docstring what lives there."""
    folders = {name.rpartition(".")[0] for name in modules}
    return sorted(folder for folder in folders if not ast.get_docstring(ast.parse(modules.get(f"{folder}.__init__", ""))))


def loaded(statement: str, unwanted: str, root: Path) -> list[str]:
    """Which of the unwanted packages are loaded once a fresh interpreter has run a statement."""
    code = f"{statement}\nimport sys\nprint('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}} & set({unwanted!r}.split())))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=root, check=True)
    return done.stdout.rpartition("LOADED")[2].split()
