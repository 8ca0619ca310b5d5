"""The verdict under the result, a line that follows the picture chosen in the gallery, and the verdicts that the badges show."""

from __future__ import annotations

import html
import json
from functools import lru_cache
from typing import NamedTuple

from ...guard.verdict import NOT_JUDGED, STEERED, UNCERTAIN, Verdict, gravest
from ...pictures import chart, overlay
from ...profile.networks import UNKNOWN
from ...trail.reading import Reading, verdicts_of
from ...wording import tags
from ..host import callbacks
from ..job import galleries, last_job, ledgering
from ..job.passes import UNFIT, UNGUIDED
from . import flagged

#: Verdicts as people read them.
_SAID = {
    "stable": "Stable: nothing in this run looks like a memorized picture",
    "mild": "Mild: this run left the stability region; the image may reproduce a training picture",
    "strong": "Strong: this image very probably reproduces a training picture",
    NOT_JUDGED: "Not judged",
}
#: Damped images as people read them.
_ENDED = {
    STEERED: "Steered away: it would have reproduced a training picture; the finished picture no longer looks like one",
    UNCERTAIN: "Damped: this run would have reproduced a training picture; whether the finished picture still does could not be told",
}
#: The badge of an image that was steered away: short enough for the smallest thumbnails.
_STEERED_BADGE = "steered"
#: What a person can do where a pass was not judged for one of these reasons.
_ADVICE = {
    UNGUIDED: "set the probe to Auto, or the CFG scale to 2 or more where the model takes it",
    UNFIT: "choose another one, Euler or DPM++ 2M for instance",
}


class Question(NamedTuple):
    """What the page asks when it shows another result or another picture of it."""

    number: int = 0
    infotexts: tuple[str, ...] = ()
    index: int = 0


def register() -> None:
    callbacks.once("after_component", _beside_infotext)


def _beside_infotext(component: object, **kwargs: object) -> None:
    """Put our line behind the host's infotext of txt2img and img2img, and a hidden button by which the page's script asks for it.

    Nothing of the page is listened to: on gradio 4 every update of the page counts as a change of each block of HTML.
    """
    elem_id = kwargs.get("elem_id")
    if elem_id not in ("html_info_txt2img", "html_info_img2img"):
        return
    import gradio as gr
    from gradio.context import Context

    if Context.root_block is None:  # gradio 4 makes a component that is updated anew, outside of the page
        return
    tab = elem_id.removeprefix("html_info_")
    ours = gr.HTML("", elem_id=f"memorization_guard_verdict_{tab}", elem_classes=["memorization-guard-verdict"])
    ask = gr.Button(visible=False, elem_id=f"memorization_guard_ask_{tab}")
    asking = f"() => memorizationGuardQuestion('{tab}')"
    ask.click(answer, _js=asking, inputs=[ours], outputs=[ours], show_progress="hidden", queue=False)


def answer(question: str | None) -> str:
    """The verdict line of the picture that is shown, and the verdicts of the whole gallery, which the page's script makes badges of."""
    asked = _question(question)
    texts = galleries.texts(asked.infotexts)
    words = json.dumps([_word(text) for text in texts])
    told = f'<span hidden class=\'memorization-guard-answer\' data-answer="{asked.number}" data-verdicts="{html.escape(words)}"></span>'
    shown = texts[asked.index] if 0 <= asked.index < len(texts) else None
    return told + (lines(shown) if shown else "")


def _question(text: str | None) -> Question:
    """What the page has sent; nothing where it makes no sense."""
    try:
        given = json.loads(text)
        infotexts = json.loads(given["info"])["infotexts"]
        return Question(int(given["number"]), tuple(one if isinstance(one, str) else "" for one in infotexts), int(given["index"]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return Question()


@lru_cache(maxsize=512)
def _word(text: str | None) -> str:
    """The verdict of an image's passes in one word, empty where the guard was off."""
    found = verdicts_of(text or "")
    if not found.passes:
        return ""
    worst = gravest(found.passes)
    return _STEERED_BADGE if worst.outcome == STEERED else worst.verdict


def lines(text: str) -> str:
    """The verdict line of an infotext, one for each pass, with what is known of the image beside."""
    found = verdicts_of(text)
    parts = []
    for hires, verdict in enumerate((found.first, found.hires)):
        if verdict is not None:
            said = _line("Hires pass: " if hires else "", verdict, last_job.judged_by(found.params, bool(hires)), _tags(found, bool(hires)))
            parts.append(said + _map(found.params, bool(hires)) + _chart(found.params, bool(hires)))
    if found.inner is not None:
        parts.append(_line("What another tool sampled to finish it: ", found.inner))
    parts.append(flagged.buttons([found.first, found.hires]))
    if ledgering.trouble():
        parts.append(f"<p class='memorization-guard-not-judged'>{html.escape(ledgering.trouble())}.</p>")
    return "".join(parts)


def _tags(found: Reading, hires: bool) -> str:
    """The tags of networks in the prompt of a pass."""
    return " ".join(tags((found.params.get("Hires prompt") if hires else "") or found.prompt))


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


def _line(prefix: str, verdict: Verdict, judge: str = "", tags: str = "") -> str:
    first = _ENDED.get(verdict.outcome, _SAID[verdict.verdict]) if verdict.flagged else _SAID[verdict.verdict]
    said = [first + (f", {verdict.reason}" if verdict.reason else "")]
    if verdict.unwatched:
        said.append(_unwatched(verdict))
    if verdict.reason in _ADVICE:
        said.append(_ADVICE[verdict.reason])
    if verdict.score is not None:
        said.append(f"score {verdict.score:g} before it was steered" if verdict.outcome == STEERED else f"score {verdict.score:g}")
    if verdict.flagged_at:
        said.append(f"flagged at evaluation {verdict.flagged_at} of {verdict.evaluations} by the {verdict.detector or 'watch'}")
    if verdict.damped:
        said.append(f"damped in {verdict.damped}")
    if verdict.carriers:
        said.append(f"carried by: {verdict.carriers}")
    if verdict.stopped_at:
        said.append(f"blanked from evaluation {verdict.stopped_at} on")
    if judge:
        said.append(f"judged by {judge}")
    kind = _STEERED_BADGE if verdict.flagged and verdict.outcome == STEERED else verdict.verdict.replace(" ", "-")
    return f"<p class='memorization-guard-{kind}'>{html.escape(prefix + '; '.join(said))}.{_calibrate(verdict, tags)}</p>"


def _unwatched(verdict: Verdict) -> str:
    """What a verdict is worth that the watch has no part in, or only a part."""
    judged, why = verdict.unwatched.split(" - ", 1)
    if judged != "off":
        return f"the watch could judge {judged.replace('/', ' of ')} evaluations only ({why})"
    return f"this rests on a few early looks alone and is worth less, the watch was off ({why})"


def _calibrate(verdict: Verdict, tags: str) -> str:
    """Where no profile knows the networks, a button that leads to the calibration with them; the page's script fills in the tags."""
    if not verdict.reason.startswith(UNKNOWN):
        return ""
    return f" <button type='button' class='memorization-guard-calibrate' data-networks=\"{html.escape(tags)}\">Calibrate with these networks</button>"
