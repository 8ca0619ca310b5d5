"""The section "Memorization Guard" of the host's Settings, and the defaults that come from it."""

from __future__ import annotations

import logging
from functools import lru_cache

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.damping import STRENGTH_RANGE
from ...guard.options import MODES
from ...guard.probe import MAX_EVALUATIONS
from ...guard.probe import POLICIES as PROBES
from ...guard.sensitivity import LEVELS, TAU_RANGE
from ...profile.profiles import AUTO
from ...trail.infotext import Settings
from ...validation import ValidationError
from ..host import callbacks, host
from . import arguments, places
from .infotexts import DETAILS
from .library import GENERAL, IGNORE, LIBRARY, NOTHING

log = logging.getLogger(__name__)

SECTION, PREFIX = ("memorization_guard", "Memorization Guard"), "memorization_guard_"
_ON, _OFF = ("true", "1", "1.0", "on", "yes"), ("false", "0", "0.0", "off", "no", "")
#: Fields of Settings, beside `enabled`, that have an option of the same name.
_DEFAULTS = ("mode", "sensitivity", "tau", "damping", "strength", "profile", "probe", "probe_evaluations")


def labels(words: tuple[str, ...]) -> list[str]:
    """Choices as people read them."""
    return [word.capitalize() for word in words]


def register() -> None:
    callbacks.once("ui_settings", _add_options)


def _add_options() -> None:
    import gradio as gr
    from modules import shared

    def slider(low: float, high: float, step: float) -> dict:
        return {"component": gr.Slider, "component_args": {"minimum": low, "maximum": high, "step": step}}

    def radio(choices: list[str]) -> dict:
        return {"component": gr.Radio, "component_args": {"choices": choices}}

    lines = {"component": gr.Textbox, "component_args": {"lines": 2}}
    default = Settings()
    table = {
        "enabled": (False, "Guard every generation unless its accordion is unticked", {}),
        "mode": (default.mode.capitalize(), "What to do with a flagged image", radio(labels(MODES))),
        "sensitivity": (default.sensitivity.capitalize(), "Sensitivity: the share of ordinary images that may be flagged", radio(labels(LEVELS))),
        "tau": (default.tau, "Threshold of the sensitivity Custom, in relative spreads", slider(*TAU_RANGE, 0.1)),
        "damping": (default.damping.capitalize(), "How a flagged image is damped", radio(labels(DAMPINGS))),
        "strength": (default.strength, "Strength of directional damping", slider(*STRENGTH_RANGE, 0.1)),
        "profile": (AUTO, "Profile", {"component": gr.Dropdown, "component_args": _profiles, "refresh": _profiles}),
        "probe": (default.probe.capitalize(), "Probe early evaluations against the empty prompt", radio(labels(PROBES))),
        "probe_evaluations": (default.probe_evaluations, "Evaluations that are probed", slider(1, MAX_EVALUATIONS, 1)),
        "no_profile": (GENERAL, "A checkpoint that no profile was made for", radio([GENERAL, NOTHING])),
        "networks": (NOTHING, "Networks (LoRA and the like) that no profile was calibrated with", radio([NOTHING, IGNORE])),
        "infotext": (DETAILS[1], "What to write into an image's infotext", radio(list(DETAILS))),
        "audit_folders": ("", "Further folders that the tab may audit, one a line; ignored where the web UI is open to others", lines),
        "map": (True, "Map of where the memorized content sits, under the verdict of a flagged image", {}),
        "match": (False, "Write the nearest training picture of a flagged image into its infotext: its file's name, and how alike they are", {}),
        "match_index": ("", "Index of training pictures that is asked; empty: the first that fits the checkpoint", {}),
        "save_map": (False, "Save the map beside the picture, as <picture>-mg-map.png", {}),
        "ledger": (False, f"Keep a ledger of all verdicts: one file a day, in {places.ledger()}", {}),
        "folder": ("", f"Folder for your profiles and the ledger; empty: {places.DEFAULT}; ignored where the web UI is open to others", {}),
    }
    for name, (value, label, extra) in table.items():
        shared.opts.add_option(PREFIX + name, shared.OptionInfo(value, label, section=SECTION, **extra))


def _profiles() -> dict:
    """The names to choose from, and the one that is chosen even where it is gone."""
    return {"choices": list(dict.fromkeys([*LIBRARY.names(), option("profile", AUTO)]))}


def option(name: str, default: object) -> object:
    """An option's value; hosts without a page may never have heard of ours."""
    value = getattr(host.opts(), PREFIX + name, None)
    return default if value is None else value


def defaults() -> Settings:
    """What a generation starts from; an option that makes no sense falls back to the core's default, but never to an unguarded generation."""
    base = Settings(enabled=_is_on(option("enabled", False)))
    for name in _DEFAULTS:
        try:
            base = arguments.parse([{"enabled": base.enabled, name: option(name, getattr(base, name))}], base)
        except ValidationError as error:
            _warn(str(error))
    return base


def _is_on(value: object) -> bool:
    """Whether "guard every generation" is on. Clients of the host's API set options unchecked: texts and numbers count as what they say."""
    word = str(value).strip().lower()
    if word not in (*_ON, *_OFF):
        _warn(f"enabled: {word[:40]!r} is neither true nor false, so every generation is guarded")
    return word not in _OFF


@lru_cache(maxsize=100)
def _warn(said: str) -> None:
    """Once for each text."""
    log.warning("Memorization Guard: a setting makes no sense: %s", said)


def general_prior_allowed() -> bool:
    """Whether a prior for any family may judge a checkpoint that has no profile."""
    return option("no_profile", GENERAL) != NOTHING


def networks_ignored() -> bool:
    """Whether a profile may judge a pass with networks that it does not know."""
    return option("networks", NOTHING) == IGNORE
