"""The accordion "Calibrate the loaded checkpoint"."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...profile.calibration import FEW, caution
from ...profile.displacing import Outlook
from ..host import sampling
from ..tasks import calibrating
from . import tab_profiles
from .tab_parts import button, cancel, follow, id_of, kept, line, lines, slider, text

#: Stands for :data:`.calibrating.SAMPLERS`.
IN_TURN = "Several in turn"


def said_before(runs: float, negative: str) -> str:
    """Handler: the lines above the button."""
    return "".join(map(line, _outlook(runs, negative, hashing=False).lines))


def _outlook(runs: float, negative: str, hashing: bool) -> Outlook:
    return calibrating.outlook(calibrating.Options(runs=int(runs or 0), negative_prompt=(negative or "").strip()), hashing)


def calibrate(
    runs: float, steps: float, width: float, height: float, batch: float, sampler: str, negative: str, prompts: str, sure: bool = False
) -> Iterator[tuple]:
    """Handler of the button: progress, plot, table of profiles and the two buttons that ask, again and again."""
    import gradio as gr

    found, hidden, shown = _outlook(runs, negative, hashing=True), gr.update(visible=False), gr.update(visible=True)
    if found.calibrations and not sure:
        yield "".join(map(line, found.lines)), gr.update(), gr.update(), shown, shown
        return
    numbers = {"runs": runs, "steps": steps, "width": width, "height": height, "batch_size": batch}
    body = {name: int(value or 0) for name, value in numbers.items()}
    warned = line(caution(body["runs"])) if caution(body["runs"]) else ""
    texts = {"negative_prompt": negative or "", "prompts": lines(prompts), "sampler": "" if sampler in (None, IN_TURN) else sampler}
    for said, task in follow("calibrate", {**body, **texts}):
        if task is None:
            yield said + warned, gr.update(), gr.update(), hidden, hidden
        else:
            yield said + _result(task.result), tab_profiles.plot(task.result["profile"]), tab_profiles.table(), hidden, hidden


def _result(result: dict) -> str:
    levels = result["levels"]["watch"]
    said = ", ".join(f"{level} z > {one['threshold']:.2f} ({100 * one['measured']:.1f} %)" for level, one in levels.items())
    left_out = f" Left out, they look like copies: {'; '.join(result['left_out'])}." if result["left_out"] else ""
    warned = "".join(map(line, [*result["changes"], *filter(None, [result["warning"]])]))
    return line(f"Profile {result['profile']} from {result['runs']} runs. Thresholds and false alarms among its own runs: {said}.{left_out}") + warned


def build(profiles: object) -> object:
    """Build the accordion; `profiles` is the table that a new profile appears in. Returns the line of progress."""
    import gradio as gr

    start = calibrating.Options()
    with gr.Accordion("Calibrate the loaded checkpoint", open=True):
        gr.HTML(
            "<p>Samples ordinary prompts, saves no picture, and writes a profile for this checkpoint. Generations may go on meanwhile. "
            f"Below {FEW} runs the thresholds, above all those of Low and of strong, rest on extrapolation: take {start.runs} for keeps.</p>"
        )
        with gr.Row():
            runs = slider("runs", "Reference runs", *calibrating.RUNS, start.runs, 1)
            steps = slider("steps", "Steps", *calibrating.STEPS, start.steps, 1)
            batch = slider("batch_size", "Batch size", *calibrating.BATCH, start.batch_size, 1)
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
        prompts = text("prompts", "Ordinary prompts of your own, one a line (empty: the bundled ones)", 3)
        before = gr.HTML(said_before(start.runs, ""), elem_id=id_of("calibrate_before"))
        with gr.Row():
            begin = button("calibrate", "Calibrate", variant="primary")
            stop = button("cancel_calibrate", "Cancel")
        with gr.Row():
            really = button("calibrate_really", "Calibrate it all the same", variant="stop", visible=False)
            rather_not = button("calibrate_leave", "Leave it", visible=False)
        progress = gr.HTML("", elem_id=id_of("progress"))
        plot = gr.Image(label="Stability region", type="pil", interactive=False, elem_id=id_of("plot"))
    given, answers = [runs, steps, width, height, batch, sampler, negative, prompts], [progress, plot, profiles, really, rather_not]
    begin.click(calibrate, inputs=given, outputs=answers)
    really.click(partial(calibrate, sure=True), inputs=given, outputs=answers)
    hide = gr.update(visible=False)
    rather_not.click(lambda: (line("Left."), hide, hide), inputs=[], outputs=[progress, really, rather_not], queue=False)
    for one in (runs, negative):
        one.change(said_before, inputs=[runs, negative], outputs=[before], queue=False)
    # Past the queue, in which the progress may hold the only place.
    stop.click(lambda: cancel("calibrate"), inputs=[], outputs=[progress], queue=False)
    return progress
