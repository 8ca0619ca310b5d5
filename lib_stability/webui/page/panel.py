"""The verdict under the result: a line of HTML that follows the infotext of the selected image."""

from __future__ import annotations

import html
import re

from ...guard.verdict import NOT_JUDGED, Verdict
from ...pictures import chart, overlay
from ...trail.infotext import parse_text, read
from ..host import callbacks
from ..job import last_job

#: Verdicts as people read them.
_SAID = {
    "stable": "Stable: nothing in this run looks like a memorized picture",
    "mild": "Mild: this run left the stability region; the image may reproduce a training picture",
    "strong": "Strong: this image very probably reproduces a training picture",
    NOT_JUDGED: "Not judged",
}


def register() -> None:
    callbacks.once("after_component", _beside_infotext)


def _beside_infotext(component: object, **kwargs: object) -> None:
    """Put our line behind the host's infotext of txt2img and img2img, and let it follow."""
    elem_id = kwargs.get("elem_id")
    if elem_id not in ("html_info_txt2img", "html_info_img2img"):
        return
    import gradio as gr

    ours = gr.HTML("", elem_id=f"memorization_guard_verdict_{elem_id.removeprefix('html_info_')}", elem_classes=["memorization-guard-verdict"])
    component.change(from_infotext_html, inputs=[component], outputs=[ours], show_progress="hidden")


def from_infotext_html(shown: str | None) -> str:
    """The verdict line of an infotext as the host shows it (paragraph, escaped, ``<br>`` for newlines)."""
    text = html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<br\s*/?>\n?", "\n", shown or "")))
    params = parse_text(text)[2]
    settings, *verdicts = read(params)
    if not settings.enabled:
        return ""
    lines = []
    for hires, verdict in enumerate(verdicts):
        if verdict is not None:
            said = _line("Hires pass: " if hires else "", verdict, last_job.judged_by(params, bool(hires)))
            lines.append(said + _map(params, bool(hires)) + _chart(params, bool(hires)))
    return "".join(lines)


def _chart(params: dict[str, str], hires: bool) -> str:
    """The trajectory, folded up, where the image is one of the last job."""
    found = last_job.trajectory(params, hires)
    if found is None:
        return ""
    drawn = chart.trajectory(*found, "Trajectory of the hires pass" if hires else "Trajectory")
    return f"<details class='memorization-guard-trajectory'><summary>Trajectory</summary>{drawn}</details>"


def _map(params: dict[str, str], hires: bool) -> str:
    """Which part was flagged, folded up, where the image is one of the last job and has a map."""
    found = last_job.local_map(params, hires)
    if found is None:
        return ""
    drawn = overlay.svg(*found, "Which part, hires pass" if hires else "Which part")
    return f"<details class='memorization-guard-which'><summary>Which part</summary>{drawn}</details>"


def _line(prefix: str, verdict: Verdict, judge: str = "") -> str:
    said = [_SAID[verdict.verdict] + (f", {verdict.reason}" if verdict.reason else "")]
    if verdict.score is not None:
        said.append(f"score {verdict.score:g}")
    if verdict.flagged_at:
        said.append(f"flagged at evaluation {verdict.flagged_at} of {verdict.evaluations} by the {verdict.detector or 'watch'}")
    if verdict.damped:
        said.append(f"damped in {verdict.damped}")
    if verdict.stopped_at:
        said.append(f"blanked from evaluation {verdict.stopped_at} on")
    if judge:
        said.append(f"judged by {judge}")
    kind = verdict.verdict.replace(" ", "-")
    return f"<p class='memorization-guard-{kind}'>{html.escape(prefix + '; '.join(said))}.</p>"
