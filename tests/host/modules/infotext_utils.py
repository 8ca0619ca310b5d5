"""Infotext to controls and back, as pasting and the API's `infotext` field do it."""

from __future__ import annotations

import json

import gradio as gr
from modules import errors, script_callbacks

from lib_stability.trail.infotext import parse_text

paste_fields: dict[str, list] = {}
#: Buttons under the galleries, each with the tab that it takes from and the names of fields that its scripts want sent.
send_buttons: list[tuple] = []


def quote(text):
    text = str(text)
    return json.dumps(text, ensure_ascii=False) if any(c in text for c in ",:\n") else text


def parse_generation_parameters(text: str) -> dict[str, str]:
    prompt, negative, params = parse_text(text)
    return {"Prompt": prompt, "Negative prompt": negative, **params}


def value_of(component, key, params):
    """What a field's paste does: None leaves the control alone."""
    if callable(key):
        try:
            value = key(params)
        except Exception:
            errors.report(f"Error executing {key}", exc_info=True)
            return None
    else:
        value = params.get(key)
    if value is None:
        return None
    kind = type(component.value)
    if kind is bool and value == "False":
        return False
    return value if isinstance(value, kind) else kind(value)


def connect_paste(button, tab: str, source) -> None:
    fields = paste_fields[tab]

    def paste(text):
        params = parse_generation_parameters(text or "")
        script_callbacks.fire("infotext_pasted", text, params)
        values = [value_of(component, key, params) for component, key in fields]
        return [gr.update() if value is None else gr.update(value=value) for value in values]

    button.click(paste, inputs=[source], outputs=[component for component, _ in fields])


def sent(tab: str, names: list[str]) -> list:
    """The controls of a tab that a button under a gallery sends: those of the host's own names and of its scripts'."""
    wanted = ["Prompt", "Negative prompt", "Seed", *names]
    return [component for component, key in paste_fields[tab] if key in wanted]


def connect_send(there: str) -> None:
    """Let the buttons under the gallery of txt2img copy its controls into those of another tab."""
    for button, tab, names in send_buttons:
        if tab == "txt2img":
            button.click(lambda *values: values, inputs=sent(tab, names), outputs=sent(there, names), show_progress=False)
    send_buttons.clear()
