"""Which words carry a memorized picture, as a line of text and as words that are the redder the larger their share is."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping

from ..sentences import Sentence, joined, listed, spoken

#: Shares below this are left unsaid, and words that a line names.
LEAST, NAMED = 0.05, 8
#: Of the shading alone: it stands in pages of their own, in the web UI's and in the scan's.
STYLE = """
.mg-shares mark { color: inherit; border-radius: .2em; padding: 0 .1em; }
.mg-shares { overflow-wrap: anywhere; }
"""
_RED = "224,72,62"
#: What people are told, and why there is nothing to leave out.
TEXTS = {
    "share": "{word} {share} %",
    "carried": "carried by {words}",
    "none": "no single word carries it",
    "stable": "stable without {words}: {prompt}",
    "goes": "{share} % of the score goes with this word",
    "one word": "there are not two words to tell apart",
    "no part": "no part that was left out makes it stable: describe the picture in other words",
}


def named(row: Mapping) -> list[tuple[str, float]]:
    """Words and shares that are worth saying, the largest first; words that occur more than once are said once."""
    found: dict[str, float] = {}
    for word in row["words"]:
        if word["share"] is not None and word["share"] >= LEAST:
            found[word["text"]] = max(found.get(word["text"], 0.0), word["share"])
    return sorted(found.items(), key=lambda one: -one[1])[:NAMED]


def shares(row: Mapping) -> str:
    """The words with their shares, "" where none has any."""
    return joined(", ", (Sentence(TEXTS["share"], word=text, share=f"{100 * share:.0f}") for text, share in named(row)))


def advice(row: Mapping) -> str:
    """What to leave out, or why nothing can be said."""
    found = row["suggestion"]
    if found is None:
        return row["note"]
    return Sentence(TEXTS["stable"], words=listed(found["without"]), prompt=found["text"])


def said(row: Mapping) -> str:
    """A line for people: shares, and the smallest change after which the prompt is stable."""
    return joined("; ", _told(row))


def _told(row: Mapping) -> list[str]:
    found = shares(row)
    carried = Sentence(TEXTS["carried"], words=found) if found else Sentence(TEXTS["none"]) if row["words"] else ""
    return [one for one in (carried, advice(row)) if one]


def shaded(row: Mapping, say: Callable[..., str] = spoken) -> str:
    """The prompt as HTML, its words shaded by their shares; `say` finds the page's words."""
    text = row["caption"]
    marks = sorted((start, end, word["share"]) for word in row["words"] for start, end in word["spans"] if word["share"])
    out, at = [], 0
    for start, end, share in marks:
        if share < LEAST or not at <= start < end <= len(text):
            continue
        title = html.escape(say(TEXTS["goes"], share=f"{100 * share:.0f}"), quote=True)
        out.append(html.escape(text[at:start]))
        out.append(f"<mark style='background:rgba({_RED},{0.1 + 0.7 * share:.2f})' title='{title}'>{html.escape(text[start:end])}</mark>")
        at = end
    return f"<span class='mg-shares'>{''.join(out)}{html.escape(text[at:])}</span>"


def block(row: Mapping, say: Callable[..., str] = spoken) -> str:
    """All of it as HTML: the shaded prompt, the shares, the advice; `say` finds the page's words."""
    lines = [f"<p>{shaded(row, say)}</p>"]
    lines += [f"<p>{html.escape(one[:1].upper() + one[1:])}</p>" for one in map(say, _told(row))]
    return f"<div class='mg-explained'>{''.join(lines)}</div>"
