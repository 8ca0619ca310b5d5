"""Odd arguments of the always-on script, and odd bodies of routes, without a host: settings, or a refusal that names the field."""

from __future__ import annotations

from fuzzing import cases, dumped, spoiled_bytes, value

from lib_stability.trail.infotext import Settings
from lib_stability.validation import ValidationError
from lib_stability.webui.job.arguments import FIELDS, parse
from lib_stability.webui.tasks import bodies, json_options, scanning


def test_arguments():
    for draw in cases("arguments", 4000):
        given = {draw.choice(FIELDS): value(draw, 2) for _ in range(draw.randint(0, 3))}
        args = draw.choice(
            ([given], [value(draw)], [value(draw, 1) for _ in range(draw.randint(0, 12))], [given, *(value(draw, 1) for _ in range(4))])
        )
        try:
            assert isinstance(parse(args), Settings)
        except ValidationError as error:
            assert ":" in str(error)


def test_bodies():
    whole = dumped({"captions": ["a cat", "\ud83d\ude00"], "seeds": 4, "width": 64})
    for draw in cases("bodies", 4000):
        data = (
            spoiled_bytes(draw, whole) if draw.random() < 0.5 else dumped({draw.choice(("captions", "seeds", "width", "profile", "x")): value(draw)})
        )
        try:
            found = scanning.Options.parse(bodies.parse(data))
        except ValidationError as error:
            assert str(bodies.refusal("body", error)[0]["msg"]).isprintable()
        else:
            assert found.captions and all(one.encode() for one in found.captions)


def test_lists_of_texts_hold_what_json_can_say():
    for draw in cases("texts", 2000):
        try:
            found = json_options.texts(json_options.Field([value(draw, 1) for _ in range(draw.randint(0, 4))], "prompts"))
        except ValidationError as error:
            assert str(error).startswith("prompts")
        else:
            assert len(set(found)) == len(found) and all(found)
