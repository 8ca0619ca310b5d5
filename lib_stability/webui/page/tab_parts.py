"""What the accordions of the tab have in common: components that keep no old defaults, lines of progress, following a task."""

from __future__ import annotations

import html
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from ...sentences import Sentence, reason
from ...validation import ValidationError
from ..host import texts
from ..host.language import say
from ..tasks import api_jobs
from ..tasks.background import Busy, Task

#: Seconds between two looks at the progress.
PAUSE = 1.0
#: Of events that fill lines: what is there stays readable until the answer comes. The lines of progress have a bar of their own.
QUIET = {"show_progress": "hidden"}
#: Folders of the latest downloads; gradio has long made copies of older ones.
_offered: deque[Path] = deque()
_OFFERED = 8


def id_of(name: str) -> str:
    return f"memorization_guard_tab_{name}"


def kept(component: object) -> object:
    """A component whose default the host does not freeze at what it is today."""
    component.do_not_save_to_config = True
    return component


def slider(name: str, words: tuple[str, str], low: float, high: float, value: float, step: float) -> object:
    """A slider; `words` are its label and its one-line help."""
    import gradio as gr

    label, info = words
    return kept(gr.Slider(float(low), float(high), value=float(value), step=float(step), label=label, info=info, elem_id=id_of(name)))


def text(name: str, words: tuple[str, str], lines: int, most: int = 12) -> object:
    """A box for text; `words` are its label and its one-line help."""
    import gradio as gr

    label, info = words
    return kept(gr.Textbox("", label=label, info=info, lines=lines, max_lines=most, elem_id=id_of(name)))


def button(name: str, label: str, **more: object) -> object:
    import gradio as gr

    return gr.Button(label, elem_id=id_of(name), **more)


def columns() -> object:
    """A row of controls with their lines of help, which need room between them."""
    import gradio as gr

    return gr.Row(elem_classes=["memorization-guard-columns"])


def beside(name: str, label: str, **more: object) -> object:
    """A button at the end of a row, as narrow as what it says."""
    return button(name, label, scale=0, min_width=190, size="sm", elem_classes=["memorization-guard-beside"], **more)


def pressable(*which: bool) -> list:
    """Updates of buttons: only what has something to act on can be pressed."""
    import gradio as gr

    return [gr.update(interactive=bool(one)) for one in which]


def runs(kind: str) -> bool:
    """Whether a task of this kind runs or waits."""
    task = api_jobs.latest(kind)
    return task is not None and task.state == "running"


def help_line(said: str) -> object:
    """A sentence about a section."""
    import gradio as gr

    return gr.HTML(f"<p class='memorization-guard-help'>{html.escape(said)}</p>")


def line(said: str) -> str:
    """One line for people; a sentence of another room's in the page's language."""
    return f"<p class='memorization-guard-progress'>{html.escape(say(said) if isinstance(said, Sentence) else said)}</p>"


def progress(task: Task) -> str:
    """A task's line, under a bar while it runs; the page's script asks anew for what is marked as running."""
    if task.state != "running":
        return line(task.line())
    span = f" value='{task.work:g}' max='{task.total}'" if task.total else ""
    bar = "" if task.waits else f"<progress class='memorization-guard-bar'{span}></progress>"
    return f"<div class='memorization-guard-running'>{bar}{line(task.line())}</div>"


def asking(handler: Callable) -> Callable:
    """A handler that gradio hands its request to, as the last argument; without the queue, so that an old gradio has the real one."""
    import gradio as gr

    handler.__annotations__["request"] = gr.Request
    return handler


def begin(kind: str, body: dict) -> tuple[str, str]:
    """Start; a line, and the task's id, "" where it was refused."""
    try:
        task = api_jobs.start(kind, body)
    except (ValidationError, Busy) as error:
        return line(reason(error)), ""
    return progress(task), task.id


def follow(kind: str, body: dict) -> Iterator[tuple[str, Task | None]]:
    """Start, then a line now and then; the task comes with the last one if it is done."""
    said, ident = begin(kind, body)
    yield said, None
    yield from watch(kind, ident)


def watch(kind: str, ident: str) -> Iterator[tuple[str, Task | None]]:
    """Of the task `ident`, if it is still the latest of its kind: a line now and then; it comes with the last one if it is done."""
    task = api_jobs.latest(kind)
    if task is None or task.id != ident:
        return
    while not task.wait(PAUSE):
        yield progress(task), None
    yield progress(task), task if task.state == "done" else None


def lines(given: str | None) -> list[str]:
    """The lines of a text box that say something."""
    return [one.strip() for one in (given or "").splitlines() if one.strip() and not one.startswith("#")]


def cancel(kind: str) -> str:
    """Handler of the cancel buttons of what anyone may start."""
    task = api_jobs.latest(kind)
    if task is None or task.state != "running":
        return line(say(texts.NOTHING_RUNS))
    task.cancel()
    task.wait(PAUSE)
    return progress(task)


def state_of(kind: str) -> str:
    """How far the latest task of a kind is, for a page that was opened again."""
    task = api_jobs.latest(kind)
    return "" if task is None else progress(task)


def to_offer(name: str) -> Path:
    """Where to write a file of this name that is then to be downloaded."""
    _offered.append(Path(tempfile.mkdtemp(prefix="memorization-guard-")))
    while len(_offered) > _OFFERED:
        shutil.rmtree(_offered.popleft(), ignore_errors=True)
    return _offered[-1] / name
