"""The glossary of the page: that of the guide, so that there is one."""

from __future__ import annotations

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide.md"
_HEADING = "## Glossary"


def text() -> str:
    """The guide's section, its links left out, which lead nowhere here; "" where the guide is not there."""
    try:
        guide = GUIDE.read_text(encoding="utf-8")
    except OSError:
        return ""
    _, found, after = guide.partition(f"{_HEADING}\n")
    return _without_links(after.partition("\n## ")[0].strip()) if found else ""


def _without_links(markdown: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def build() -> None:
    import gradio as gr

    gr.Markdown(text(), elem_id="memorization_guard_tab_glossary")
