"""The accordion "Audit pictures": choose a folder, filter by verdict, see thumbnails."""

from __future__ import annotations

from collections.abc import Iterator

from ...trail import audit_page
from ...trail.audit_table import GROUPS
from ..tasks import api_jobs, auditing, folders
from .tab_parts import button, cancel, follow, id_of, kept, line, text, to_offer

#: First choices of folder and filter.
EVERYTHING, ALL = "All output folders", "All"
_FILTERS = {ALL: "", **{audit_page.label(group): group for group in GROUPS}}
_GONE = "This audit is no longer kept: start it again."


def choices() -> list[str]:
    """The folders that can be chosen without typing."""
    return [EVERYTHING, *folders.listed()]


def start(chosen: str, typed: str) -> Iterator[tuple]:
    """Handler of the button: progress, and at the end summary and first page."""
    import gradio as gr

    folder = (typed or "").strip() or ("" if chosen in (None, EVERYTHING) else chosen)
    for said, task in follow("audit", {"folder": folder}):
        if task is None:
            yield said, *[gr.update()] * 7
        else:
            yield said, task.id, ALL, _summary(task.id), *turn(task.id, ALL, 0)


def _summary(ident: str) -> str:
    found, task = auditing.kept(ident), api_jobs.latest("audit")
    seconds = task.result["seconds"] if task is not None and task.id == ident and task.result else None
    return "" if found is None else audit_page.summary(found.table, seconds)


def turn(ident: str, shown: str, number: int) -> tuple[str, int, str, object]:
    """Handler of the filter and of the paging buttons: cards, number of the page, what it shows, and no old download."""
    import gradio as gr

    found, group = auditing.kept(ident), _FILTERS.get(shown, "")
    nothing = gr.update(value=None, visible=False)
    if found is None:
        return line(_GONE) if ident else "", 0, "", nothing
    number = min(max(int(number), 0), audit_page.pages(found.table, group) - 1)
    said = audit_page.position(found.table, group, number)
    return audit_page.page(found.table, group, number, found.options.admits), number, line(said) if said else "", nothing


def download(ident: str, shown: str) -> tuple[str, object]:
    """Handler: the rows of the filter as CSV."""
    import gradio as gr

    found = auditing.kept(ident)
    if found is None:
        return line(_GONE if ident else "Audit a folder first."), gr.update()
    group = _FILTERS.get(shown, "")
    target = to_offer(f"audit{'-' + group.replace(' ', '-') if group else ''}.csv")
    found.table.write(target, group)
    return line(f"{found.table.count(group):,} rows are ready to be downloaded."), gr.update(value=str(target), visible=True)


def again() -> tuple:
    """Of the latest audit, for a page that was opened again: folders, task, summary, first page."""
    import gradio as gr

    task = api_jobs.latest("audit")
    ident = task.id if task is not None and auditing.kept(task.id) else ""
    return gr.update(choices=choices()), ident, ALL, _summary(ident), *turn(ident, ALL, 0)


def build() -> tuple[object, list]:
    """Build the accordion; returns the line of progress, and what :func:`again` fills."""
    import gradio as gr

    with gr.Accordion("Audit pictures", open=True):
        gr.HTML("<p>Reads the verdicts back from saved pictures. Nothing is changed; only the thumbnails of the page shown are decoded.</p>")
        with gr.Row():
            chosen = kept(gr.Dropdown(choices(), value=EVERYTHING, label="Folder", elem_id=id_of("audit_folder")))
            typed = text("audit_path", "Or the path of a folder within them", 1, 1)
        with gr.Row():
            begin = button("audit", "Audit", variant="primary")
            stop = button("cancel_audit", "Cancel")
        progress = gr.HTML("", elem_id=id_of("audit_progress"))
        summary = gr.HTML("", elem_id=id_of("audit_summary"))
        shown = kept(gr.Radio(list(_FILTERS), value=ALL, label="Show", elem_id=id_of("audit_filter")))
        with gr.Row():
            before = button("audit_before", "◀ Previous")
            after = button("audit_after", "Next ▶")
            csv = button("audit_csv", "Download as CSV")
        position = gr.HTML("", elem_id=id_of("audit_position"))
        cards = gr.HTML("", elem_id=id_of("audit_cards"))
        file = gr.File(label="Rows as CSV", interactive=False, visible=False, elem_id=id_of("audit_file"))
        ident, number = gr.State(""), gr.State(0)
    paged = [cards, number, position, file]
    begin.click(start, inputs=[chosen, typed], outputs=[progress, ident, shown, summary, *paged])
    stop.click(lambda: cancel("audit"), inputs=[], outputs=[progress], queue=False)
    shown.change(lambda ident, shown: turn(ident, shown, 0), inputs=[ident, shown], outputs=paged, queue=False)
    before.click(lambda ident, shown, number: turn(ident, shown, number - 1), inputs=[ident, shown, number], outputs=paged, queue=False)
    after.click(lambda ident, shown, number: turn(ident, shown, number + 1), inputs=[ident, shown, number], outputs=paged, queue=False)
    csv.click(download, inputs=[ident, shown], outputs=[position, file], queue=False)
    return progress, [chosen, ident, shown, summary, *paged]
