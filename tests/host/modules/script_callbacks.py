"""Callbacks of extensions, by event; an exception in one is logged and does not reach the caller."""

from __future__ import annotations

import inspect
from collections import namedtuple

from modules import errors

Callback = namedtuple("Callback", ["script", "callback"])
EVENTS = (
    "app_started model_loaded ui_tabs ui_settings before_ui after_component before_component cfg_denoiser cfg_denoised cfg_after_cfg "
    "infotext_pasted script_unloaded before_image_saved image_saved"
).split()
callback_map: dict[str, list[Callback]] = {f"callbacks_{event}": [] for event in EVENTS}


class CFGDenoiserParams:
    def __init__(self, x, image_cond, sigma, sampling_step, total_sampling_steps, text_cond, text_uncond, denoiser=None):
        self.x, self.image_cond, self.sigma = x, image_cond, sigma
        self.sampling_step, self.total_sampling_steps = sampling_step, total_sampling_steps
        self.text_cond, self.text_uncond, self.denoiser = text_cond, text_uncond, denoiser


class CFGDenoisedParams:
    def __init__(self, x, sampling_step, total_sampling_steps, inner_model):
        self.x, self.sampling_step, self.total_sampling_steps, self.inner_model = x, sampling_step, total_sampling_steps, inner_model


class AfterCFGCallbackParams:
    def __init__(self, x, sampling_step, total_sampling_steps):
        self.x, self.sampling_step, self.total_sampling_steps = x, sampling_step, total_sampling_steps


def clear_callbacks():
    for callbacks in callback_map.values():
        callbacks.clear()


def remove_callbacks_for_function(function):
    for callbacks in callback_map.values():
        callbacks[:] = [one for one in callbacks if one.callback != function]


def fire(event: str, *args, **kwargs) -> list:
    results = []
    for one in list(callback_map[f"callbacks_{event}"]):
        try:
            results.append(one.callback(*args, **kwargs))
        except Exception:
            errors.report(f"Error executing callback {event} for {one.script}", exc_info=True)
    return results


def _adder(event: str):
    def add(callback, *, name=None):
        stack = [frame.filename for frame in inspect.stack() if frame.filename != __file__]
        callback_map[f"callbacks_{event}"].append(Callback(stack[0], callback))

    return add


globals().update({f"on_{event}": _adder(event) for event in EVENTS})
