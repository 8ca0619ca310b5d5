"""The tab "Memorization Guard": profiles, calibration, prompt scan, audit, training pictures, glossary. Each section is a module of its own."""

from __future__ import annotations

from ..host import callbacks, texts
from . import glossary, tab_audit, tab_calibrate, tab_match, tab_profiles, tab_scan
from .tab_parts import button, id_of, pressable, runs, state_of

_KINDS = ("calibrate", "scan", "audit", "match/index")


def register() -> None:
    callbacks.once("ui_tabs", _build)


def refresh() -> tuple:
    """Everything as it is now; the page's script asks for it at every visit."""
    audit = tab_audit.again()
    number = int(audit[5])
    moves = (*tab_audit.able(audit[1], tab_audit.ALL, number), *pressable(runs("audit")))
    match = (state_of("match/index"), *tab_match.again())
    return *tab_profiles.again(), *tab_calibrate.again(), *tab_scan.again(), state_of("audit"), *audit, *moves, *match


def progress() -> tuple:
    """The lines of progress alone, while something runs."""
    return tuple(map(state_of, _KINDS))


def _build() -> list[tuple]:
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as tab:
        with gr.Tabs(elem_id=id_of("sections")):
            with gr.Tab(texts.SECTIONS["profiles"], elem_id=id_of("section_profiles")):
                shown, profiles = tab_profiles.build()
            with gr.Tab(texts.SECTIONS["calibrate"], elem_id=id_of("section_calibrate")):
                calibration, calibrates, displacing = tab_calibrate.build(shown)
            with gr.Tab(texts.SECTIONS["scan"], elem_id=id_of("section_scan")):
                scan, scans = tab_scan.build()
            with gr.Tab(texts.SECTIONS["audit"], elem_id=id_of("section_audit")):
                audit, audited, moves = tab_audit.build()
            with gr.Tab(texts.SECTIONS["match"], elem_id=id_of("section_match")):
                match, matched = tab_match.build()
            with gr.Tab(texts.SECTIONS["glossary"], elem_id=id_of("section_glossary")):
                glossary.build()
        again, look = (button(name, "", visible=False) for name in ("refresh", "look"))
        everything = [*profiles, *calibrates, *scans, audit, *audited, *moves, match, *matched]
        visited = again.click(refresh, inputs=[], outputs=everything, queue=False, show_progress="hidden")
        visited.then(tab_calibrate.said_before, **displacing, queue=False, show_progress="hidden")
        look.click(progress, inputs=[], outputs=[calibration, scan, audit, match], queue=False, show_progress="hidden")
    return [(tab, "Memorization Guard", "memorization_guard")]
