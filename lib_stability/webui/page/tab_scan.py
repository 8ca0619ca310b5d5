"""The accordion "Scan captions"."""

from __future__ import annotations

from collections.abc import Iterator

from ...trail import scan_report
from ..tasks import scanning
from .tab_parts import button, cancel, follow, id_of, lines, slider, text


def scan(captions: str, seeds: float, networks: str = "") -> Iterator[tuple[str, object]]:
    """Handler of the button: progress and, at the end, the ranking."""
    import gradio as gr

    for said, task in follow("scan", {"captions": lines(captions), "seeds": int(seeds), "networks": networks or ""}):
        if task is None:
            yield said, gr.update()
        else:
            yield said, f"<style>{scan_report.STYLE}</style>{scan_report.table(task.result['rows'], task.result)}"


def build() -> object:
    """Build the accordion; returns the line of progress."""
    import gradio as gr

    first = scanning.Options()
    with gr.Accordion("Scan captions", open=True):
        captions = text("captions", "Captions, one a line", 5)
        tags = text("scan_networks", "Networks (LoRA and the like) for all captions: <lora:name:0.8>; tags in a caption count for it", 1)
        seeds = slider("seeds", "Seeds per caption", *scanning.SEEDS, first.seeds, 1)
        with gr.Row():
            look = button("scan", "Scan", variant="primary")
            stop = button("cancel_scan", "Cancel")
        progress = gr.HTML("", elem_id=id_of("scan_progress"))
        ranking = gr.HTML("", elem_id=id_of("ranking"))
    look.click(scan, inputs=[captions, seeds, tags], outputs=[progress, ranking])
    stop.click(lambda: cancel("scan"), inputs=[], outputs=[progress], queue=False)
    return progress
