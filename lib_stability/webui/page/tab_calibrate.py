"""The section "Calibrate"."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...profile.calibration import caution
from ...profile.displacing import Outlook
from ..host import sampling, texts
from ..host.language import joined, number, say
from ..tasks import api_jobs, calibrating, idle, json_options, roles
from . import tab_profiles
from .tab_parts import (
    QUIET,
    asking,
    begin,
    beside,
    button,
    cancel,
    columns,
    help_line,
    id_of,
    kept,
    line,
    lines,
    pressable,
    slider,
    state_of,
    text,
    watch,
)
from .tab_parts import runs as running

#: Stands for :data:`.calibrating.SAMPLERS`.
IN_TURN = "Several in turn"


def said_before(runs: float, negative: str, networks: str = "") -> str:
    """Handler: the lines above the button."""
    return "".join(map(line, _outlook(runs, negative, networks, hashing=False).lines))


def _outlook(runs: float, negative: str, networks: str, hashing: bool) -> Outlook:
    given = {"negative_prompt": (negative or "").strip(), "networks": (networks or "").strip()}
    return calibrating.outlook(calibrating.Options(runs=int(runs or 0), **given), hashing)


#: Two buttons that ask, hidden or shown.
Asked = tuple[object, object]


def start(
    runs: float,
    steps: float,
    width: float,
    height: float,
    batch: float,
    sampler: str,
    negative: str,
    prompts: str,
    networks: str = "",
    request: object = None,
) -> tuple[str, str, object, object]:
    """Handler of the button: says what a calibration would displace and shows the button that does it; starts what displaces none."""
    return _start(runs, steps, width, height, batch, sampler, negative, prompts, networks, when_idle=False, request=request)


def start_idle(
    runs: float,
    steps: float,
    width: float,
    height: float,
    batch: float,
    sampler: str,
    negative: str,
    prompts: str,
    networks: str = "",
    request: object = None,
) -> tuple[str, str, object, object]:
    """Handler of the button beside it: the same, of a calibration that waits until nobody generates."""
    return _start(runs, steps, width, height, batch, sampler, negative, prompts, networks, when_idle=True, request=request)


def _start(*given: object, when_idle: bool, request: object) -> tuple[str, str, object, object]:
    if roles.refusal(request):  # before a checkpoint is hashed
        return line(roles.refusal(request)), "", *_asked(False)
    runs, *_, negative, _, networks = given
    found = _outlook(runs, negative, networks, hashing=True)
    if found.calibrations:
        return "".join(map(line, found.lines)), "", *_asked(True)
    return start_it(*given, when_idle, request)


def _asked(shown: bool) -> Asked:
    import gradio as gr

    return gr.update(visible=shown), gr.update(visible=shown)


def start_it(
    runs: float,
    steps: float,
    width: float,
    height: float,
    batch: float,
    sampler: str,
    negative: str,
    prompts: str,
    networks: str = "",
    when_idle: bool = False,
    request: object = None,
) -> tuple[str, str, object, object]:
    """Handler of the button that appears then: starts it where `request` comes from one who may; progress, and what :func:`watched` follows."""
    if roles.refusal(request):
        return line(roles.refusal(request)), "", *_asked(False)
    numbers = {"runs": runs, "steps": steps, "width": width, "height": height, "batch_size": batch}
    body = {**{name: int(value or 0) for name, value in numbers.items()}, **({"when_idle": True} if when_idle else {})}
    words = {"negative_prompt": negative or "", "prompts": lines(prompts), "sampler": "" if sampler in (None, IN_TURN) else sampler}
    words["networks"] = networks or ""
    said, ident = begin("calibrate", {**body, **words})
    return said + _warned(runs), ident, *_asked(False)


def _warned(runs: float) -> str:
    return line(caution(int(runs or 0))) if caution(int(runs or 0)) else ""


def watched(ident: str, runs: float) -> Iterator[tuple]:
    """Handler that goes on after :func:`start`: progress, plot, table of profiles and Cancel, again and again."""
    import gradio as gr

    if not ident:  # refused: what start said stays
        yield gr.update(), gr.update(), gr.update(), *pressable(running("calibrate"))
    for said, task in watch("calibrate", ident):
        if task is None:
            yield said + _warned(runs), gr.update(), gr.update(), *pressable(running("calibrate"))
        else:
            plot = gr.update(value=tab_profiles.plot(task.result["profile"]), visible=True)
            yield said + _result(task.result), plot, tab_profiles.table(), *pressable(False)


def again() -> tuple:
    """What would be displaced, progress, plot and Cancel as they are now, for a page that was opened again."""
    import gradio as gr

    task = api_jobs.latest("calibrate")
    if task is None or task.state != "done" or not task.result:
        return state_of("calibrate"), gr.update(), *pressable(running("calibrate"))
    plot = tab_profiles.plot(task.result["profile"])
    return state_of("calibrate") + _result(task.result), gr.update(value=plot, visible=plot is not None), *pressable(False)


def stop(request: object = None) -> str:
    """Handler of Cancel."""
    refused = roles.refusal(request)
    return line(refused) if refused else cancel("calibrate")


def _result(result: dict) -> str:
    levels = {
        say(level.capitalize()): (f"{one['threshold']:.2f}", f"{100 * one['measured']:.1f}") for level, one in result["levels"]["watch"].items()
    }
    told = ", ".join(f"{level} {number(threshold)} ({number(share)} %)" for level, (threshold, share) in levels.items())
    said = [say(texts.CALIBRATED, name=result["profile"], runs=result["runs"], levels=told)]
    said += [say(texts.LEFT_OUT, prompts="; ".join(result["left_out"]))] if result["left_out"] else []
    warned = "".join(map(line, [*result["changes"], *filter(None, [result["warning"]])]))
    return line(joined(said)) + warned


def build(profiles: object) -> tuple[object, list, dict]:
    """Build the section; `profiles` is the table that a new profile appears in. Returns the line of progress, all that :func:`again` fills, and what
    :func:`said_before` is told and fills."""
    import gradio as gr

    first = calibrating.Options()
    help_line(texts.CALIBRATE_HELP)
    runs = slider("runs", texts.RUNS, *calibrating.RUNS, first.runs, 1)
    with gr.Accordion(texts.MORE, open=False):
        with columns():
            steps = slider("steps", texts.STEPS, *calibrating.STEPS, first.steps, 1)
            batch = slider("batch_size", texts.BATCH, *calibrating.BATCH, first.batch_size, 1)
        with columns():
            width = slider("width", texts.WIDTH, 0, json_options.SIDE[1] // 2, 0, 8)
            height = slider("height", texts.HEIGHT, 0, json_options.SIDE[1] // 2, 0, 8)
        label, info = texts.SAMPLER
        names = [IN_TURN, *sampling.samplers()]
        sampler = kept(gr.Dropdown(choices=names, value=IN_TURN, label=label, info=info, elem_id=id_of("sampler")))
        negative = text("negative", texts.NEGATIVE, 1)
        prompts = text("prompts", texts.PROMPTS, 3)
    with columns():
        tags = text("networks", texts.NETWORKS, 1)
        fill = beside("networks_fill", texts.FROM_PROMPT)
    before = gr.HTML(said_before(first.runs, ""), elem_id=id_of("calibrate_before"))
    with gr.Row():
        go = button("calibrate", texts.CALIBRATE, variant="primary")
        later = button("calibrate_idle", texts.WHEN_IDLE)
        end = button("cancel_calibrate", texts.CANCEL, interactive=False)
    help_line(say(texts.IDLE_HELP, minutes=f"{idle.MINUTES:g}"))
    with gr.Row():
        really = button("calibrate_really", texts.ALL_THE_SAME, variant="stop", visible=False)
        rather_not = button("calibrate_leave", texts.LEAVE, visible=False)
    progress = gr.HTML("", elem_id=id_of("progress"))
    plot = gr.Image(label=texts.SHAPE, type="pil", interactive=False, visible=False, elem_id=id_of("plot"))
    ident, waits = gr.State(""), gr.State(False)
    given, answers = [runs, steps, width, height, batch, sampler, negative, prompts, tags], [progress, ident, really, rather_not]
    for one, handler, when_idle in ((go, start, False), (later, start_idle, True)):
        started = one.click(asking(handler), inputs=given, outputs=answers, queue=False, **QUIET)
        started.then(watched, inputs=[ident, runs], outputs=[progress, plot, profiles, end], **QUIET)
        one.click(_constant(when_idle), inputs=[], outputs=[waits], queue=False, **QUIET)
    started = really.click(asking(start_it), inputs=[*given, waits], outputs=answers, queue=False, **QUIET)
    started.then(watched, inputs=[ident, runs], outputs=[progress, plot, profiles, end], **QUIET)
    rather_not.click(lambda: (line(say(texts.LEFT)), *_asked(False)), inputs=[], outputs=[progress, really, rather_not], queue=False, **QUIET)
    displacing = {"inputs": [runs, negative, tags], "outputs": [before]}
    for one in (runs, negative, tags):
        one.change(said_before, **displacing, queue=False, **QUIET)
    # What the page's script has found there; the handler hands it on, as gradio 4 wants one.
    fill.click(lambda found: found, _js="(_) => memorizationGuardNetworks()", inputs=[tags], outputs=[tags], show_progress="hidden", queue=False)
    # Past the queue, in which the progress may hold the only place.
    end.click(asking(stop), inputs=[], outputs=[progress], queue=False, **QUIET)
    return progress, [progress, plot, end], displacing


def _constant(value: bool) -> Callable:
    return lambda: value
