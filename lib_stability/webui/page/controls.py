"""The accordion of the page: its controls, how infotext is pasted into them, and the line that says which profile serves."""

from __future__ import annotations

import html

import gradio as gr

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.damping import STRENGTH_RANGE
from ...guard.options import MODES
from ...guard.probe import MAX_EVALUATIONS
from ...guard.probe import POLICIES as PROBES
from ...guard.sensitivity import LEVELS, TARGETS, TAU_RANGE
from ...trail.infotext import PREFIX, SETTINGS, read
from ...validation import ValidationError
from ..host import host
from ..job import arguments, settings
from ..job.library import LIBRARY

_DAMPING_HINT = (
    "Reword: the prompt less one part, in turn; flagged images take about three times as long. Directional, Radial: at no cost, less effective"
)
_LEVELS_HINT = ", ".join(f"{level.capitalize()} flags {100 * rate:g} % of ordinary images" for level, rate in TARGETS.items())


def profile_line(profile: str, sensitivity: str, tau: float) -> str:
    """HTML line: which profile serves the loaded checkpoint, its kind, and its false-alarm rate at this level."""
    model = host.loaded_model()
    try:
        chosen = arguments.parse([{"profile": profile, "sensitivity": sensitivity, "tau": tau}])
    except ValidationError as error:
        text = str(error)
    else:
        if model is None or type(model).__name__ == "FakeInitialModel":
            text = "No checkpoint is loaded yet: the profile is chosen at the first generation."
        else:
            text = LIBRARY.serve(chosen.profile, host.describe(model), settings.general_prior_allowed()).describe(chosen)
    refused = "".join(f"<br>Refused: {html.escape(message)}" for message in LIBRARY.refused)
    return f"<p class='memorization-guard-profile'>{html.escape(text)}{refused}</p>"


class Controls:
    """Builds the accordion of one tab, inside the host's blocks."""

    def __init__(self, tab: str) -> None:
        # At the top of the module they would be those of before "Reload UI".
        from modules.ui_components import InputAccordion, ToolButton

        start = settings.defaults()
        self._tab = tab
        with InputAccordion(start.enabled, label="Memorization Guard", elem_id=self._id("enabled")) as self.enabled:
            with gr.Row():
                self.mode = self._radio("mode", "When an image is flagged", MODES, start.mode)
                self.sensitivity = self._radio("sensitivity", "Sensitivity", LEVELS, start.sensitivity, info=_LEVELS_HINT)
            with gr.Row():
                self.profile = gr.Dropdown(LIBRARY.names(), value=start.profile, label="Profile", elem_id=self._id("profile"))
                refresh = ToolButton("\U0001f504", elem_id=self._id("refresh"))
            line = gr.HTML(profile_line(start.profile, start.sensitivity, start.tau), elem_id=self._id("line"))
            with gr.Accordion("Advanced", open=False):
                with gr.Row():
                    self.damping = self._radio("damping", "Damping", DAMPINGS, start.damping, info=_DAMPING_HINT)
                    self.strength = self._slider("strength", "Strength of directional damping", STRENGTH_RANGE, start.strength, 0.1)
                    self.tau = self._slider("tau", "Threshold of Custom", TAU_RANGE, start.tau, 0.1)
                with gr.Row():
                    self.probe = self._radio("probe", "Probe against the empty prompt", PROBES, start.probe)
                    self.probe_evaluations = self._slider(
                        "probe_evaluations", "Probed evaluations", (1, MAX_EVALUATIONS), float(start.probe_evaluations), 1
                    )
        # The Settings section keeps the defaults; the host would freeze those of the first start.
        for control in (*self.all(), getattr(self.enabled, "accordion", None)):
            if control is not None:
                control.do_not_save_to_config = True
        shown = [self.profile, self.sensitivity, self.tau]
        for control in (self.enabled, *shown):
            control.change(profile_line, inputs=shown, outputs=[line], show_progress="hidden")
        refresh.click(self._refresh, inputs=shown, outputs=[self.profile, line], show_progress="hidden")

    @staticmethod
    def _refresh(profile: str, sensitivity: str, tau: float) -> tuple:
        names = LIBRARY.names()
        kept = profile if profile in names else names[0]
        return gr.update(choices=names, value=kept), profile_line(kept, sensitivity, tau)

    def _id(self, name: str) -> str:
        return f"memorization_guard_{self._tab}_{name}"

    def _radio(self, name: str, label: str, words: tuple, value: str, **more) -> gr.Radio:
        return gr.Radio(settings.labels(words), value=value.capitalize(), label=label, elem_id=self._id(name), **more)

    def _slider(self, name: str, label: str, span: tuple, value: float, step: float) -> gr.Slider:
        return gr.Slider(float(span[0]), float(span[1]), value=float(value), step=step, label=label, elem_id=self._id(name))

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
        pasted = getattr(found, self.field)
        if isinstance(pasted, str):
            return pasted if self.field == "profile" else pasted.capitalize()
        return float(pasted)
