"""The accordion "Calibrate the loaded checkpoint"."""

from __future__ import annotations

from collections.abc import Iterator

from ...profile.calibration import FEW, caution
from ...profile.displacing import Outlook
from ..host import sampling
from ..tasks import calibrating, roles
from . import tab_profiles
from .tab_parts import asking, begin, button, cancel, id_of, kept, line, lines, slider, text, watch

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
    if roles.refusal(request):  # before a checkpoint is hashed
        return line(roles.refusal(request)), "", *_asked(False)
    found = _outlook(runs, negative, networks, hashing=True)
    if found.calibrations:
        return "".join(map(line, found.lines)), "", *_asked(True)
    return start_it(runs, steps, width, height, batch, sampler, negative, prompts, networks, request)


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
    request: object = None,
) -> tuple[str, str, object, object]:
    """Handler of the second button: starts it where `request` comes from one who may; progress, and what :func:`watched` follows."""
    if roles.refusal(request):
        return line(roles.refusal(request)), "", *_asked(False)
    numbers = {"runs": runs, "steps": steps, "width": width, "height": height, "batch_size": batch}
    body = {name: int(value or 0) for name, value in numbers.items()}
    texts = {"negative_prompt": negative or "", "prompts": lines(prompts), "sampler": "" if sampler in (None, IN_TURN) else sampler}
    texts["networks"] = networks or ""
    said, ident = begin("calibrate", {**body, **texts})
    return said + _warned(runs), ident, *_asked(False)


def _warned(runs: float) -> str:
    return line(caution(int(runs or 0))) if caution(int(runs or 0)) else ""


def watched(ident: str, runs: float) -> Iterator[tuple]:
    """Handler that goes on after :func:`start`: progress, plot and table of profiles, again and again."""
    import gradio as gr

    if not ident:  # refused: what start said stays
        yield gr.update(), gr.update(), gr.update()
    for said, task in watch("calibrate", ident):
        if task is None:
            yield said + _warned(runs), gr.update(), gr.update()
        else:
            yield said + _result(task.result), tab_profiles.plot(task.result["profile"]), tab_profiles.table()


def stop(request: object = None) -> str:
    """Handler of Cancel."""
    refused = roles.refusal(request)
    return line(refused) if refused else cancel("calibrate")


def _result(result: dict) -> str:
    levels = result["levels"]["watch"]
    said = ", ".join(f"{level} z > {one['threshold']:.2f} ({100 * one['measured']:.1f} %)" for level, one in levels.items())
    left_out = f" Left out, they look like copies: {'; '.join(result['left_out'])}." if result["left_out"] else ""
    warned = "".join(map(line, [*result["changes"], *filter(None, [result["warning"]])]))
    return line(f"Profile {result['profile']} from {result['runs']} runs. Thresholds and false alarms among its own runs: {said}.{left_out}") + warned


def build(profiles: object) -> object:
    """Build the accordion; `profiles` is the table that a new profile appears in. Returns the line of progress."""
    import gradio as gr

    first = calibrating.Options()
    with gr.Accordion("Calibrate the loaded checkpoint", open=True):
        gr.HTML(
            "<p>Samples ordinary prompts, saves no picture, and writes a profile for this checkpoint. Generations may go on meanwhile. "
            f"Below {FEW} runs the thresholds, above all those of Low and of strong, rest on extrapolation: take {first.runs} for keeps.</p>"
        )
        with gr.Row():
            runs = slider("runs", "Reference runs", *calibrating.RUNS, first.runs, 1)
            steps = slider("steps", "Steps", *calibrating.STEPS, first.steps, 1)
            batch = slider("batch_size", "Batch size", *calibrating.BATCH, first.batch_size, 1)
        with gr.Row():
            width = slider("width", "Width (0: the family's own)", 0, 2048, 0, 8)
            height = slider("height", "Height (0: the family's own)", 0, 2048, 0, 8)
        sampler = kept(
            gr.Dropdown(
                choices=[IN_TURN, *sampling.samplers()],
                value=IN_TURN,
                label="Sampler",
                info=f"The region does not depend on the sampler, the scatter does: {len(calibrating.SAMPLERS)} in turn, or the only one you use",
                elem_id=id_of("sampler"),
            )
        )
        negative = text("negative", "Negative prompt (empty: for generations without one; the probe serves all)", 1)
        with gr.Row():
            tags = text("networks", "Networks (LoRA and the like) that are on in every run, as in a prompt: <lora:name:0.8>", 1)
            fill = button("networks_fill", "From the prompt", scale=0, min_width=160)
        prompts = text("prompts", "Ordinary prompts of your own, one a line (empty: the bundled ones)", 3)
        before = gr.HTML(said_before(first.runs, ""), elem_id=id_of("calibrate_before"))
        with gr.Row():
            go = button("calibrate", "Calibrate", variant="primary")
            end = button("cancel_calibrate", "Cancel")
        with gr.Row():
            really = button("calibrate_really", "Calibrate it all the same", variant="stop", visible=False)
            rather_not = button("calibrate_leave", "Leave it", visible=False)
        progress = gr.HTML("", elem_id=id_of("progress"))
        plot = gr.Image(label="Stability region", type="pil", interactive=False, elem_id=id_of("plot"))
        ident = gr.State("")
    given, answers = [runs, steps, width, height, batch, sampler, negative, prompts, tags], [progress, ident, really, rather_not]
    for one, handler in ((go, start), (really, start_it)):
        started = one.click(asking(handler), inputs=given, outputs=answers, queue=False)
        started.then(watched, inputs=[ident, runs], outputs=[progress, plot, profiles])
    rather_not.click(lambda: (line("Left."), *_asked(False)), inputs=[], outputs=[progress, really, rather_not], queue=False)
    for one in (runs, negative, tags):
        one.change(said_before, inputs=[runs, negative, tags], outputs=[before], queue=False)
    # What the page's script has found there; the handler hands it on, as gradio 4 wants one.
    fill.click(lambda found: found, _js="(_) => memorizationGuardNetworks()", inputs=[tags], outputs=[tags], show_progress="hidden", queue=False)
    # Past the queue, in which the progress may hold the only place.
    end.click(asking(stop), inputs=[], outputs=[progress], queue=False)
    return progress
