"""What a web UI answers about pictures that it was asked for: of just these captions, so many each, and whole."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from lib_stability.shell import webui_answers
from lib_stability.shell.webui_answers import ClientError


def encoded(kind: str = "JPEG", cut: int = 10**6) -> str:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, kind)
    return base64.b64encode(out.getvalue()[:cut]).decode()


def answer(*pictures: str, caption: str = "a fox") -> dict:
    return {"checkpoint": "some", "rows": [{"caption": caption, "pictures": [{"seed": 0, "picture": one} for one in pictures]}]}


def test_pictures_come_as_files():
    checkpoint, ((first, second),) = webui_answers.pictures(answer(encoded(), encoded()), ["a fox"], 2)
    assert checkpoint == "some" and Image.open(io.BytesIO(first)).size == (64, 64) and second.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        [],
        {"rows": []},
        answer(encoded()),
        answer(encoded(), encoded(), caption="a dog"),
        answer(encoded(), "no base64"),
        answer(encoded(), encoded("PNG")),
        answer(encoded(), encoded(cut=300)),
        answer(encoded(), 7),
        {"rows": [{"caption": "a fox", "pictures": "x"}]},
        {"rows": answer(encoded(), encoded())["rows"]},
        {"rows": [None], "checkpoint": "x"},
    ],
)
def test_what_makes_no_sense_is_refused(bad):
    with pytest.raises(ClientError, match="makes no sense"):
        webui_answers.pictures(bad, ["a fox"], 2)


def test_trials_are_read_from_the_list_of_profiles():
    told = {"profiles": [{"name": "a", "trial": "only 20 reference runs"}, {"name": "b", "trial": ""}, {"name": "older"}]}
    assert webui_answers.trials(told) == {"a": "only 20 reference runs"}
    for bad in (None, {}, {"profiles": 3}, {"profiles": [{}]}, {"profiles": [{"name": "a", "trial": 7}]}):
        with pytest.raises(ClientError, match="makes no sense"):
            webui_answers.trials(bad)
