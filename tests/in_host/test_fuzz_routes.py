"""Odd bodies and arguments over HTTP: an answer in words for each, none of them a failure of the server, and nobody unguarded who asked for it."""

from __future__ import annotations

import json

import pytest
from asking import JSON, Asker
from fuzzing import cases, dumped, spoiled_bytes, value
from test_routes import command, started  # noqa: F401

from lib_stability.webui.job.arguments import FIELDS
from lib_stability.webui.tasks import api_jobs


@pytest.mark.parametrize("kind", list(api_jobs._KINDS))
def test_bodies_of_routes(host, command, started, kind):  # noqa: F811
    ask, known = Asker(host), list(api_jobs._KINDS[kind][0].__dataclass_fields__)
    for draw in cases(f"route {kind}", 60):
        body = {draw.choice([*known, "x"]): value(draw) for _ in range(draw.randint(0, 3))}
        data = draw.choice((dumped(body), dumped(value(draw)), spoiled_bytes(draw, dumped(body))))
        status, answer = ask("POST", kind, data, **JSON)
        assert status in (202, 422), (data, answer)
        assert status == 202 or answer["detail"][0]["msg"].isprintable()


def test_arguments_of_generations(host, command, options):  # noqa: F811
    ask, route, answered = Asker(host), "/sdapi/v1/txt2img", set()
    for draw in cases("generation", 25):
        given = {draw.choice(FIELDS): draw.choice((value(draw, 2), "auto", "damp", 1.0, True)) for _ in range(draw.randint(0, 2))}
        script = draw.choice(({"args": [given]}, {"args": [given]}, {"args": value(draw)}, {}, value(draw)))
        body = {"prompt": "big red circle", "steps": 1, "seed": 3, "alwayson_scripts": {"Memorization Guard": script}}
        status, answer = ask("POST", route, dumped(body), **JSON)
        answered.add(status)
        assert status in (200, 422), (script, answer)
        if status == 200:
            texts = json.loads(answer["info"])["infotexts"]
            first = script["args"][0] if isinstance(script, dict) and script.get("args") else {}
            off = first is False or (isinstance(first, dict) and str(first.get("enabled")).strip().lower() == "false") or first is None
            assert off or all("MG verdict" in text for text in texts), script
    assert answered == {200, 422}


@pytest.mark.parametrize("path", ["audit/rows", "profiles", "last", "scan"])
def test_odd_queries(host, command, path):  # noqa: F811
    ask = Asker(host)
    for query in ("verdict=%00", "verdict=%ff%fe", "start=1e9", "start=%d9%a1", "count=9" * 300, "x=" + "y" * 5000, "verdict[]=1", "&&&&", "%"):
        assert ask("GET", f"{path}?{query}")[0] in (200, 404, 422)
