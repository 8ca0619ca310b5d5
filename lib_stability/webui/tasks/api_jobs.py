"""Routes of long tasks: start (POST), progress and result (GET), cancel (DELETE); and the rows of an audit."""

from __future__ import annotations

from collections.abc import Callable

from ...sentences import Sentence
from ...trail.audit import plain
from ...trail.audit_table import GROUPS
from ...validation import Field, ValidationError
from ..host import texts
from . import auditing, bodies, calibrating, explaining, folders, matching, picturing, scanning
from .background import Busy, Task

#: The latest task of each route; the page starts its own through :func:`start`, so that one progress serves both.
_latest: dict[str, Task] = {}
_KINDS: dict[str, tuple[type, Callable[[object], Task]]] = {
    "calibrate": (calibrating.Options, calibrating.task),
    "scan": (scanning.Options, scanning.task),
    "explain": (explaining.Options, explaining.task),
    "pictures": (picturing.Options, picturing.task),
    "audit": (auditing.Options, auditing.task),
    "match/index": (matching.Options, matching.task),
}
#: What writes a profile, or an index.
_CHANGING = ("calibrate", "match/index")
#: Rows of one answer at most.
_MOST_ROWS = 1000


def start(kind: str, body: dict) -> Task:
    """Start a calibration, a scan or an audit.

    Raises
    ------
    ValidationError
        Naming the field of `body`.
    Busy
        Something else runs.
    """
    options, make = _KINDS[kind]
    task, before = make(options.parse(body)), latest(kind)
    if before is not None and before.state == "running" and before.waits:  # it has left its lane to others
        raise Busy(Sentence(texts.BUSY[before.kind]))
    task.start()
    _latest[kind] = task
    return task


def latest(kind: str) -> Task | None:
    """The task that runs or ran last."""
    return _latest.get(kind)


def add_routes(app: object, prefix: str, protected: list, administrators: list) -> None:
    """Add the routes to the host's application; `protected` are the dependencies of each, `administrators` those of what changes profiles."""
    for kind in _KINDS:
        for method, endpoint in _endpoints(kind).items():
            changes = kind in _CHANGING and method != "GET"
            app.add_api_route(f"{prefix}/{kind}", endpoint, methods=[method], dependencies=[*protected, *(administrators if changes else ())])
    for name, endpoint in _audit_endpoints().items():
        app.add_api_route(f"{prefix}/audit/{name}", endpoint, methods=["GET"], dependencies=protected)


def _endpoints(kind: str) -> dict[str, Callable]:
    from fastapi import Depends, HTTPException
    from fastapi.responses import JSONResponse
    from starlette.requests import Request

    bodies.read.__annotations__ = {"request": Request}  # FastAPI reads it by value

    def begin(body: object = Depends(bodies.read)) -> JSONResponse:
        try:
            task = start(kind, body)
        except ValidationError as error:
            return JSONResponse({"detail": bodies.refusal("body", error)}, 422)
        except Busy as error:
            raise HTTPException(409, str(error)) from None
        return JSONResponse({"id": task.id}, 202)

    def progress() -> dict:
        task = latest(kind)
        if task is None:
            raise HTTPException(404, "None was started yet")
        return task.to_json()

    def cancel() -> dict:
        task = latest(kind)
        if task is None or task.state != "running":
            raise HTTPException(404, "None is running")
        task.cancel()
        task.wait(2)
        return task.to_json()

    begin.__annotations__ = progress.__annotations__ = cancel.__annotations__ = {}
    return {"POST": begin, "GET": progress, "DELETE": cancel}


def _audit_endpoints() -> dict[str, Callable]:
    from fastapi import HTTPException
    from fastapi.responses import JSONResponse

    def offered() -> dict:
        return {"folders": folders.listed()}

    def rows(verdict: str = "", start: int = 0, count: int = 100) -> JSONResponse:
        task = latest("audit")
        found = None if task is None else auditing.kept(task.id)
        if found is None:
            raise HTTPException(404, "No audit has finished yet")
        try:
            Field(verdict, "verdict").choice(("", *GROUPS))
            Field(start, "start").integer(0, 10**9)
            Field(count, "count").integer(1, _MOST_ROWS)
        except ValidationError as error:
            return JSONResponse({"detail": bodies.refusal("query", error)}, 422)
        page = [_printable(row) for row in found.table.rows(verdict, start, count)]
        return JSONResponse({"id": task.id, "total": found.table.count(verdict), "rows": page})

    offered.__annotations__ = {}
    rows.__annotations__ = {"verdict": str, "start": int, "count": int}
    return {"folders": offered, "rows": rows}


def _printable(row: dict) -> dict:
    """A row for JSON, which knows no lone surrogates; its file's name is relative to what was audited."""
    values = {**row, "file": row["name"]}
    return {key: plain(value) if isinstance(value, str) else value for key, value in values.items() if key != "name"}
