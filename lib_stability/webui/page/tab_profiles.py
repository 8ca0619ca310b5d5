"""The profiles at the top of the tab: which of them serves, and one of them shown, exported, imported or deleted."""

from __future__ import annotations

import html
import io
import os
import tempfile
from pathlib import Path

from PIL import Image

from ...guard.sensitivity import Thresholds, thresholds
from ...pictures import figures
from ...profile import older, own_profiles, profiles
from ...sentences import Figure, Sentence
from ...trail import scan_report
from ...validation import ValidationError
from ..host import temporary, texts
from ..host.language import number, say, told
from ..job import settings
from ..job.library import LIBRARY
from ..tasks import folders, roles
from . import serving
from .tab_parts import QUIET, asking, button, id_of, kept, line, pressable, to_offer

#: CFG scale that the plot is of.
GUIDANCE = 7.5
#: Colour of trials, readable on light and dark.
_TRIAL = "#b7791f"
#: The plot drawn last, of which profile and with which title.
_drawn: list[tuple[profiles.Profile, str, Image.Image]] = []


def serving_profile() -> profiles.Profile | None:
    """The one that serves the loaded checkpoint."""
    served = serving.served_by(settings.defaults().profile)
    return served.profile if served else None


def table() -> str:
    """What judges the loaded checkpoint, in words, and all profiles folded up, that one first."""
    start = settings.defaults()
    said = serving.profile_line(start.profile, start.sensitivity, start.tau)
    serves = serving_profile()
    ranked = sorted(LIBRARY.profiles(), key=lambda one: (one is not serves, one.origin == "bundled"))
    rows = "".join(_row(one, "● " if one is serves else "") for one in ranked)
    heads = "".join(f"<th>{html.escape(say(head))}</th>" for head in texts.HEADS)
    count = html.escape(say(texts.ALL_PROFILES, count=len(ranked)))
    folded = f"<details><summary>{count}</summary><table><tr>{heads}</tr>{rows}</table></details>"
    return f"<style>{scan_report.STYLE}</style>{said}<div class='mg-scan memorization-guard-wide'>{folded}</div>"


def _row(one: profiles.Profile, mark: str) -> str:
    limit, probe = say(thresholds(one.watch, "medium").describe()), say(texts.YES if one.probe else texts.NO)
    cells = (mark + one.name, say(one.evidence), one.model.family, one.model.prediction, probe, limit)
    colour = f" style='color: {_TRIAL}'" if one.trial else ""
    return f"<tr{colour}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def names() -> list[str]:
    """What can be chosen."""
    return LIBRARY.names()[1:]


def _called(name: str | None) -> profiles.Profile | None:
    return next((one for one in reversed(LIBRARY.profiles()) if one.name == name), None)


def plot(name: str) -> Image.Image | None:
    """The region that a profile's watch was fitted with, None where there is no such profile."""
    profile = _called(name)
    if profile is None:
        return None
    temporary.make()
    title = Sentence(texts.PLOT, name=name, scale=Figure(f"{GUIDANCE:g}"), level=Sentence("Medium"))
    if _drawn and _drawn[0][:2] == (profile, say(title)):
        return _drawn[0][2]
    file = io.BytesIO()
    figures.region(file, profile.watch, GUIDANCE, thresholds(profile.watch, "medium").mild, title=title, say=say)
    _drawn[:] = [(profile, say(title), Image.open(file))]
    return _drawn[0][2]


def show(name: str | None) -> tuple[str, object]:
    """Handler: a profile in words, and its plot."""
    profile = _called(name)
    if profile is None:
        return line(say(texts.CHOOSE_FIRST)), None
    model = profile.model
    made_for = say(texts.MADE_FOR, name=profile.name, evidence=profile.evidence, model=model.checkpoint or f"{model.family} ({model.prediction})")
    levels = "; ".join(_level(level, thresholds(profile.watch, level.lower())) for level in ("Low", "Medium", "High"))
    known = {key: profile.provenance[key] for key in texts.FACTS if profile.provenance.get(key) not in (None, "", [])}
    facts = "; ".join(f"{say(texts.FACTS[key])} {_fact(key, value)}" for key, value in known.items())
    trial = line(say(texts.IS_TRIAL)) if profile.trial else ""
    return line(made_for) + trial + line(levels + ".") + (line(facts[0].upper() + facts[1:] + ".") if facts else ""), plot(name)


def _level(level: str, limits: Thresholds) -> str:
    """From which score on a level flags, and how many ordinary images that are."""
    known = "extrapolated" if limits.extrapolated else "measured" if limits.measured else "supposed"
    threshold, share = number(f"{limits.mild:.2f}"), number(f"{100 * limits.false_alarms:.2g}")
    return say(texts.LEVEL[known], level=say(level), threshold=threshold, share=share)


def looked_at(name: str | None) -> tuple:
    """Handler: a profile is chosen; words and plot, and which buttons have something to act on."""
    import gradio as gr

    profile = _called(name)
    words, drawn = show(name) if profile else ("", None)
    own = profile is not None and bool(own_profiles.find(name, LIBRARY.folders[-1]))
    replaced = own and bool(older.versions(name, LIBRARY.folders[-1]))
    return words, gr.update(value=drawn, visible=drawn is not None), *pressable(profile is not None, replaced, own)


def again() -> tuple:
    """Table, names, and the profile that serves with its plot, for a page that was opened again."""
    import gradio as gr

    serves = serving_profile()
    name = serves.name if serves else None
    return table(), gr.update(choices=names(), value=name), *looked_at(name)


def _fact(key: str, value: object) -> str:
    """What is known of a profile; guidance is a range, other lists are what was used in turn."""
    joint = "–" if key == "guidance" else ", "
    words = [number(f"{one:g}") if isinstance(one, float) else str(one) for one in (value if isinstance(value, list) else [value])]
    said = joint.join(words)
    return said if len(said) <= 200 else said[:199] + "…"


def export(name: str | None, request: object = None) -> tuple[str, object]:
    """Handler: a profile as a file to download."""
    import gradio as gr

    if roles.strange(request):
        return line(roles.strange(request)), gr.update()
    if _called(name) is None:
        return line(say(texts.CHOOSE_FIRST)), gr.update()
    target = to_offer(own_profiles.file_name(name))
    own_profiles.hand_out(name, target, list(LIBRARY.folders))
    return line(say(texts.DOWNLOADABLE, name=name)), gr.update(value=str(target), visible=True)


def ask_import(upload: object, request: object = None) -> tuple[str, object, str, object, object]:
    """Handler of Import: says what the file would displace and shows the button that does it; imports what displaces nothing."""
    import gradio as gr

    hidden = gr.update(visible=False)
    if roles.refusal(request):  # before anything is looked at
        return line(roles.refusal(request)), gr.update(), table(), hidden, hidden
    try:
        path = _path(upload)
        found = LIBRARY.outlook(own_profiles.offered(path, LIBRARY.folders[0])) if path else None
    except (ValidationError, OSError) as error:
        return line(say(texts.REFUSED, reason=told(error))), gr.update(), table(), hidden, hidden
    if found is None or not found.displaced:
        return *bring(upload, request), hidden, hidden
    shown = gr.update(visible=True)
    return "".join(map(line, found.lines)), gr.update(), table(), shown, shown


def _path(upload: object) -> Path | None:
    """Where an upload lies.

    Raises
    ------
    ValidationError
        It was not uploaded.
    """
    if upload is None:
        return None
    path = os.path.realpath(getattr(upload, "name", upload))
    if not _was_uploaded(path):
        raise ValidationError(Sentence(texts.OPTIONS["uploaded"]))
    return Path(path)


def bring_it(upload: object, request: object = None) -> tuple[str, object, str, object, object]:
    """Handler of the second button: import what was asked about."""
    import gradio as gr

    return *bring(upload, request), gr.update(visible=False), gr.update(visible=False)


def bring(upload: object, request: object = None) -> tuple[str, object, str]:
    """Handler: import what was uploaded. Its content is checked as any profile's; its name names nothing."""
    import gradio as gr

    if roles.refusal(request):
        return line(roles.refusal(request)), gr.update(), table()
    if upload is None:
        return line(say(texts.FILE_FIRST)), gr.update(), table()
    try:
        name, _ = own_profiles.bring(_path(upload), LIBRARY.folders[-1], LIBRARY.folders[0])
    except (ValidationError, OSError) as error:
        return line(say(texts.REFUSED, reason=told(error))), gr.update(), table()
    return line(say(texts.IMPORTED_NOW, name=name)), gr.update(choices=names(), value=name), table()


def _was_uploaded(path: str) -> bool:
    """Whether gradio has put a file there: an old gradio takes the client's word for the path."""
    kept_in = [tempfile.gettempdir(), os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()]
    return any(folders.is_open(path, [folders.Root.of(one, os.sep)]) for one in kept_in)


def ask(name: str | None, request: object = None) -> tuple[str, str, object, object]:
    """Handler of Delete: asks, and shows the button that does it."""
    import gradio as gr

    hidden = gr.update(visible=False)
    if _called(name) is None:
        return line(say(texts.CHOOSE_FIRST)), "", hidden, hidden
    if roles.refusal(request):
        return line(roles.refusal(request)), "", hidden, hidden
    if not own_profiles.find(name, LIBRARY.folders[-1]):
        return line(say(texts.BUNDLED_STAYS, name=name)), "", hidden, hidden
    shown = gr.update(visible=True)
    return line(say(texts.DELETE_ASKED, name=name)), name, shown, shown


def delete(name: str, request: object = None) -> tuple[str, str, object, object, object, str]:
    """Handler of the second button: delete what was asked about."""
    import gradio as gr

    hidden = gr.update(visible=False)
    try:
        if roles.refusal(request):
            raise ValueError(roles.refusal(request))
        if not name:
            raise ValueError(Sentence(texts.CHOOSE_FIRST))
        own_profiles.delete(name, LIBRARY.folders[-1], LIBRARY.folders[0])
        said = say(texts.DELETED, name=name)
    except (ValueError, OSError) as error:
        said = told(error)
    return line(said), "", hidden, hidden, gr.update(choices=names(), value=None), table()


def back(name: str | None, request: object = None) -> tuple[str, str]:
    """Handler of Go back: the version before is in force again, and the one that it replaces becomes the version before."""
    try:
        if roles.refusal(request):
            raise ValueError(roles.refusal(request))
        if not name:
            raise ValueError(Sentence(texts.CHOOSE_FIRST))
        profile = own_profiles.back(name, LIBRARY.folders[-1])
        said = say(texts.BACK, name=name, evidence=profile.evidence)
    except (ValueError, OSError) as error:
        said = told(error)
    return line(said), table()


def build() -> tuple[object, list]:
    """Build the section; returns the table, and all that :func:`again` fills."""
    import gradio as gr

    # When the page is built nothing may be loaded yet; the page's script asks at every visit.
    shown = gr.HTML("", elem_id=id_of("profiles"))
    chosen = kept(gr.Dropdown(names(), value=None, label=texts.PROFILE, elem_id=id_of("profile")))
    with gr.Row():
        hand_out = button("profile_export", texts.EXPORT, interactive=False)
        before = button("profile_back", texts.GO_BACK, interactive=False)
        remove = button("profile_delete", texts.DELETE, interactive=False)
    said = gr.HTML("", elem_id=id_of("profile_said"))
    with gr.Row():
        really = button("profile_really", texts.DELETE_REALLY, variant="stop", visible=False)
        never_mind = button("profile_keep", texts.KEEP, visible=False)
    download = gr.File(label=texts.EXPORTED, interactive=False, visible=False, elem_id=id_of("profile_file"))
    facts = gr.HTML("", elem_id=id_of("profile_facts"))
    picture = gr.Image(label=texts.SHAPE, type="pil", interactive=False, visible=False, elem_id=id_of("profile_plot"))
    with gr.Accordion(texts.BRING, open=False, elem_id=id_of("bring")):
        upload = gr.File(label=texts.UPLOAD, file_types=[".json"], elem_id=id_of("profile_upload"))
        take_in = button("profile_import", texts.IMPORT, interactive=False)
        with gr.Row():
            sure = button("profile_import_really", texts.IMPORT_REALLY, variant="stop", visible=False)
            rather_not = button("profile_import_leave", texts.LEAVE, visible=False)
    asked = gr.State("")
    question, looks = [said, asked, really, never_mind], [facts, picture, hand_out, before, remove]
    chosen.change(looked_at, inputs=[chosen], outputs=looks, queue=False, **QUIET)
    hand_out.click(asking(export), inputs=[chosen], outputs=[said, download], queue=False, **QUIET)
    hide = gr.update(visible=False)
    answers = [sure, rather_not]
    take_in.click(asking(ask_import), inputs=[upload], outputs=[said, chosen, shown, *answers], queue=False, **QUIET)
    sure.click(asking(bring_it), inputs=[upload], outputs=[said, chosen, shown, *answers], queue=False, **QUIET)
    rather_not.click(lambda: (line(say(texts.LEFT)), hide, hide), inputs=[], outputs=[said, *answers], queue=False, **QUIET)
    # Another file would displace something else.
    upload.change(lambda file: (hide, hide, *pressable(file is not None)), inputs=[upload], outputs=[*answers, take_in], queue=False, **QUIET)
    gone = before.click(asking(back), inputs=[chosen], outputs=[said, shown], queue=False, **QUIET)
    gone.then(looked_at, inputs=[chosen], outputs=looks, queue=False, **QUIET)
    remove.click(asking(ask), inputs=[chosen], outputs=question, queue=False, **QUIET)
    really.click(asking(delete), inputs=[asked], outputs=[*question, chosen, shown], queue=False, **QUIET)
    never_mind.click(lambda: (line(say(texts.KEPT)), "", hide, hide), inputs=[], outputs=question, queue=False, **QUIET)
    return shown, [shown, chosen, *looks]
