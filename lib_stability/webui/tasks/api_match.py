"""Routes of the indexes of training pictures: which there are, what is nearest to a picture, pictures described, an index deleted.

Making one is a long task, see :mod:`.api_jobs`.
"""

from __future__ import annotations

from collections.abc import Callable

from ...trail.audit import plain
from ...validation import Field, ValidationError
from . import bodies, json_options, matching, roles


def add_routes(app: object, prefix: str, protected: list, administrators: list) -> None:
    """Add the routes to the host's application; `protected` are the dependencies of each, `administrators` those of what deletes."""
    for name, (method, endpoint) in _endpoints().items():
        dependencies = [*protected, *(administrators if name == "/delete" else ())]
        app.add_api_route(f"{prefix}/match{name}", endpoint, methods=[method], dependencies=dependencies)


def _endpoints() -> dict[str, tuple[str, Callable]]:
    from fastapi import Depends, HTTPException
    from fastapi.responses import JSONResponse
    from starlette.requests import Request

    bodies.read.__annotations__ = {"request": Request}  # FastAPI reads it by value

    def answer(work: Callable[[], dict]) -> JSONResponse:
        try:
            return JSONResponse(work())
        except ValidationError as error:
            return JSONResponse({"detail": bodies.refusal("body", error)}, 422)
        except ValueError as error:
            raise HTTPException(409, str(error)) from None

    def listed() -> dict:
        return {"indexes": matching.listed()}

    def find(request, body: object = Depends(bodies.read)) -> JSONResponse:
        def work() -> dict:
            given = json_options.fields(body, ("picture", "index", "count"))
            image = matching.picture(given.get("picture", Field(None, "picture")))
            name = given["index"].name() if "index" in given and given["index"].value != "" else ""
            count = json_options.integers(given, count=matching.COUNT).get("count", 5)
            asked, near = matching.find(image, name, count)
            caller = request.state.memorization_guard_caller
            named = roles.is_administrator(caller.name, caller.of_api, request)
            rows = [{key: plain(one) if isinstance(one, str) else one for key, one in matching.told(each, named).items()} for each in near]
            return {"index": asked, "nearest": rows}

        return answer(work)

    def describe(body: object = Depends(bodies.read)) -> JSONResponse:
        def work() -> dict:
            given = json_options.fields(body, ("pictures", "grid"))
            found = given.get("pictures", Field(None, "pictures"))
            if not isinstance(found.value, list) or len(found.value) > matching.MOST_PICTURES:
                found.fail(f"has to be a list of at most {matching.MOST_PICTURES} pictures")
            pictures = [matching.picture(Field(one, f"pictures[{number}]")) for number, one in enumerate(found.value)]
            return matching.describe(pictures, **json_options.integers(given, grid=matching.GRIDS))

        return answer(work)

    def delete(body: object = Depends(bodies.read)) -> JSONResponse:
        def work() -> dict:
            name = json_options.fields(body, ("index",)).get("index", Field(None, "index")).name()
            matching.delete(name)
            return {"deleted": name}

        return answer(work)

    listed.__annotations__ = describe.__annotations__ = delete.__annotations__ = {}
    find.__annotations__ = {"request": Request}
    return {"": ("GET", listed), "/find": ("POST", find), "/describe": ("POST", describe), "/delete": ("POST", delete)}
