"""The accordion of the page: its controls, how infotext is pasted into them, and the line that says which profile serves."""

from __future__ import annotations

import html
import json

import gradio as gr

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.damping import STRENGTH_RANGE
from ...guard.options import MODES
from ...guard.probe import MAX_EVALUATIONS
from ...guard.probe import POLICIES as PROBES
from ...guard.sensitivity import LEVELS, TARGETS, TAU_RANGE, thresholds
from ...trail.infotext import PREFIX, SETTINGS, read
from ...validation import ValidationError
from ..host import host
from ..job import arguments, pace, settings
from ..job.library import LIBRARY, Served
from ..tasks import calibrating, json_options

_DAMPING_HINT = (
    "Reword: the prompt less one part, in turn; flagged images take about three times as long. Directional, Radial: at no cost, less effective"
)
_LEVELS_HINT = ", ".join(f"{level.capitalize()} flags {100 * rate:g} % of ordinary images" for level, rate in TARGETS.items())


def profile_line(profile: str, sensitivity: str, tau: float) -> str:
    """HTML line: which profile serves the loaded checkpoint, its kind, and its false-alarm rate at this level."""
    try:
        chosen = arguments.parse([{"profile": profile, "sensitivity": sensitivity, "tau": tau}])
    except ValidationError as error:
        text, advice = str(error), ""
    else:
        served = _served(chosen.profile)
        text = served.describe(chosen) if served else "No checkpoint is loaded yet: the profile is chosen at the first generation."
        advice = _advice() if served and served.profile is None else ""
    refused = "".join(f"<br>Refused: {html.escape(message)}" for message in LIBRARY.refused)
    return f"<p class='memorization-guard-profile'>{html.escape(text)}{advice}{refused}</p>"


def _advice() -> str:
    """What to do where nothing serves the loaded checkpoint, about how long it takes, and a button that leads there."""
    model, usual = host.describe(host.loaded_model()), calibrating.Options()
    width, height = json_options.size(usual, model.family)
    found = pace.minutes(model.checkpoint, usual.runs, usual.steps, width * height)
    takes = f"about {found} minute{'s' * (found != 1)}" if found else f"{usual.runs} runs"
    return f" <button type='button' class='memorization-guard-calibrate'>Calibrate: {takes}</button>"


def _served(profile: str) -> Served | None:
    """Which profile serves the loaded checkpoint, None before one is loaded."""
    model = host.loaded_model()
    if model is None or type(model).__name__ == "FakeInitialModel":
        return None
    return LIBRARY.serve(profile, host.describe(model), settings.general_prior_allowed())


def custom_threshold(level: str, before: str, profile: str) -> dict:
    """Where a person who chooses "Custom" starts: at the threshold of the level that was in force."""
    if level.lower() != "custom" or before.lower() not in LEVELS[:-1]:
        return gr.update()
    served = _served(profile)
    if served is None or served.profile is None:
        return gr.update()
    return gr.update(value=round(thresholds(served.profile.watch, before.lower()).mild, 1))


def settled(level: str, before: str, profile: str, tau: float) -> tuple:
    """Threshold and line once a person has ceased to change them: gradio 3 drops a change while the answer to the one before is under way."""
    start = custom_threshold(level, before, profile)
    return start, profile_line(profile, level, start.get("value", tau))


def _as_control(name: str, value: object) -> object:
    """The value of a setting as its control has it: words with a capital, numbers as floats."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value if name == "profile" else value.capitalize()
    return float(value)


class Controls:
    """Builds the accordion of one tab, inside the host's blocks."""

    def __init__(self, tab: str) -> None:
        # At the top of the module they would be those of before "Reload UI".
        from modules.ui_components import InputAccordion, ToolButton

        self._start = start = settings.defaults()
        self._tab = tab
        with InputAccordion(start.enabled, label="Memorization Guard", elem_id=self._id("enabled")) as self.enabled:
            with gr.Row():
                self.mode = self._radio("mode", "When an image is flagged", MODES, start.mode)
                with gr.Column():
                    self.sensitivity = self._radio("sensitivity", "Sensitivity", LEVELS, start.sensitivity, info=_LEVELS_HINT)
                    custom = start.sensitivity == "custom"
                    self.tau = self._slider("tau", "Threshold of Custom", TAU_RANGE, start.tau, 0.1, visible=custom)
            with gr.Row():
                self.profile = gr.Dropdown(LIBRARY.names(), value=start.profile, label="Profile", elem_id=self._id("profile"))
                refresh = ToolButton("\U0001f504", elem_id=self._id("refresh"))
            line = gr.HTML(profile_line(start.profile, start.sensitivity, start.tau), elem_id=self._id("line"))
            with gr.Accordion("Advanced", open=False):
                with gr.Row():
                    self.damping = self._radio("damping", "Damping", DAMPINGS, start.damping, info=_DAMPING_HINT)
                    self.strength = self._slider("strength", "Strength of directional damping", STRENGTH_RANGE, start.strength, 0.1)
                with gr.Row():
                    self.probe = self._radio("probe", "Probe against the empty prompt", PROBES, start.probe)
                    self.probe_evaluations = self._slider(
                        "probe_evaluations", "Probed evaluations", (1, MAX_EVALUATIONS), float(start.probe_evaluations), 1
                    )
            settle, renew = (gr.Button(visible=False, elem_id=self._id(name)) for name in ("settle", "renew"))
        # The Settings section keeps the defaults; the host would freeze those of the first start.
        for control in (*self.all(), getattr(self.enabled, "accordion", None)):
            if control is not None:
                control.do_not_save_to_config = True
        shown = [self.profile, self.sensitivity, self.tau]
        for control in (self.enabled, *shown):
            control.change(profile_line, inputs=shown, outputs=[line], show_progress="hidden")
        # In the browser alone: no answer that could be dropped or come late.
        only_custom = "(level) => [{visible: level === 'Custom', __type__: 'update'}]"
        self.sensitivity.change(None, _js=only_custom, inputs=[self.sensitivity], outputs=[self.tau])
        # Pressed by the page's script where a person changes something: gradio tells of a pasted level just so, whose threshold has to stay.
        before = f"(level, _, profile, tau) => [level, memorizationGuardLevel('{tab}'), profile, tau]"
        chosen = [self.sensitivity, line, self.profile, self.tau]
        settle.click(settled, _js=before, inputs=chosen, outputs=[self.tau, line], show_progress="hidden", queue=False)
        asking = f"() => memorizationGuardChanged('{tab}')"
        renew.click(self.renewed, _js=asking, inputs=[line], outputs=self.all(), show_progress="hidden", queue=False)
        refresh.click(self._refresh, inputs=shown, outputs=[self.profile, line], show_progress="hidden")

    @staticmethod
    def _refresh(profile: str, sensitivity: str, tau: float) -> tuple:
        names = LIBRARY.names()
        kept = profile if profile in names else names[0]
        return gr.update(choices=names, value=kept), profile_line(kept, sensitivity, tau)

    def renewed(self, question: str | None) -> list:
        """Updates that bring the page up to date with the host's Settings, without "Reload UI".

        `question` is a list of the settings that have changed since the page was opened, as JSON, or null for a page that was just opened: it shows
        the defaults of when the host has built it.
        """
        try:
            names = json.loads(question)
        except (TypeError, ValueError):
            names = []
        now, updates = settings.defaults(), []
        for name in arguments.POSITIONS:
            value = getattr(now, name)
            changed = name in names if isinstance(names, list) else value != getattr(self._start, name)
            more = {"choices": LIBRARY.names()} if name == "profile" else {}
            updates.append(gr.update(value=_as_control(name, value), **more) if changed else gr.update())
        return updates

    def _id(self, name: str) -> str:
        return f"memorization_guard_{self._tab}_{name}"

    def _radio(self, name: str, label: str, words: tuple, value: str, **more) -> gr.Radio:
        return gr.Radio(settings.labels(words), value=value.capitalize(), label=label, elem_id=self._id(name), **more)

    def _slider(self, name: str, label: str, span: tuple, value: float, step: float, **more) -> gr.Slider:
        return gr.Slider(float(span[0]), float(span[1]), value=float(value), step=step, label=label, elem_id=self._id(name), **more)

    def all(self) -> list:
        """The controls in the order of their arguments."""
        return [getattr(self, name) for name in arguments.POSITIONS]

    def paste_fields(self) -> list[tuple[object, PasteTarget]]:
        """Pairs of control and what it is pasted from."""
        return [(getattr(self, name), PasteTarget(name)) for name in arguments.POSITIONS]


class PasteTarget(str):
    """What one control is pasted from, in the two ways of the hosts: a pasted text calls it with its parameters (None leaves the control
    alone), and the buttons that send a result to another tab, which take along only what has a name, know it by its name."""

    def __new__(cls, field: str) -> PasteTarget:
        self = super().__new__(cls, SETTINGS[field].key if field in SETTINGS else f"{PREFIX}{field}")
        self.field = field
        return self

    def __call__(self, params: dict) -> object:
        found = read(params)[0]
        if self.field == "enabled":
            # Where every generation is to be guarded, a picture that was not says nothing against it.
            return found.enabled or (None if settings.defaults().enabled else False)
        if not found.enabled:
            return None
        return _as_control(self.field, getattr(found, self.field))
