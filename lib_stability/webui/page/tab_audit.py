"""The section "Audit pictures": choose a folder, filter by verdict, see thumbnails."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...trail import audit_page
from ...trail.audit_table import GROUPS, Table
from ..host import texts
from ..host.language import number, say
from ..tasks import api_jobs, auditing, folders
from . import reasons
from .tab_parts import QUIET, button, cancel, columns, follow, help_line, id_of, kept, line, pressable, runs, text, to_offer

#: First choices of folder and filter.
EVERYTHING, ALL = "All output folders", "All"
_FILTERS = {ALL: "", **{audit_page.label(group): group for group in GROUPS}}


def choices() -> list[str]:
    """The folders that can be chosen without typing."""
    return [EVERYTHING, *folders.listed()]


def start(chosen: str, typed: str) -> Iterator[tuple]:
    """Handler of the button: progress, and at the end summary and first page."""
    import gradio as gr

    folder = (typed or "").strip() or ("" if chosen in (None, EVERYTHING) else chosen)
    for said, task in follow("audit", {"folder": folder}):
        if task is None:
            yield said, *[gr.update()] * 7, *[gr.update()] * 3, *pressable(runs("audit"))
        else:
            yield said, task.id, ALL, _summary(task.id), *turn(task.id, ALL, 0), *able(task.id, ALL, 0), *pressable(False)


def _summary(ident: str) -> str:
    found, task = auditing.kept(ident), api_jobs.latest("audit")
    seconds = task.result["seconds"] if task is not None and task.id == ident and task.result else None
    return "" if found is None else counted(found.table, seconds)


def counted(table: Table, seconds: float | None) -> str:
    """How many pictures there are of each verdict."""
    return audit_page.summary(table, seconds, reasons.told)


def turn(ident: str, shown: str, number: int) -> tuple[str, int, str, object]:
    """Handler of the filter and of the paging buttons: cards, number of the page, what it shows, and no old download."""
    import gradio as gr

    found, group = auditing.kept(ident), _FILTERS.get(shown, "")
    nothing = gr.update(value=None, visible=False)
    if found is None:
        return line(say(texts.AUDIT_GONE)) if ident else "", 0, "", nothing
    number = min(max(int(number), 0), audit_page.pages(found.table, group) - 1)
    said = audit_page.position(found.table, group, number)
    return audit_page.page(found.table, group, number, found.options.admits, reasons.told), number, line(said) if said else "", nothing


def able(ident: str, shown: str, number: int) -> list:
    """Which of "Previous page", "Next page" and "Download" have something to act on."""
    found, group = auditing.kept(ident), _FILTERS.get(shown, "")
    if found is None:
        return pressable(False, False, False)
    number, pages = int(number), audit_page.pages(found.table, group)
    return pressable(number > 0, number + 1 < pages, len(found.table))


def turned(ident: str, shown: str, number: int) -> tuple:
    """As :func:`turn`, with the buttons."""
    cards, at, position, file = turn(ident, shown, number)
    return cards, at, position, file, *able(ident, shown, at)


def download(ident: str, shown: str) -> tuple[str, object]:
    """Handler: the rows of the filter as CSV."""
    import gradio as gr

    found = auditing.kept(ident)
    if found is None:
        return line(say(texts.AUDIT_GONE if ident else texts.AUDIT_FIRST)), gr.update()
    group = _FILTERS.get(shown, "")
    target = to_offer(f"audit{'-' + group.replace(' ', '-') if group else ''}.csv")
    found.table.write(target, group)
    return line(say(texts.ROWS_DOWNLOADABLE, count=number(f"{found.table.count(group):,}"))), gr.update(value=str(target), visible=True)


def again() -> tuple:
    """Of the latest audit, for a page that was opened again: folders, task, summary, first page."""
    import gradio as gr

    task = api_jobs.latest("audit")
    ident = task.id if task is not None and auditing.kept(task.id) else ""
    return gr.update(choices=choices()), ident, ALL, _summary(ident), *turn(ident, ALL, 0)


def build() -> tuple[object, list, list]:
    """Build the section; returns the line of progress, and what :func:`again` and the buttons' state fill."""
    import gradio as gr

    help_line(texts.AUDIT_HELP)
    with columns():
        label, info = texts.FOLDER
        chosen = kept(gr.Dropdown(choices(), value=EVERYTHING, label=label, info=info, elem_id=id_of("audit_folder")))
        typed = text("audit_path", texts.SUBFOLDER, 1, 1)
    with gr.Row():
        begin = button("audit", texts.AUDIT, variant="primary")
        stop = button("cancel_audit", texts.CANCEL, interactive=False)
    progress = gr.HTML("", elem_id=id_of("audit_progress"))
    summary = gr.HTML("", elem_id=id_of("audit_summary"))
    shown = kept(gr.Radio(list(_FILTERS), value=ALL, label=texts.SHOW, info=texts.FILTER_HELP, elem_id=id_of("audit_filter")))
    with gr.Row():
        before = button("audit_before", texts.PREVIOUS, interactive=False)
        after = button("audit_after", texts.NEXT, interactive=False)
        csv = button("audit_csv", texts.CSV, interactive=False)
    position = gr.HTML("", elem_id=id_of("audit_position"))
    cards = gr.HTML("", elem_id=id_of("audit_cards"))
    file = gr.File(label=texts.CSV_FILE, interactive=False, visible=False, elem_id=id_of("audit_file"))
    ident, number = gr.State(""), gr.State(0)
    paged, moves = [cards, number, position, file], [before, after, csv]
    begin.click(start, inputs=[chosen, typed], outputs=[progress, ident, shown, summary, *paged, *moves, stop], **QUIET)
    stop.click(lambda: cancel("audit"), inputs=[], outputs=[progress], queue=False, **QUIET)
    shown.change(lambda ident, shown: turned(ident, shown, 0), inputs=[ident, shown], outputs=[*paged, *moves], queue=False, **QUIET)
    for one, step in ((before, -1), (after, 1)):
        one.click(_by(step), inputs=[ident, shown, number], outputs=[*paged, *moves], queue=False, **QUIET)
    csv.click(download, inputs=[ident, shown], outputs=[position, file], queue=False, **QUIET)
    return progress, [chosen, ident, shown, summary, *paged], [*moves, stop]


def _by(step: int) -> Callable:
    return lambda ident, shown, number: turned(ident, shown, number + step)
