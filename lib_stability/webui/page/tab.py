"""The tab "Memorization Guard": profiles and which of them serves, calibration, scan, audit, training pictures. Each accordion is its own module."""

from __future__ import annotations

from ..host import callbacks
from . import tab_audit, tab_calibrate, tab_match, tab_profiles, tab_scan
from .tab_parts import button, state_of

_KINDS = ("calibrate", "scan", "audit", "match/index")


def register() -> None:
    callbacks.once("ui_tabs", _build)


def refresh() -> tuple:
    """Everything as it is now, for a page that was opened again: profiles, progress of each kind, the latest audit."""
    import gradio as gr

    return tab_profiles.table(), gr.update(choices=tab_profiles.names()), *map(state_of, _KINDS), *tab_audit.again(), *tab_match.again()


def _build() -> list[tuple]:
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as tab:
        shown, chosen = tab_profiles.build()
        again = button("refresh", "Refresh")
        calibration, scan = tab_calibrate.build(shown), tab_scan.build()
        audit, audited = tab_audit.build()
        match, matched = tab_match.build()
        again.click(refresh, inputs=[], outputs=[shown, chosen, calibration, scan, audit, match, *audited, *matched], queue=False)
    return [(tab, "Memorization Guard", "memorization_guard")]
