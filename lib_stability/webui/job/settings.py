"""The section "Memorization Guard" of the host's Settings, and the defaults that come from it."""

from __future__ import annotations

import html
import logging
from functools import lru_cache

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.damping import STRENGTH_RANGE
from ...guard.options import MODES, TRIES_RANGE
from ...guard.probe import MAX_EVALUATIONS
from ...guard.probe import POLICIES as PROBES
from ...guard.sensitivity import LEVELS, TAU_RANGE
from ...profile.profiles import AUTO
from ...trail.infotext import Settings
from ...validation import ValidationError
from ..host import callbacks, host, texts
from . import arguments, places
from .infotexts import DETAILS
from .library import GENERAL, IGNORE, LIBRARY, NOTHING

log = logging.getLogger(__name__)

SECTION, PREFIX = ("memorization_guard", "Memorization Guard"), "memorization_guard_"
_ON, _OFF = ("true", "1", "1.0", "on", "yes"), ("false", "0", "0.0", "off", "no", "")
#: Fields of Settings, beside `enabled`, that have an option of the same name.
_DEFAULTS = ("mode", "sensitivity", "tau", "damping", "strength", "profile", "probe", "probe_evaluations", "again", "tries")


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
        "enabled": (False, {}),
        "mode": (default.mode.capitalize(), radio(labels(MODES))),
        "sensitivity": (default.sensitivity.capitalize(), radio(labels(LEVELS))),
        "tau": (default.tau, slider(*TAU_RANGE, 0.1)),
        "damping": (default.damping.capitalize(), radio(labels(DAMPINGS))),
        "strength": (default.strength, slider(*STRENGTH_RANGE, 0.1)),
        "profile": (AUTO, {"component": gr.Dropdown, "component_args": _profiles, "refresh": _profiles}),
        "probe": (default.probe.capitalize(), radio(labels(PROBES))),
        "probe_evaluations": (default.probe_evaluations, slider(1, MAX_EVALUATIONS, 1)),
        "again": (default.again, {}),
        "tries": (default.tries, slider(*TRIES_RANGE, 1)),
        "no_profile": (GENERAL, radio([GENERAL, NOTHING])),
        "networks": (NOTHING, radio([NOTHING, IGNORE])),
        "infotext": (DETAILS[1], radio(list(DETAILS))),
        "audit_folders": ("", lines),
        "map": (True, {}),
        "save_map": (False, {}),
        "match": (False, {}),
        "match_index": ("", {}),
        "ledger": (False, {}),
        "folder": ("", {}),
    }
    # A path within a label would keep the host from translating it.
    where = {"ledger": str(places.ledger()), "folder": str(places.DEFAULT)}
    for name, (value, extra) in table.items():
        info = shared.OptionInfo(value, texts.SETTINGS[name], section=SECTION, **extra)
        shared.opts.add_option(PREFIX + name, info.info(html.escape(where[name])) if name in where else info)


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
