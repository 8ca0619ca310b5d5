"""The section "Scan captions"."""

from __future__ import annotations

from collections.abc import Iterator

from ...trail import scan_report
from ..host import texts
from ..host.language import say
from ..tasks import api_jobs, json_options, scanning
from .tab_parts import QUIET, button, cancel, columns, follow, help_line, id_of, kept, lines, pressable, runs, slider, state_of, text

#: In the browser alone: there is something to scan once a caption is there. Gradio 3 calls what can be pressed dynamic.
_CAPTIONS = "(text) => { const any = text.trim() !== ''; return [{interactive: any, mode: any ? 'dynamic' : 'static', __type__: 'update'}]; }"


def scan(captions: str, seeds: float, networks: str = "", width: float = 0, height: float = 0, prompts: bool = False) -> Iterator[tuple]:
    """Handler of the button: progress, at the end the ranking; and Cancel, which can be pressed meanwhile."""
    import gradio as gr

    body = {"captions": lines(captions), "seeds": int(seeds), "networks": networks or "", "width": int(width or 0), "height": int(height or 0)}
    body["plain"] = not prompts
    for said, task in follow("scan", body):
        yield said, gr.update() if task is None else _ranking(task.result), *pressable(runs("scan"))


def _ranking(result: dict) -> str:
    return f"<style>{scan_report.STYLE}</style>{scan_report.table(result['rows'], result, say)}"


def again() -> tuple:
    """Progress, ranking and Cancel as they are now, for a page that was opened again."""
    task = api_jobs.latest("scan")
    ranking = _ranking(task.result) if task is not None and task.state == "done" and task.result else ""
    return state_of("scan"), ranking, *pressable(runs("scan"))


def build() -> tuple[object, list]:
    """Build the section; returns the line of progress, and all that :func:`again` fills."""
    import gradio as gr

    first = scanning.Options()
    help_line(texts.SCAN_HELP)
    captions = text("captions", texts.CAPTIONS, 5)
    with gr.Accordion(texts.MORE, open=False):
        seeds = slider("seeds", texts.SEEDS, *scanning.SEEDS, first.seeds, 1)
        with columns():
            width = slider("scan_width", texts.WIDTH, 0, json_options.SIDE[1] // 2, 0, 8)
            height = slider("scan_height", texts.HEIGHT, 0, json_options.SIDE[1] // 2, 0, 8)
        tags = text("scan_networks", texts.SCAN_NETWORKS, 1)
        prompts = kept(gr.Checkbox(False, label=texts.ARE_PROMPTS, elem_id=id_of("scan_prompts")))
    with gr.Row():
        look = button("scan", texts.SCAN, variant="primary", interactive=False)
        stop = button("cancel_scan", texts.CANCEL, interactive=False)
    progress = gr.HTML("", elem_id=id_of("scan_progress"))
    ranking = gr.HTML("", elem_id=id_of("ranking"))
    captions.change(None, _js=_CAPTIONS, inputs=[captions], outputs=[look], **QUIET)
    look.click(scan, inputs=[captions, seeds, tags, width, height, prompts], outputs=[progress, ranking, stop], **QUIET)
    stop.click(lambda: cancel("scan"), inputs=[], outputs=[progress], queue=False, **QUIET)
    return progress, [progress, ranking, stop]
