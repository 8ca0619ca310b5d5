"""Routes of the guard, and the check of its arguments in front of the host's txt2img and img2img routes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

from ...guard.sensitivity import LEVELS, thresholds
from ...validation import ValidationError
from ..host import callbacks
from ..job import arguments, last_job, settings
from ..job.library import LIBRARY
from . import api_jobs, api_profiles

PREFIX = "/memorization-guard/v1"
_CHECKED = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img")
_NAME = "memorization guard"


def register() -> None:
    callbacks.once("app_started", _start)


def _start(demo: object, app: object) -> None:
    """Add the routes where the host serves an API, protected as that is."""
    from modules import shared

    if not (getattr(shared.cmd_opts, "api", False) or getattr(shared.cmd_opts, "nowebui", False)):
        return
    for route in app.router.routes:
        if getattr(route, "path", "") in _CHECKED and not isinstance(route.app, _Checked):
            route.app = _Checked(route.app)
    if any(getattr(route, "path", "").startswith(PREFIX) for route in app.router.routes):
        return
    _add_routes(app, getattr(shared.cmd_opts, "api_auth", None))


def _add_routes(app: object, accounts: str | None) -> None:
    from fastapi import Depends, HTTPException
    from fastapi.security import HTTPBasic, HTTPBasicCredentials

    known = dict(pair.strip().split(":", 1) for pair in accounts.split(",")) if accounts else {}

    def signed_in(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:
        expected = known.get(credentials.username)
        if expected is None or not secrets.compare_digest(credentials.password.encode(), expected.encode()):
            raise HTTPException(401, "Incorrect username or password", headers={"WWW-Authenticate": "Basic"})

    # FastAPI reads the annotation of a local function by name.
    signed_in.__annotations__["credentials"] = HTTPBasicCredentials
    protected = {"dependencies": [Depends(signed_in)]} if known else {}

    def profiles() -> dict:
        return {"profiles": [_describe(profile) for profile in LIBRARY.profiles()], "refused": LIBRARY.refused}

    def last() -> dict:
        found = last_job.last()
        if found is None:
            raise HTTPException(404, "No guarded job has finished yet")
        return found

    app.add_api_route(f"{PREFIX}/profiles", profiles, methods=["GET"], **protected)
    app.add_api_route(f"{PREFIX}/last", last, methods=["GET"], **protected)
    api_jobs.add_routes(app, PREFIX, protected)
    api_profiles.add_routes(app, PREFIX, protected)


def _describe(profile: object) -> dict:
    levels = {level: thresholds(profile.watch, level) for level in LEVELS if level != "custom"}
    return {
        "name": profile.name,
        "kind": profile.kind,
        **api_profiles.described(profile),
        "model": dict(vars(profile.model)),
        "probe": profile.probe is not None,
        "guidance": list(profile.watch.guidance_),
        "provenance": profile.provenance,
        "levels": {level: {"threshold": one.mild, "strong": one.strong, "false_alarms": one.false_alarms} for level, one in levels.items()},
    }


def complaint(body: bytes) -> dict | None:
    """What is wrong with the guard's arguments in a request's body, in the shape of FastAPI's own 422 answers; None when nothing is."""
    if _NAME.encode() not in body.lower():
        return None  # most requests, however large their pictures
    try:
        scripts = json.loads(body).get("alwayson_scripts") or {}
        given = next((value for key, value in scripts.items() if key.lower() == _NAME), {})
        args = given.get("args", [])
    except (ValueError, AttributeError):
        return None  # the host has its own answer to that
    try:
        if not isinstance(args, list):
            raise ValidationError("args: has to be a list")
        arguments.parse(args, settings.defaults())
    except ValidationError as error:
        field = str(error).split(":", 1)[0]
        where = ["body", "alwayson_scripts", "Memorization Guard", "args", field]
        return {"detail": [{"loc": where, "msg": str(error), "type": "value_error"}]}
    return None


class _Checked:
    """An ASGI application in front of one route: answers 422 to arguments of ours that make no sense, since the host only logs an exception
    of a script and would generate without the guard."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        messages, more = [], True
        while more:
            messages.append(await receive())
            more = messages[-1].get("more_body", False)
        found = complaint(b"".join(message.get("body", b"") for message in messages))
        if found is None:
            waiting = iter(messages)

            async def replay() -> dict:
                message = next(waiting, None)
                return await receive() if message is None else message

            await self.app(scope, replay, send)
            return
        from starlette.responses import JSONResponse

        await JSONResponse(found, 422)(scope, receive, send)
