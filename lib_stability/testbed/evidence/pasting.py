"""Tables in documents are those of the files that commands write: between two marks stands what is in the file.

``<!-- evaluation/late.md -->`` begins a table, ``<!-- end -->`` ends it; ``<!-- evaluation/tables.md 2 -->`` asks for a file's second table alone.
Paths are from the document's folder. ``python -m lib_stability.testbed.evidence.pasting`` renews them all. The standard library alone.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENTS = ("docs/evidence.md", "lib_stability/testbed/weights/README.md")
_BLOCK = re.compile(r"<!-- (?P<file>[\w/.-]+\.md)(?: (?P<number>\d+))? -->\n(?P<held>.*?)<!-- end -->", re.DOTALL)


def tables(text: str) -> list[str]:
    """The tables of a Markdown file, each with its lines."""
    return [found.strip() for found in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)]


def narrow(table: str) -> str:
    """The same table without the spaces that only fill its columns: a longer cell changes no other line."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
    return "\n".join(f"|{'|'.join(row)}|" if set("".join(row)) <= {"-", ":"} else f"| {' | '.join(row)} |" for row in map(_ruled, rows))


def _ruled(row: list[str]) -> list[str]:
    return ["---"] * len(row) if all(cell and set(cell) <= {"-", ":"} for cell in row) else row


def pasted(text: str, folder: Path) -> str:
    """A document's text with what its marks ask for; paths are from `folder`.

    Raises
    ------
    OSError
        A file that is not there.
    ValueError
        A file without so many tables.
    """

    def held(found: re.Match) -> str:
        known = tables((folder / found["file"]).read_text("utf-8"))
        chosen = known if found["number"] is None else known[int(found["number"]) - 1 : int(found["number"])]
        if not chosen:
            raise ValueError(f"{found['file']} has {len(known)} tables, not {found['number'] or 'one'}")
        mark = found["file"] + (f" {found['number']}" if found["number"] else "")
        return f"<!-- {mark} -->\n" + "\n\n".join(map(narrow, chosen)) + "\n<!-- end -->"

    return _BLOCK.sub(held, text)


def main(root: Path = Path(__file__).resolve().parents[3]) -> None:
    """Renew the tables of all :data:`DOCUMENTS`."""
    for name in DOCUMENTS:
        path = root / name
        before = path.read_text("utf-8")
        after = pasted(before, path.parent)
        if after != before:
            path.write_text(after, "utf-8")
        print(f"{name}: {'renewed' if after != before else 'as it was'}")


if __name__ == "__main__":
    main()
