"""The glossary of the page: that of the guide, so that there is one."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide.md"
_HEADING = "## Glossary"
#: An invisible character that nothing is broken at.
_JOINER = "\u2060"


def text() -> str:
    """The guide's section, without its links, which lead nowhere here, and line breaks, which gradio keeps; "" where the guide is not there."""
    try:
        guide = GUIDE.read_text(encoding="utf-8")
    except OSError:
        return ""
    _, found, after = guide.partition(f"{_HEADING}\n")
    return _kept_english(_in_long_lines(_without_links(after.partition("\n## ")[0].strip()))) if found else ""


def _without_links(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def _in_long_lines(markdown: str) -> str:
    """Every paragraph and every item of a list on one line."""
    return re.sub(r"(?<=\S)[ ]*\n[ ]*(?=[^\s-])", " ", markdown)


def _kept_english(markdown: str) -> str:
    """With a joiner in all that is emphasised: that is a text of its own in the page, and the web UI would translate it where it is one of the
    page's words, in the midst of an English sentence."""
    return re.sub(r"(\*{1,2})([^*\n]+)\1", rf"\1\2{_JOINER}\1", markdown)


def build() -> None:
    import gradio as gr

    gr.Markdown(text(), elem_id="memorization_guard_tab_glossary")
