"""The profiles at the top of the tab: which of them serves, and one of them shown, exported, imported or deleted."""

from __future__ import annotations

import html
import io
import os
import tempfile
from pathlib import Path

from PIL import Image

from ...guard.sensitivity import thresholds
from ...pictures import figures
from ...profile import own_profiles, profiles
from ...profile.profiles import AUTO
from ...trail import scan_report
from ...validation import ValidationError
from ..host import host
from ..job import settings
from ..job.library import LIBRARY
from ..tasks import folders, roles
from .tab_parts import asking, button, id_of, kept, line, to_offer

#: Colour of trials, readable on light and dark.
_TRIAL = "#b7791f"
_HEADS = ("", "Name", "Kind", "Family", "Prediction", "Probe", "Medium")
_NONE = "Choose a profile first."


def table() -> str:
    """All profiles as an HTML table, the one that serves the loaded checkpoint marked, and why it does."""
    model, wanted = host.loaded_model(), settings.defaults().profile
    known = model is not None and type(model).__name__ != "FakeInitialModel"
    served = LIBRARY.serve(wanted, host.describe(model), settings.general_prior_allowed()) if known else None
    rows = []
    for one in LIBRARY.profiles():
        mark = "●" if served is not None and served.profile is one else ""
        limit = thresholds(one.watch, "medium").describe()
        cells = (mark, one.name, one.evidence, one.model.family, one.model.prediction, "yes" if one.probe else "no", limit)
        colour = f" style='color: {_TRIAL}'" if one.trial else ""
        rows.append(f"<tr{colour}>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>")
    if served is None:
        said = "No checkpoint was loaded when this page was made: Refresh shows the profile that serves it now."
    elif served.profile is None:
        said = f"● No profile serves {host.describe(model).checkpoint}: {served.why}."
    else:
        chosen = "" if wanted == AUTO else f" (the setting Profile names {wanted})"
        said = f"● {served.profile.name} serves {host.describe(model).checkpoint}: {served.why}{chosen}."
    refused = "".join(f"<br>Refused: {html.escape(message)}" for message in LIBRARY.refused)
    heads = "".join(f"<th>{head}</th>" for head in _HEADS)
    return (
        f"<style>{scan_report.STYLE}</style><div class='mg-scan'><p>{html.escape(said)}{refused}</p>"
        f"<table><tr>{heads}</tr>{''.join(rows)}</table></div>"
    )


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
    file = io.BytesIO()
    figures.region(file, profile.watch, 7.5, thresholds(profile.watch, "medium").mild, title=f"{name}, guidance 7.5, Medium")
    return Image.open(file)


def show(name: str | None) -> tuple[str, object]:
    """Handler: a profile in words, and its plot."""
    profile = _called(name)
    if profile is None:
        return line(_NONE), None
    model = profile.model
    made_for = f"{profile.name}: {profile.evidence}, for {model.family} with {model.prediction} prediction {model.checkpoint}".rstrip()
    levels = "; ".join(f"{level} {thresholds(profile.watch, level).describe()}" for level in ("low", "medium", "high"))
    wanted = ("prompts", "samplers", "steps", "size", "guidance", "source")
    facts = [f"{key} {_fact(profile.provenance[key])}" for key in wanted if profile.provenance.get(key) not in (None, "", [])]
    trial = line(f"A trial ({profile.trial}): it serves only where the setting Profile names it.") if profile.trial else ""
    return line(made_for + ".") + trial + line(levels + ".") + (line("; ".join(facts) + ".") if facts else ""), plot(name)


def _fact(value: object) -> str:
    said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return said if len(said) <= 200 else said[:199] + "…"


def export(name: str | None, request: object = None) -> tuple[str, object]:
    """Handler: a profile as a file to download."""
    import gradio as gr

    if roles.strange(request):
        return line(roles.strange(request)), gr.update()
    if _called(name) is None:
        return line(_NONE), gr.update()
    target = to_offer(own_profiles.file_name(name))
    own_profiles.hand_out(name, target, list(LIBRARY.folders))
    return line(f"{name} is ready to be downloaded."), gr.update(value=str(target), visible=True)


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
        return line(f"Refused: {error}"), gr.update(), table(), hidden, hidden
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
        raise ValidationError("that file was not uploaded")
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
        return line("Choose a profile's JSON file first."), gr.update(), table()
    try:
        name, _ = own_profiles.bring(_path(upload), LIBRARY.folders[-1], LIBRARY.folders[0])
    except (ValidationError, OSError) as error:
        return line(f"Refused: {error}"), gr.update(), table()
    return line(f"{name} imported."), gr.update(choices=names(), value=name), table()


def _was_uploaded(path: str) -> bool:
    """Whether gradio has put a file there: an old gradio takes the client's word for the path."""
    kept_in = [tempfile.gettempdir(), os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()]
    return any(folders.is_open(path, [folders.Root.of(one, os.sep)]) for one in kept_in)


def ask(name: str | None, request: object = None) -> tuple[str, str, object, object]:
    """Handler of Delete: asks, and shows the button that does it."""
    import gradio as gr

    hidden = gr.update(visible=False)
    if _called(name) is None:
        return line(_NONE), "", hidden, hidden
    if roles.refusal(request):
        return line(roles.refusal(request)), "", hidden, hidden
    if not own_profiles.find(name, LIBRARY.folders[-1]):
        return line(f"{name} is bundled and cannot be deleted."), "", hidden, hidden
    shown = gr.update(visible=True)
    return line(f"Delete {name} and its older versions for good? Export it first if you may want it back."), name, shown, shown


def delete(name: str, request: object = None) -> tuple[str, str, object, object, object, str]:
    """Handler of the second button: delete what was asked about."""
    import gradio as gr

    hidden = gr.update(visible=False)
    try:
        if roles.refusal(request):
            raise ValueError(roles.refusal(request))
        if not name:
            raise ValueError(_NONE)
        own_profiles.delete(name, LIBRARY.folders[-1], LIBRARY.folders[0])
        said = f"{name} deleted."
    except (ValueError, OSError) as error:
        said = str(error)
    return line(said), "", hidden, hidden, gr.update(choices=names(), value=None), table()


def back(name: str | None, request: object = None) -> tuple[str, str]:
    """Handler of Go back: the version before is in force again, and the one that it replaces becomes the version before."""
    try:
        if roles.refusal(request):
            raise ValueError(roles.refusal(request))
        if not name:
            raise ValueError(_NONE)
        profile = own_profiles.back(name, LIBRARY.folders[-1])
        said = f"{name} is the version before again ({profile.evidence}). Go back once more undoes that."
    except (ValueError, OSError) as error:
        said = str(error)
    return line(said), table()


def build() -> tuple[object, object]:
    """Build the part; returns the table and the list of names."""
    import gradio as gr

    shown = gr.HTML(table(), elem_id=id_of("profiles"))
    with gr.Accordion("Show, export, import or delete a profile", open=False):
        chosen = kept(gr.Dropdown(names(), value=None, label="Profile", elem_id=id_of("profile")))
        with gr.Row():
            look = button("profile_show", "Show", variant="primary")
            hand_out = button("profile_export", "Export")
            before = button("profile_back", "Go back")
            remove = button("profile_delete", "Delete…")
        said = gr.HTML("", elem_id=id_of("profile_said"))
        with gr.Row():
            really = button("profile_really", "Delete it for good", variant="stop", visible=False)
            never_mind = button("profile_keep", "Keep it", visible=False)
        picture = gr.Image(label="Stability region of the profile", type="pil", interactive=False, elem_id=id_of("profile_plot"))
        with gr.Row():
            download = gr.File(label="Exported profile", interactive=False, visible=False, elem_id=id_of("profile_file"))
            upload = gr.File(label="A profile's JSON file", file_types=[".json"], elem_id=id_of("profile_upload"))
        take_in = button("profile_import", "Import")
        with gr.Row():
            sure = button("profile_import_really", "Import it", variant="stop", visible=False)
            rather_not = button("profile_import_leave", "Leave it", visible=False)
        asked = gr.State("")
    question = [said, asked, really, never_mind]
    look.click(show, inputs=[chosen], outputs=[said, picture], queue=False)
    hand_out.click(asking(export), inputs=[chosen], outputs=[said, download], queue=False)
    hide = gr.update(visible=False)
    answers = [sure, rather_not]
    take_in.click(asking(ask_import), inputs=[upload], outputs=[said, chosen, shown, *answers], queue=False)
    sure.click(asking(bring_it), inputs=[upload], outputs=[said, chosen, shown, *answers], queue=False)
    rather_not.click(lambda: (line("Left."), hide, hide), inputs=[], outputs=[said, *answers], queue=False)
    # Another file would displace something else.
    upload.change(lambda: (hide, hide), inputs=[], outputs=answers, queue=False)
    before.click(asking(back), inputs=[chosen], outputs=[said, shown], queue=False)
    remove.click(asking(ask), inputs=[chosen], outputs=question, queue=False)
    really.click(asking(delete), inputs=[asked], outputs=[*question, chosen, shown], queue=False)
    never_mind.click(lambda: (line("Kept."), "", gr.update(visible=False), gr.update(visible=False)), inputs=[], outputs=question, queue=False)
    return shown, chosen
