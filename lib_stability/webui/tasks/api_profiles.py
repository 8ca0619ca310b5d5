"""Routes about the user's profiles: what a calibration would displace, older versions, going back, deleting."""

from __future__ import annotations

from collections.abc import Callable

from ...profile import older, own_profiles
from ...validation import Field, ValidationError
from ..job.library import LIBRARY
from . import bodies, calibrating


def add_routes(app: object, prefix: str, protected: list, administrators: list) -> None:
    """Add the routes to the host's application; `protected` are the dependencies of each, `administrators` those of what changes profiles."""
    for name, (method, endpoint) in _endpoints().items():
        dependencies = [*protected, *(administrators if method == "POST" else ())]
        app.add_api_route(f"{prefix}/profiles/{name}", endpoint, methods=[method], dependencies=dependencies)


def described(profile: object) -> dict:
    """What a list of profiles says beside name and model: where it comes from and what it rests on."""
    return {"origin": profile.origin, "runs": profile.runs, "trial": profile.trial, "standing": profile.standing}


def _endpoints() -> dict[str, tuple[str, Callable]]:
    from fastapi import Depends, HTTPException
    from fastapi.responses import JSONResponse
    from starlette.requests import Request

    bodies.read.__annotations__ = {"request": Request}  # FastAPI reads it by value

    def refusal(where: str, error: ValidationError) -> JSONResponse:
        return JSONResponse({"detail": bodies.refusal(where, error)}, 422)

    def outlook(runs: int = calibrating.Options.runs, negative_prompt: str = "", networks: str = "") -> JSONResponse:
        try:
            options = calibrating.Options.parse({"runs": runs, "negative_prompt": negative_prompt, "networks": networks})
        except ValidationError as error:
            return refusal("query", error)
        found = calibrating.outlook(options)
        return JSONResponse({"changes": found.lines, "displaces": [one.name for one in found.displaced], "calibrations": len(found.calibrations)})

    def versions(name: str) -> dict:
        found = older.versions(name, LIBRARY.folders[-1])
        return {"versions": [{"number": number, "said": one.evidence, **described(one)} for number, (_, one) in enumerate(found, start=1)]}

    def act(body: object, work: Callable[[dict], dict], allowed: tuple[str, ...]) -> JSONResponse:
        try:
            for name in Field(body, "body").mapping():
                if name not in allowed:
                    Field(None, str(name)[:60]).fail(f"is not an option; there are {', '.join(allowed)}")
            Field(body.get("name"), "name").name()
            return JSONResponse(work(body))
        except ValidationError as error:
            return refusal("body", error)
        except ValueError as error:
            raise HTTPException(404, str(error)) from None

    def back(body: object = Depends(bodies.read)) -> JSONResponse:
        def work(given: dict) -> dict:
            number = Field(given.get("version", 1), "version").integer(1, older.MOST)
            profile = own_profiles.back(given["name"], LIBRARY.folders[-1], number)
            return {"name": profile.name, "said": profile.evidence, **described(profile)}

        return act(body, work, ("name", "version"))

    def delete(body: object = Depends(bodies.read)) -> JSONResponse:
        return act(body, lambda given: {"deleted": len(own_profiles.delete(given["name"], LIBRARY.folders[-1], LIBRARY.folders[0]))}, ("name",))

    outlook.__annotations__ = {"runs": int, "negative_prompt": str, "networks": str}
    versions.__annotations__ = {"name": str}
    back.__annotations__ = delete.__annotations__ = {}
    return {"outlook": ("GET", outlook), "versions": ("GET", versions), "back": ("POST", back), "delete": ("POST", delete)}
