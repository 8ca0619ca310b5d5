"""The accordion of the page: its controls, how infotext is pasted into them, and the line that says which profile serves."""

from __future__ import annotations

import json

import gradio as gr

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.damping import STRENGTH_RANGE
from ...guard.options import MODES, TRIES_RANGE
from ...guard.probe import MAX_EVALUATIONS
from ...guard.probe import POLICIES as PROBES
from ...guard.sensitivity import LEVELS, TAU_RANGE, thresholds
from ...trail.infotext import PREFIX, SETTINGS, read
from ..host import texts
from ..job import arguments, settings
from ..job.library import LIBRARY
from . import serving, tab_parts


def custom_threshold(level: str, before: str, profile: str) -> dict:
    """Where a person who chooses "Custom" starts: at the threshold of the level that was in force."""
    if level.lower() != "custom" or before.lower() not in LEVELS[:-1]:
        return gr.update()
    served = serving.served_by(profile)
    if served is None or served.profile is None:
        return gr.update()
    return gr.update(value=round(thresholds(served.profile.watch, before.lower()).mild, 1))


def settled(level: str, before: str, profile: str, tau: float) -> tuple:
    """Threshold and line once a person has ceased to change them: gradio 3 drops a change while the answer to the one before is under way."""
    start = custom_threshold(level, before, profile)
    return start, serving.profile_line(profile, level, start.get("value", tau))


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
            with tab_parts.columns():
                # As narrow as a radio alone would be, so that both are as wide.
                with gr.Column(min_width=160):
                    self.mode = self._radio("mode", MODES, start.mode)
                with gr.Column(min_width=160):
                    self.sensitivity = self._radio("sensitivity", LEVELS, start.sensitivity)
                    self.tau = self._slider("tau", TAU_RANGE, start.tau, 0.1, visible=start.sensitivity == "custom")
            line = gr.HTML(serving.profile_line(start.profile, start.sensitivity, start.tau), elem_id=self._id("line"))
            with gr.Accordion(texts.ADVANCED, open=False):
                with gr.Row():
                    label, info = texts.CONTROLS["profile"]
                    self.profile = gr.Dropdown(LIBRARY.names(), value=start.profile, label=label, info=info, elem_id=self._id("profile"))
                    refresh = ToolButton("\U0001f504", elem_id=self._id("refresh"))
                with tab_parts.columns():
                    self.damping = self._radio("damping", DAMPINGS, start.damping)
                    self.strength = self._slider("strength", STRENGTH_RANGE, start.strength, 0.1)
                with tab_parts.columns():
                    label, info = texts.CONTROLS["again"]
                    self.again = gr.Checkbox(start.again, label=label, info=info, elem_id=self._id("again"))
                    self.tries = self._slider("tries", TRIES_RANGE, float(start.tries), 1)
                with tab_parts.columns():
                    self.probe = self._radio("probe", PROBES, start.probe)
                    self.probe_evaluations = self._slider("probe_evaluations", (1, MAX_EVALUATIONS), float(start.probe_evaluations), 1)
            hidden = ("settle", "renew", "look", "now", "idle")
            settle, renew, look, now, idle = (gr.Button(visible=False, elem_id=self._id(name)) for name in hidden)
        # The Settings section keeps the defaults; the host would freeze those of the first start.
        for control in (*self.all(), getattr(self.enabled, "accordion", None)):
            if control is not None:
                control.do_not_save_to_config = True
        shown = [self.profile, self.sensitivity, self.tau]
        for control in (self.enabled, *shown):
            control.change(serving.profile_line, inputs=shown, outputs=[line], show_progress="hidden")
        # In the browser alone: no answer that could be dropped or come late.
        only_custom = "(level) => [{visible: level === 'Custom', __type__: 'update'}]"
        self.sensitivity.change(None, _js=only_custom, inputs=[self.sensitivity], outputs=[self.tau])
        # Pressed by the page's script where a person changes something: gradio tells of a pasted level just so, whose threshold has to stay.
        before = f"(level, _, profile, tau) => [level, memorizationGuardLevel('{tab}'), profile, tau]"
        chosen = [self.sensitivity, line, self.profile, self.tau]
        settle.click(settled, _js=before, inputs=chosen, outputs=[self.tau, line], show_progress="hidden", queue=False)
        asking = f"() => memorizationGuardChanged('{tab}')"
        renew.click(self.renewed, _js=asking, inputs=[line], outputs=self.all(), show_progress="hidden", queue=False)
        look.click(serving.profile_line, inputs=shown, outputs=[line], show_progress="hidden", queue=False)
        for one, when_idle in ((now, False), (idle, True)):
            begin = tab_parts.asking(serving.calibrates(when_idle))
            one.click(begin, inputs=shown, outputs=[line], show_progress="hidden", queue=False)
        refresh.click(self._refresh, inputs=shown, outputs=[self.profile, line], show_progress="hidden")

    @staticmethod
    def _refresh(profile: str, sensitivity: str, tau: float) -> tuple:
        names = LIBRARY.names()
        kept = profile if profile in names else names[0]
        return gr.update(choices=names, value=kept), serving.profile_line(kept, sensitivity, tau)

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

    def _radio(self, name: str, words: tuple, value: str) -> gr.Radio:
        label, info = texts.CONTROLS[name]
        return gr.Radio(settings.labels(words), value=value.capitalize(), label=label, info=info, elem_id=self._id(name))

    def _slider(self, name: str, span: tuple, value: float, step: float, **more) -> gr.Slider:
        label, info = texts.CONTROLS[name]
        low, high = map(float, span)
        return gr.Slider(low, high, value=float(value), step=step, label=label, info=info, elem_id=self._id(name), **more)

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
        if not found.enabled or (self.field == "tau" and found.sensitivity != "custom"):
            return None
        return _as_control(self.field, getattr(found, self.field))
