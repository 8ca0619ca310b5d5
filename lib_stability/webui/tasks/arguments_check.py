"""The check of the guard's arguments in front of the host's txt2img and img2img, which only log an exception of a script and go on without it.

It is one more dependency of the host's own routes, behind that of their sign-in, and sees the very values that the host has parsed: no way of
writing JSON, and no other encoding, means one thing here and another there.

Hosts fill what a request leaves out with the page's defaults of their first request, for as long as they run. Settings may have changed since, so the
request is made to leave it to these.
"""

from __future__ import annotations

from ...validation import Field, ValidationError
from ..job import arguments, settings
from . import bodies

TITLE = "Memorization Guard"
ROUTES = ("/sdapi/v1/txt2img", "/sdapi/v1/img2img")


def add(app: object) -> None:
    """Put it in front of those routes of an application that do not have it yet."""
    from fastapi import Depends
    from fastapi.dependencies.utils import get_parameterless_sub_dependant

    for route in app.router.routes:
        if getattr(route, "path", "") in ROUTES and hasattr(route, "dependant"):
            there = route.dependant.dependencies
            if not any(getattr(one.call, "__name__", "") == _check.__name__ for one in there):
                there.append(get_parameterless_sub_dependant(depends=Depends(_dependency()), path=route.path_format))


def _dependency() -> object:
    from starlette.requests import Request

    _check.__annotations__ = {"request": Request}  # FastAPI reads it by value
    return _check


async def _check(request):
    from fastapi import HTTPException

    try:
        body = await request.json()  # kept by the request: parsed once
    except Exception:
        return  # the host has its own answer to that
    try:
        examine(body)
    except ValidationError as error:
        detail = bodies.refusal("args", error)
        raise HTTPException(422, [{**one, "loc": ["body", "alwayson_scripts", TITLE, *one["loc"]]} for one in detail]) from None


def examine(body: object) -> None:
    """Check the guard's arguments in a parsed request, under every name that the host takes for the guard's.

    Who names it without any argument wants it: the host would leave it as the page's default has it, so the request is made to say so. One that does
    not name it is made to where Settings say that every generation is guarded. What an `infotext` says stays as it is.

    Raises
    ------
    ValidationError
        Naming the field.
    """
    if not isinstance(body, dict):
        return
    scripts, pasted, named = body.get("alwayson_scripts"), bool(body.get("infotext")), False
    for name, given in scripts.items() if isinstance(scripts, dict) else ():
        if name.lower() != TITLE.lower():
            continue
        named = True
        if not isinstance(given, dict):
            Field(given, "script").fail('has to be an object, such as {"args": [{}]}')
        bodies.check(Field(given, "args"))
        args = given.get("args", [])
        if not isinstance(args, list):
            Field(args, "args").fail("has to be a list")
        args = args or [{}]
        given["args"] = args if pasted else _whole(args)
        arguments.parse(args, settings.defaults())
    if not named and (scripts is None or isinstance(scripts, dict)) and settings.defaults().enabled:
        body["alwayson_scripts"] = {**(scripts or {}), TITLE: {"args": [True] if pasted else _whole([True])}}


def _whole(args: list) -> list:
    """Every position: None stands for what Settings say."""
    return args + [None] * (len(arguments.POSITIONS) - len(args))
