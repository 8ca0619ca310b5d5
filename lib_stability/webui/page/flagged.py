"""What a person may ask about a flagged image, under its verdict: which words carry it, and which training picture it is nearest to.

Two buttons of the verdict's own HTML; the page's script (``javascript/memorization_guard_flagged.js``) presses hidden ones that hold the handlers,
and hands over what is shown: the infotext, and the picture itself, made small.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...guard.verdict import Verdict
from ...sentences import reason
from ...trail import shares_report
from ...trail.reading import verdicts_of
from ...validation import Field, ValidationError
from ...wording import tags
from ..host import callbacks, texts
from ..host.language import say
from ..job import indexes, settings
from ..tasks import explaining, matching, roles
from . import nearest
from .tab_parts import asking, follow, line


class Shown(NamedTuple):
    """What the page shows: the infotext of the picture, and the picture as a data URI."""

    infotext: str = ""
    picture: str = ""


def register() -> None:
    callbacks.once("after_component", _beside_verdict)


def buttons(passes: list[Verdict | None]) -> str:
    """The buttons, for an image of which a pass is flagged; the second always, where an index is there."""
    flagged = any(one is not None and one.flagged for one in passes)
    wanted = [("words", texts.WHICH_WORDS)] * flagged + [("picture", texts.WHICH_PICTURE)] * bool(indexes.names())
    made = (f"<button type='button' class='memorization-guard-more' data-wanted='{name}'>{html.escape(say(said))}</button>" for name, said in wanted)
    return f"<div class='memorization-guard-mores'>{''.join(made)}</div>" if wanted else ""


def _beside_verdict(component: object, **kwargs: object) -> None:
    """Put the place for answers and the hidden buttons behind the host's infotext of txt2img and img2img."""
    elem_id = kwargs.get("elem_id")
    if elem_id not in ("html_info_txt2img", "html_info_img2img"):
        return
    import gradio as gr
    from gradio.context import Context

    if Context.root_block is None:  # gradio 4 makes a component that is updated anew, outside of the page
        return
    tab = elem_id.removeprefix("html_info_")
    ours = gr.HTML("", elem_id=f"memorization_guard_more_{tab}", elem_classes=["memorization-guard-more-answer"])
    sent = gr.Textbox("", visible=False, elem_id=f"memorization_guard_shown_{tab}")
    sent.do_not_save_to_config = True
    # What yields goes through gradio's queue; what wants to know who asks does not.
    for name, handler, queue in (("words", words, None), ("picture", asking(picture), False)):
        ask = gr.Button(visible=False, elem_id=f"memorization_guard_{name}_{tab}")
        gathered = f"() => memorizationGuardShown('{tab}', '{name}')"
        ask.click(handler, _js=gathered, inputs=[sent], outputs=[ours], show_progress="hidden", queue=queue)


def shown(text: str | None) -> Shown:
    """What the page has sent; nothing where it makes no sense."""
    try:
        given = Field(json.loads(text), "shown").object()
        return Shown(given["infotext"].text(1_000_000), given["picture"].text(matching.MOST_LETTERS))
    except (TypeError, ValueError, RecursionError):
        return Shown()


def words(sent: str | None) -> Iterator[str]:
    """Handler: progress, and at the end the prompt with its words shaded, and what to leave out."""
    found = verdicts_of(shown(sent).infotext)
    if not found.prompt:
        yield line(say(texts.NOTHING_TO_EXPLAIN))
        return
    try:
        body = body_of(found)
    except ValidationError as error:
        yield line(reason(error))
        return
    for said, task in follow("explain", body):
        yield said
        if task is not None:
            yield explained(task.result["rows"])


def explained(rows: Iterable[dict]) -> str:
    """Prompts with their words shaded, and what to leave out."""
    return f"<style>{shares_report.STYLE}</style>" + "".join(shares_report.block(row, say) for row in rows)


def body_of(found: object) -> dict:
    """What is asked of :mod:`..tasks.explaining` about a picture: its prompt as it was judged, at its size, from its seed on."""
    params, start = found.params, settings.defaults()
    width, _, height = params.get("Size", "").partition("x")
    hires = found.hires is not None and found.hires.flagged and not (found.first is not None and found.first.flagged)
    prompt = (params.get("Hires prompt") if hires else "") or found.prompt
    networks = "".join(tags(prompt))
    seed = params.get("Seed", "")
    body = {
        "captions": [prompt],
        "networks": "" if networks else "".join(tags(found.prompt)),
        "negative_prompt": found.negative.strip(),
        "seeds": explaining.Options.seeds,
        "first_seed": int(seed) % 2**32 if seed.isascii() and seed.isdigit() else 0,
        "sensitivity": found.settings.sensitivity if found.settings.sensitivity != "custom" else start.sensitivity,
        "profile": found.settings.profile,
    }
    for name, side in (("width", width), ("height", height)):
        if side.isascii() and side.isdigit() and len(side) < 6 and int(side) % 8 == 0:
            body[name] = int(side)
    return body


def picture(sent: str | None, request: object = None) -> str:
    """Handler: the nearest training pictures."""
    if roles.strange(request):
        return line(roles.strange(request))
    try:
        image = matching.picture(Field(shown(sent).picture, "picture"))
        asked, near = matching.find(image, str(settings.option("match_index", "") or ""))
    except ValueError as error:
        return line(reason(error))
    return nearest.cards(asked, near, not roles.refusal(request))
