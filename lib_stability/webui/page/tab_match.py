"""The section "Training pictures": make an index of a folder, keep it up to date, delete it, and look a picture up."""

from __future__ import annotations

import html
from collections.abc import Iterator

from ...match import describing, store
from ...sentences import reason
from ...validation import ValidationError
from ..host import texts
from ..host.language import number, say
from ..job import indexes
from ..tasks import folders, matching, roles
from . import nearest
from .tab_parts import QUIET, asking, begin, beside, button, cancel, columns, help_line, id_of, kept, line, pressable, runs, text, watch

#: Ways to describe, as people read them.
_BY = {texts.BY["vae"]: describing.VAE, texts.BY["sscd"]: describing.SSCD}
#: In the browser alone: there is something to make an index of once it has a name. Gradio 3 calls what can be pressed dynamic.
_NAMED = "(text) => { const any = text.trim() !== ''; return [{interactive: any, mode: any ? 'dynamic' : 'static', __type__: 'update'}]; }"
_KIND = "match/index"


def table() -> str:
    """All indexes, a line each."""
    rows = [f"<li><b>{html.escape(name)}</b>: {html.escape(said(one))}</li>" for name, one in indexes.known().items()]
    return f"<ul>{''.join(rows)}</ul>" if rows else line(say(texts.NO_INDEX))


def said(one: store.About | str) -> str:
    """An index in words, or what is wrong with it."""
    return say(one) if isinstance(one, str) else f"{say(one.describe())}; {one.updated}"


def choices() -> list[str]:
    """The folders that can be chosen without typing; the first stands for those that an index was made of."""
    return ["", *folders.listed()]


def start(name: str, chosen: str, typed: str, by: str, request: object = None) -> tuple:
    """Handler of the button: the first line of progress, the task's id, and Cancel, which can be pressed meanwhile."""
    if roles.refusal(request):
        return line(roles.refusal(request)), "", *pressable(runs(_KIND))
    folder = (typed or "").strip() or (chosen or "")
    said, ident = begin("match/index", {"index": (name or "").strip(), "folder": folder, "by": _BY.get(by, describing.VAE)})
    return said, ident, *pressable(runs(_KIND))


def watched(ident: str) -> Iterator[tuple]:
    """Handler: progress, and at the end the list; Cancel as long as there is something to cancel."""
    import gradio as gr

    for said, task in watch("match/index", ident):
        result = task.result if task is not None else None
        counts = {name: number(f"{result[name]:,}") for name in ("new", "gone")} if result else {}
        done = line(say(texts.INDEXED, said=result["said"], **counts)) if result else ""
        listed = gr.update() if runs(_KIND) else table()
        yield said + done, listed, gr.update(choices=indexes.names()), *pressable(runs(_KIND))
    yield gr.update(), table(), gr.update(choices=indexes.names()), *pressable(runs(_KIND))


def stop(request: object = None) -> str:
    """Handler of Cancel."""
    return line(roles.refusal(request)) if roles.refusal(request) else cancel(_KIND)


def delete(name: str | None, request: object = None) -> tuple:
    """Handler of Delete: the index goes, no picture does."""
    import gradio as gr

    if roles.refusal(request):
        return line(roles.refusal(request)), table(), gr.update()
    try:
        matching.delete((name or "").strip())
        said = line(say(texts.INDEX_DELETED, name=name))
    except ValueError as error:
        said = line(reason(error))
    return said, table(), gr.update(choices=indexes.names(), value=None)


def find(picture: object, name: str | None, request: object = None) -> str:
    """Handler of the picture that is dropped: its nearest."""
    if roles.strange(request):
        return line(roles.strange(request))
    if picture is None:
        return line(say(texts.PICTURE_FIRST))
    try:
        asked, near = matching.find(picture, (name or "").strip())
    except (ValidationError, ValueError) as error:
        return line(reason(error))
    return nearest.cards(asked, near, not roles.refusal(request))


def again() -> tuple:
    """For a page that was opened again: folders, the list, the names, and Cancel."""
    import gradio as gr

    return gr.update(choices=choices()), table(), gr.update(choices=indexes.names()), *pressable(runs(_KIND))


def able(name: str | None, picture: object) -> list:
    """Which of Delete and "Find the nearest" have something to act on."""
    names = indexes.names()
    return pressable((name or "").strip() in names, picture is not None and names)


def build() -> tuple[object, list]:
    """Build the section; returns the line of progress, and what :func:`again` fills."""
    import gradio as gr

    help_line(texts.MATCH_HELP)
    with columns():
        name = text("match_name", texts.INDEX_NAME, 1, 1)
        chosen = kept(gr.Dropdown(choices(), value="", label=texts.INDEX_FOLDER[0], info=texts.INDEX_FOLDER[1], elem_id=id_of("match_folder")))
        typed = text("match_path", texts.INDEX_PATH, 1, 1)
        by = kept(gr.Radio(list(_BY), value=next(iter(_BY)), label=texts.DESCRIBED[0], info=texts.DESCRIBED[1], elem_id=id_of("match_by")))
    with gr.Row():
        make = button("match", texts.INDEX, variant="primary", interactive=False)
        end = button("cancel_match", texts.CANCEL, interactive=False)
    progress, ident = gr.HTML("", elem_id=id_of("match_progress")), gr.State("")
    listed = gr.HTML(table(), elem_id=id_of("match_indexes"))
    with columns():
        index = kept(gr.Dropdown(indexes.names(), value=None, label=texts.ASKED[0], info=texts.ASKED[1], elem_id=id_of("match_index")))
        gone = beside("match_delete", texts.INDEX_DELETE, interactive=False)
    with gr.Row():
        picture = kept(gr.Image(label=texts.LOOK_UP, type="pil", elem_id=id_of("match_picture")))
        with gr.Column():
            look = button("match_find", texts.NEAREST, interactive=False)
            found = gr.HTML("", elem_id=id_of("match_found"))
    name.change(None, _js=_NAMED, inputs=[name], outputs=[make])
    asked = make.click(asking(start), inputs=[name, chosen, typed, by], outputs=[progress, ident, end], queue=False, **QUIET)
    made = asked.then(watched, inputs=[ident], outputs=[progress, listed, index, end], **QUIET)
    made.then(able, inputs=[index, picture], outputs=[gone, look], queue=False, **QUIET)
    end.click(asking(stop), inputs=[], outputs=[progress], queue=False, **QUIET)
    gone.click(asking(delete), inputs=[index], outputs=[progress, listed, index], queue=False, **QUIET)
    look.click(asking(find), inputs=[picture, index], outputs=[found], queue=False, **QUIET)
    for one in (index, picture):
        one.change(able, inputs=[index, picture], outputs=[gone, look], queue=False, **QUIET)
    return progress, [chosen, listed, index, end]
