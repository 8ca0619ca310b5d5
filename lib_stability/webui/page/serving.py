"""The line that says what judges the loaded checkpoint and how far that can be trusted, and the calibration that it offers in one click."""

from __future__ import annotations

import html
from collections.abc import Callable

from ...validation import ValidationError
from ..host import host, texts
from ..host.language import joined, say, told
from ..job import arguments, settings
from ..job.library import LIBRARY, Served
from ..tasks import api_jobs, roles
from . import judges, tab_parts


def profile_line(profile: str, sensitivity: str, tau: float) -> str:
    """HTML: what judges the loaded checkpoint and how far that can be trusted, in plain words; a calibration on offer where nothing was measured."""
    refused = "".join(_small(say(texts.REFUSED, reason=message)) for message in LIBRARY.refused)
    try:
        chosen = arguments.parse([{"profile": profile, "sensitivity": sensitivity, "tau": tau}])
    except ValidationError as error:
        return _block("nothing", html.escape(told(error)) + refused)
    served = served_by(chosen.profile)
    if served is None:
        return _block("nothing", html.escape(say(texts.NOT_LOADED)) + refused)
    line = judges.describe(served, chosen)
    terms = f"<details><summary>{html.escape(say(texts.DETAILS))}</summary>{html.escape(line.terms)}</details>" if line.terms else ""
    return _block(line.trust, html.escape(joined(line.said)) + calibration_offer(line.trust) + terms + refused)


def _block(trust: str, inside: str) -> str:
    return f"<div class='memorization-guard-profile memorization-guard-trust-{trust}'>{inside}</div>"


def _small(said: str) -> str:
    return f"<div>{html.escape(said)}</div>"


def calibration_offer(trust: str) -> str:
    """How far a calibration is, while one runs; else what it would take and buttons for it, where nothing was measured."""
    task = api_jobs.latest("calibrate")
    if task is not None and task.state == "running":
        return f"<div class='memorization-guard-running'>{tab_parts.progress(task)}</div>"
    if trust == "measured":
        return ""
    ways = ((texts.NOW, "now"), (texts.WHEN_IDLE, "idle"), (texts.CHOOSE, "calibrate"))
    buttons = " ".join(judges.button(text, kind) for text, kind in ways)
    failed = tab_parts.line(task.line()) if task is not None and task.state in ("failed", "cancelled") else ""
    return f"<div class='memorization-guard-offer'>{html.escape(judges.offer())}<br>{buttons}{failed}</div>"


def calibrate(profile: str, sensitivity: str, tau: float, when_idle: bool, request: object = None) -> str:
    """Handler of the line's buttons: begin the usual calibration, now or when idle, where who asks may; the line anew."""
    refused = roles.refusal(request)
    said = tab_parts.line(refused) if refused else tab_parts.begin("calibrate", {"when_idle": when_idle})[0]
    task = api_jobs.latest("calibrate")
    begun = not refused and task is not None and task.state == "running"
    return profile_line(profile, sensitivity, tau) + ("" if begun else said)


def calibrates(when_idle: bool) -> Callable:
    """Handler of one of the two buttons."""

    def begin(profile: str, sensitivity: str, tau: float, request: object = None) -> str:
        return calibrate(profile, sensitivity, tau, when_idle, request)

    return begin


def served_by(profile: str) -> Served | None:
    """Which profile serves the loaded checkpoint, None before one is loaded."""
    model = host.loaded_model()
    if model is None or type(model).__name__ == "FakeInitialModel":
        return None
    return LIBRARY.serve(profile, host.describe(model), settings.general_prior_allowed())
