"""Which words carry a memorized picture, as a line of text and as words that are the redder the larger their share is."""

from __future__ import annotations

import html
from collections.abc import Mapping

#: Shares below this are left unsaid, and words that a line names.
LEAST, NAMED = 0.05, 8
#: Of the shading alone: it stands in pages of their own, in the web UI's and in the scan's.
STYLE = """
.mg-shares mark { color: inherit; border-radius: .2em; padding: 0 .1em; }
.mg-shares { overflow-wrap: anywhere; }
"""
_RED = "224,72,62"


def named(row: Mapping) -> list[tuple[str, float]]:
    """Words and shares that are worth saying, the largest first; words that occur more than once are said once."""
    found: dict[str, float] = {}
    for word in row["words"]:
        if word["share"] is not None and word["share"] >= LEAST:
            found[word["text"]] = max(found.get(word["text"], 0.0), word["share"])
    return sorted(found.items(), key=lambda one: -one[1])[:NAMED]


def shares(row: Mapping) -> str:
    """The words with their shares, "" where none has any."""
    return ", ".join(f"{text} {100 * share:.0f} %" for text, share in named(row))


def advice(row: Mapping) -> str:
    """What to leave out, or why nothing can be said."""
    found = row["suggestion"]
    if found is None:
        return row["note"]
    return f"stable without {' and '.join(found['without'])}: {found['text']}"


def said(row: Mapping) -> str:
    """A line for people: shares, and the smallest change after which the prompt is stable."""
    told = [f"carried by {shares(row)}" if shares(row) else "no single word carries it" if row["words"] else "", advice(row)]
    return "; ".join(one for one in told if one)


def shaded(row: Mapping) -> str:
    """The prompt as HTML, its words shaded by their shares."""
    text = row["caption"]
    marks = sorted((start, end, word["share"]) for word in row["words"] for start, end in word["spans"] if word["share"])
    out, at = [], 0
    for start, end, share in marks:
        if share < LEAST or not at <= start < end <= len(text):
            continue
        title = f"{100 * share:.0f} % of the score goes with this word"
        out.append(html.escape(text[at:start]))
        out.append(f"<mark style='background:rgba({_RED},{0.1 + 0.7 * share:.2f})' title='{title}'>{html.escape(text[start:end])}</mark>")
        at = end
    return f"<span class='mg-shares'>{''.join(out)}{html.escape(text[at:])}</span>"


def block(row: Mapping) -> str:
    """All of it as HTML: the shaded prompt, the shares, the advice."""
    lines = [f"<p>{shaded(row)}</p>"]
    lines += [f"<p>{html.escape(one[:1].upper() + one[1:])}</p>" for one in said(row).split("; ", 1) if one]
    return f"<div class='mg-explained'>{''.join(lines)}</div>"
