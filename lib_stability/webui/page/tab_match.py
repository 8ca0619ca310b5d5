"""The section "Training pictures": make an index of a folder, keep it up to date, delete it, and look a picture up."""

from __future__ import annotations

import html
from collections.abc import Iterator

from ...match import describing, store
from ...validation import ValidationError
from ..host import texts
from ..job import indexes
from ..tasks import api_jobs, folders, matching, roles
from . import nearest
from .tab_parts import asking, begin, button, cancel, help_line, id_of, kept, line, text, watch

#: Ways to describe, as people read them.
_BY = {"By the loaded checkpoint": describing.VAE, "By SSCD, if its file is there": describing.SSCD}


def table() -> str:
    """All indexes, a line each."""
    rows = [f"<li><b>{html.escape(name)}</b>: {html.escape(_said(one))}</li>" for name, one in indexes.known().items()]
    return f"<ul>{''.join(rows)}</ul>" if rows else line("There is no index yet.")


def _said(one: store.About | str) -> str:
    return one if isinstance(one, str) else f"{one.describe()}; {one.updated}"


def choices() -> list[str]:
    """The folders that can be chosen without typing; the first stands for those that an index was made of."""
    return ["", *folders.listed()]


def start(name: str, chosen: str, typed: str, by: str, request: object = None) -> tuple[str, str]:
    """Handler of the button: the first line of progress, and the task's id."""
    if roles.refusal(request):
        return line(roles.refusal(request)), ""
    folder = (typed or "").strip() or (chosen or "")
    return begin("match/index", {"index": (name or "").strip(), "folder": folder, "by": _BY.get(by, describing.VAE)})


def watched(ident: str) -> Iterator[tuple]:
    """Handler: progress, and at the end the list."""
    import gradio as gr

    for said, task in watch("match/index", ident):
        result = task.result if task is not None else None
        done = line(f"{result['new']:,} new or changed, {result['gone']:,} gone: {result['said']}.") if result else ""
        yield said + done, table() if api_jobs.latest("match/index").state != "running" else gr.update(), gr.update(choices=indexes.names())
    yield gr.update(), table(), gr.update(choices=indexes.names())


def stop(request: object = None) -> str:
    """Handler of Cancel."""
    return line(roles.refusal(request)) if roles.refusal(request) else cancel("match/index")


def delete(name: str | None, request: object = None) -> tuple:
    """Handler of Delete: the index goes, no picture does."""
    import gradio as gr

    if roles.refusal(request):
        return line(roles.refusal(request)), table(), gr.update()
    try:
        matching.delete((name or "").strip())
        said = line(f"The index {name} is deleted; its pictures are where they were.")
    except ValueError as error:
        said = line(str(error))
    return said, table(), gr.update(choices=indexes.names(), value=None)


def find(picture: object, name: str | None, request: object = None) -> str:
    """Handler of the picture that is dropped: its nearest."""
    if roles.strange(request):
        return line(roles.strange(request))
    if picture is None:
        return line("Drop a picture first.")
    try:
        asked, near = matching.find(picture, (name or "").strip())
    except (ValidationError, ValueError) as error:
        return line(str(error))
    return nearest.cards(asked, near, not roles.refusal(request))


def again() -> tuple:
    """For a page that was opened again: folders, the list, the names."""
    import gradio as gr

    return gr.update(choices=choices()), table(), gr.update(choices=indexes.names())


def build() -> tuple[object, list]:
    """Build the section; returns the line of progress, and what :func:`again` fills."""
    import gradio as gr

    help_line(texts.MATCH_HELP)
    with gr.Row():
        name = text("match_name", texts.INDEX_NAME, 1, 1)
        chosen = kept(gr.Dropdown(choices(), value="", label=texts.INDEX_FOLDER[0], info=texts.INDEX_FOLDER[1], elem_id=id_of("match_folder")))
        typed = text("match_path", texts.INDEX_PATH, 1, 1)
        by = kept(gr.Radio(list(_BY), value=next(iter(_BY)), label=texts.DESCRIBED[0], info=texts.DESCRIBED[1], elem_id=id_of("match_by")))
    with gr.Row():
        make = button("match", texts.INDEX, variant="primary")
        end = button("cancel_match", texts.CANCEL)
    progress, ident = gr.HTML("", elem_id=id_of("match_progress")), gr.State("")
    listed = gr.HTML(table(), elem_id=id_of("match_indexes"))
    with gr.Row():
        index = kept(gr.Dropdown(indexes.names(), value=None, label=texts.ASKED[0], info=texts.ASKED[1], elem_id=id_of("match_index")))
        gone = button("match_delete", texts.INDEX_DELETE)
    with gr.Row():
        picture = kept(gr.Image(label=texts.LOOK_UP, type="pil", elem_id=id_of("match_picture")))
        with gr.Column():
            look = button("match_find", texts.NEAREST)
            found = gr.HTML("", elem_id=id_of("match_found"))
    asked = make.click(asking(start), inputs=[name, chosen, typed, by], outputs=[progress, ident], queue=False)
    asked.then(watched, inputs=[ident], outputs=[progress, listed, index])
    end.click(asking(stop), inputs=[], outputs=[progress], queue=False)
    gone.click(asking(delete), inputs=[index], outputs=[progress, listed, index], queue=False)
    look.click(asking(find), inputs=[picture, index], outputs=[found], queue=False)
    return progress, [chosen, listed, index]
