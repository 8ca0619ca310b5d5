"""Routes of the guard: profiles and the last job here, calibration, scan and audit in :mod:`.api_jobs`."""

from __future__ import annotations

from ...guard.sensitivity import LEVELS, thresholds
from ...profile.networks import to_json
from ..host import callbacks
from ..job import last_job
from ..job.library import LIBRARY
from . import accounts, api_jobs, api_match, api_profiles, arguments_check, roles

PREFIX = "/memorization-guard/v1"


def register() -> None:
    callbacks.once("app_started", _start)


def _start(demo: object, app: object) -> None:
    """Add the routes where the host serves an API, protected as that is."""
    from modules import shared

    if not (getattr(shared.cmd_opts, "api", False) or getattr(shared.cmd_opts, "nowebui", False)):
        return
    arguments_check.add(app)
    if not any(getattr(route, "path", "").startswith(PREFIX) for route in app.router.routes):
        _add_routes(app)


def _add_routes(app: object) -> None:
    from fastapi import Depends, HTTPException
    from starlette.requests import Request

    def signed_in(request):
        """Before anything else is looked at: who asks, and that no page of another site does."""
        found = accounts.caller(request)
        if found is None:
            raise HTTPException(401, "Incorrect username or password", headers={"WWW-Authenticate": "Basic"})
        if roles.is_foreign(request.headers):  # reading, too: some hosts let pages of any site read what they answer
            raise HTTPException(403, roles.FROM_ELSEWHERE)
        request.state.memorization_guard_caller = found

    def administrator(request):
        found = request.state.memorization_guard_caller
        if not roles.is_administrator(found.name, found.of_api, request):
            raise HTTPException(403, roles.NOT_YOURS)

    signed_in.__annotations__ = administrator.__annotations__ = {"request": Request}

    def profiles() -> dict:
        return {"profiles": [_describe(profile) for profile in LIBRARY.profiles()], "refused": LIBRARY.refused}

    def last() -> dict:
        found = last_job.last()
        if found is None:
            raise HTTPException(404, "No guarded job has finished yet")
        return found

    app.add_api_route(f"{PREFIX}/profiles", profiles, methods=["GET"], dependencies=[Depends(signed_in)])
    app.add_api_route(f"{PREFIX}/last", last, methods=["GET"], dependencies=[Depends(signed_in)])
    api_jobs.add_routes(app, PREFIX, [Depends(signed_in)], [Depends(administrator)])
    api_match.add_routes(app, PREFIX, [Depends(signed_in)], [Depends(administrator)])
    api_profiles.add_routes(app, PREFIX, [Depends(signed_in)], [Depends(administrator)])


def _describe(profile: object) -> dict:
    return {
        "name": profile.name,
        "kind": profile.kind,
        **api_profiles.described(profile),
        "model": {**vars(profile.model), "networks": to_json(profile.model.networks)},
        "probe": profile.probe is not None,
        "guidance": list(profile.watch.guidance_),
        "provenance": profile.provenance,
        "levels": _levels(profile.watch),
        "probe_levels": None if profile.probe is None else _levels(profile.probe),
    }


def _levels(region: object) -> dict:
    found = {level: thresholds(region, level) for level in LEVELS if level != "custom"}
    return {level: {"threshold": one.mild, "strong": one.strong, "false_alarms": one.false_alarms} for level, one in found.items()}
