"""The verdict under the result, a line that follows the picture chosen in the gallery, and the verdicts that the badges show."""

from __future__ import annotations

import html
import json
from functools import lru_cache
from typing import NamedTuple

from ...guard.history import Point
from ...guard.verdict import EARLY_FLAG, NO_GUIDANCE, NOT_JUDGED, REGIONS, STABLE, Verdict
from ...pictures import chart, overlay
from ...profile.networks import UNKNOWN
from ...trail.image_row import became
from ...trail.infotext import REPLACED_KEY, replaced
from ...trail.reading import Reading, verdicts_of
from ...wording import tags
from ..host import callbacks, texts
from ..host.language import joined, number, say
from ..job import galleries, last_job, ledgering
from ..job.passes import UNFIT, UNGUIDED
from . import flagged, judges
from .reasons import label, plain

#: What a person can do where a pass was not judged for one of these reasons.
_ADVICE = {NO_GUIDANCE: texts.ADVICE_UNGUIDED, UNGUIDED: texts.ADVICE_UNGUIDED, UNFIT: texts.ADVICE_UNFIT}
_CLASS = "memorization-guard"


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
    told = galleries.texts(asked.infotexts)
    kinds = [_kind_of(text) for text in told]
    badges = {one: say(texts.BADGES[one]) for one in kinds if one}
    data = {"answer": str(asked.number), "verdicts": json.dumps(kinds), "words": json.dumps(badges)}
    marks = " ".join(f'data-{name}="{html.escape(value)}"' for name, value in data.items())
    shown = told[asked.index] if 0 <= asked.index < len(told) else None
    return f"<span hidden class='{_CLASS}-answer' {marks}></span>" + (lines(shown) if shown else "")


def _question(text: str | None) -> Question:
    """What the page has sent; nothing where it makes no sense."""
    try:
        given = json.loads(text)
        infotexts = json.loads(given["info"])["infotexts"]
        return Question(int(given["number"]), tuple(one if isinstance(one, str) else "" for one in infotexts), int(given["index"]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return Question()


def kind(verdict: Verdict) -> str:
    """What a verdict comes to for whoever looks at the finished picture: one of :data:`.texts.BADGES`."""
    if not verdict.flagged:
        return "partly" if verdict.verdict == STABLE and verdict.unwatched.endswith(REGIONS) else verdict.verdict
    if verdict.stopped_at:
        return "blanked"
    return became(verdict.damped, verdict.outcome) or verdict.verdict


#: The gravest last.
_GRAVITY = ("stable", "replaced", "partly", "steered", "blanked", NOT_JUDGED, "again", "damped", "mild", "copy", "strong")


@lru_cache(maxsize=512)
def _kind_of(text: str | None) -> str:
    """What the passes of an image come to, empty where the guard was off."""
    found = verdicts_of(text or "")
    passes = [kind(one) for one in found.passes]
    passes = ["replaced" if one == "stable" and replaced(found.params) else one for one in passes]
    return max(passes, key=_GRAVITY.index, default="")


def lines(text: str) -> str:
    """What an infotext says of its picture, one line for each pass, with the terms behind it folded up."""
    found = verdicts_of(text)
    parts = [_pass(found, bool(hires), verdict) for hires, verdict in enumerate((found.first, found.hires)) if verdict is not None]
    if found.inner is not None:
        said = html.escape(say(texts.INNER) + joined(_sentences(found.inner)))
        parts.append(f"<p class='{_CLASS}-{kind(found.inner).replace(' ', '-')}'>{said}</p>")
    parts.append(flagged.buttons([found.first, found.hires]))
    if ledgering.trouble():
        lost = html.escape(say(texts.SENTENCE, said=ledgering.trouble()))
        parts.append(f"<p class='{_CLASS}-not-judged'>{lost}</p>")
    return "".join(parts)


def _pass(found: Reading, hires: bool, read: Verdict) -> str:
    verdict = last_job.verdict(found.params, hires) or read
    seen = last_job.trajectory(found.params, hires)
    before = [] if hires else _replaced(found.params)
    said = (say(texts.HIRES) if hires else "") + joined([*before, *_sentences(verdict), *_number(found.params, hires, verdict, seen)])
    line = f"<p class='{_CLASS}-{kind(verdict).replace(' ', '-')}'>{html.escape(said)}{_calibrate(verdict, _tags(found, hires))}</p>"
    return line + _map(found.params, hires, verdict) + _details(found.params, hires, verdict, seen)


def _replaced(params: dict[str, str]) -> list[str]:
    """In the mode "replace": which picture this one stands for, or why it was not replaced."""
    told = params.get(REPLACED_KEY, "")
    if not told:
        return []
    of = replaced(params)
    return [say(texts.REPLACED, seed=of) if of else say(texts.NOT_REPLACED, reason=plain(told.removeprefix("no - ")))]


def _sentences(verdict: Verdict) -> list[str]:
    """In plain words: what the verdict comes to, what it lacks, what can be done."""
    if not verdict.flagged and verdict.reason:
        said = [say(texts.WHY, reason=plain(verdict.reason))]
    else:
        said = [say(texts.ENDED.get(kind(verdict)) or texts.VERDICTS[verdict.verdict])]
    if verdict.flag and not verdict.damped and not verdict.stopped_at:
        said.append(say(texts.EARLY if verdict.flag == EARLY_FLAG else texts.LATE))
    if kind(verdict) == "again":
        said.append(say(texts.NO_LONGER if verdict.steered else texts.UNTOLD))
    if verdict.flagged and verdict.reason:
        said.append(say(texts.BESIDE, reason=plain(verdict.reason)))
    if verdict.unwatched:
        said.append(_unwatched(verdict))
    return said + [say(_ADVICE[reason]) for reason in (verdict.reason,) if reason in _ADVICE]


#: Evaluations of an image, and the threshold that they were held against.
Seen = tuple[list[Point], float]


def _number(params: dict[str, str], hires: bool, verdict: Verdict, seen: Seen | None) -> list[str]:
    """The one number for people; a damped picture has one for before and one for after, so that neither is taken for the other."""
    judge = last_job.judge(params, hires)
    if judge is None or verdict.score is None or verdict.stopped_at:
        return []
    if verdict.damped:
        if verdict.score_after is None and not seen:
            return []  # an older text may be: its score was the highest on the way, while the prompt pulled back to its copy
        before, after = (judges.times(judges.unusual(score, verdict.detector, judge)) for score in (verdict.score, verdict.score_after or 0.0))
        # Where the end could not be told the last number tells nothing either.
        end_told = verdict.steered
        return [say(texts.BEFORE_AFTER, before=before, after=after) if end_told else say(texts.BEFORE, before=before)]
    multiple = judges.times(judges.unusual(verdict.score, verdict.detector, judge))
    return [say(texts.UNUSUAL if judge.kind == "calibrated" else texts.UNUSUAL_GUESS, times=multiple)]


def _details(params: dict[str, str], hires: bool, verdict: Verdict, seen: Seen | None) -> str:
    """The terms behind the line, folded up: numbers, what was done, what judged, the run step by step."""
    said = _terms(verdict, seen)
    judge = last_job.judged_by(params, hires)
    said += [say(texts.JUDGE, name=label(judge))] if judge else []
    if not said and seen is None:
        return ""
    told = "".join(f"<li>{html.escape(say(texts.SENTENCE, said=one))}</li>" for one in said)
    words = judges.button(texts.WORDS, "glossary")
    summary = html.escape(say(texts.DETAILS))
    return f"<details class='{_CLASS}-details'><summary>{summary}</summary><ul>{told}</ul>{words}{_chart(hires, seen)}</details>"


def _terms(verdict: Verdict, seen: Seen | None) -> list[str]:
    said, detector = [], say(texts.DETECTORS[verdict.detector or "watch"])
    told = "" if verdict.score is None else number(f"{verdict.score:.3g}")
    if verdict.score is not None and verdict.score_after is not None:
        said.append(say(texts.SCORE_BEFORE, score=told, after=number(f"{verdict.score_after:.3g}"), detector=detector))
    elif verdict.score is not None and seen:
        said.append(say(texts.SCORE, score=told, threshold=number(f"{seen[1]:.3g}"), detector=detector))
    elif verdict.score is not None:
        said.append(say(texts.SCORE_ALONE, score=told, detector=detector))
    if verdict.flagged_at:
        said.append(say(texts.FLAGGED_AT, at=verdict.flagged_at, of=verdict.evaluations))
    if verdict.damped:
        said.append(say(texts.DAMPED_IN, count=verdict.damped, of=verdict.evaluations))
    if verdict.carriers:
        said.append(say(texts.CARRIED, words=verdict.carriers))
    if verdict.stopped_at:
        said.append(say(texts.BLANKED_AT, at=verdict.stopped_at))
    return said


def _tags(found: Reading, hires: bool) -> str:
    """The tags of networks in the prompt of a pass."""
    return " ".join(tags((found.params.get("Hires prompt") if hires else "") or found.prompt))


def _chart(hires: bool, seen: Seen | None) -> str:
    """The run step by step, where the image is one of the last job."""
    if seen is None:
        return ""
    title = say(texts.TRAJECTORY_HIRES if hires else texts.TRAJECTORY)
    return f"<div class='{_CLASS}-trajectory'>{chart.trajectory(*seen, title, _drawn, number)}</div>"


def _drawn(text: str, **values: str) -> str:
    """A text of a drawing in the page's language, its numbers too."""
    return say(text, **{name: number(value) if value[:1].isdecimal() else value for name, value in values.items()})


def _map(params: dict[str, str], hires: bool, verdict: Verdict) -> str:
    """Which part was flagged, folded up, where the image is one of the last job and has a map. That of a picture that was damped or blanked is of a
    picture that nobody sees."""
    found = None if verdict.damped or verdict.stopped_at else last_job.local_map(params, hires)
    if found is None:
        return ""
    title = say(texts.PART_HIRES if hires else texts.PART)
    return f"<details class='{_CLASS}-which'><summary>{html.escape(title)}</summary>{overlay.svg(*found, title, _drawn)}</details>"


def _unwatched(verdict: Verdict) -> str:
    """What a verdict is worth that the watch has no part in, or only a part."""
    judged, why = verdict.unwatched.split(" - ", 1)
    regions = say(texts.REGIONS) if why.endswith(REGIONS) else ""
    why = why.removesuffix(REGIONS).removesuffix(" and ")
    if not why:
        return regions
    if judged != "off":
        done, of = judged.split("/")
        said = say(texts.PARTLY_WATCHED, done=done, of=of, reason=plain(why))
    else:
        said = say(texts.UNWATCHED, reason=plain(why))
    return f"{said} {regions}".rstrip()


def _calibrate(verdict: Verdict, tags: str) -> str:
    """Where no profile knows the networks, a button that leads to the calibration with them; the page's script fills in the tags."""
    return " " + judges.button(texts.WITH_NETWORKS, "calibrate", networks=tags) if verdict.reason.startswith(UNKNOWN) else ""
