"""One request through a web UI: what is sent, and what its answer says about each image. Answers are read as anything from outside."""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, Protocol

from PIL import Image

from ..guard.sensitivity import TARGETS
from ..trail.infotext import parse_text, read
from ..validation import Field, ValidationError
from .plan import OFF, Plan, Request

NAME = "Memorization Guard"
LEVELS = (*TARGETS, "paper")
#: Looks at the record of the last job, where somebody else generates at the same time.
_LOOKS = 2
_MOST_PIXELS = 64_000_000


class Server(Protocol):
    """What the command line's client of a web UI can do."""

    def request(self, method: str, path: str, body: dict | None = None) -> object:
        """A path of the guard's routes, or one of the web UI's own where it begins with a slash; ValueError where the web UI refuses."""


class Made(NamedTuple):
    """A finished picture, and its row."""

    picture: Image.Image
    row: dict


class Webui:
    """Generates through a server and judges by what its guard says."""

    def __init__(self, server: Server, plan: Plan) -> None:
        self.server, self.plan = server, plan
        #: By name of a profile: the thresholds of each level, of watch and probe.
        self._levels: dict[str, dict[str, dict[str, float]]] = {}

    def body(self, request: Request, profile: str = "") -> dict:
        """What is sent to the web UI."""
        setting = self.plan.settings[request.setting]
        guard = {"mode": request.mode, "sensitivity": self.plan.sensitivity} | ({"profile": profile} if profile else {})
        return {
            "prompt": self.plan.text(request),
            "negative_prompt": setting.negative,
            "sampler_name": setting.sampler,
            **({"scheduler": setting.schedule} if setting.schedule else {}),
            "steps": setting.steps,
            "cfg_scale": setting.guidance,
            "seed": request.seeds[0],
            "batch_size": len(request.seeds),
            "n_iter": 1,
            "width": self.plan.width,
            "height": self.plan.height,
            "save_images": False,
            "alwayson_scripts": {NAME: {"args": [{"enabled": False} if request.mode == OFF else guard]}},
        }

    def generate(self, request: Request, profile: str = "") -> list[Made]:
        """The images of a request in the order of its seeds; a batch that is too large for the memory is halved.

        Raises
        ------
        ValueError
            The web UI refuses, or its answer makes no sense.
        """
        began = time.monotonic()
        try:
            answer = self.server.request("POST", "/sdapi/v1/txt2img", self.body(request, profile))
        except ValueError as error:
            if "OutOfMemory" not in str(error) or len(request.seeds) < 2:
                raise
            half = len(request.seeds) // 2
            parts = [request._replace(seeds=seeds) for seeds in (request.seeds[:half], request.seeds[half:])]
            return [image for part in parts for image in self.generate(part, profile)]
        seconds = (time.monotonic() - began) / len(request.seeds)
        try:
            pictures, texts = _pictures(answer, request.seeds)
        except (ValidationError, ValueError, OSError) as error:
            raise ValueError(f"the web UI's answer makes no sense: {str(error)[:200]}") from None
        seen = {} if request.mode == OFF else self._seen(request)
        rows = [self._row(text, seen.get(seed), seconds) for text, seed in zip(texts, request.seeds)]
        names = ("phase", "mode", "setting", "set", "prompt", "seed")
        return [Made(picture, dict(zip(names, key)) | row) for picture, key, row in zip(pictures, request.images(), rows)]

    def _row(self, text: str, seen: dict | None, seconds: float) -> dict:
        params = parse_text(text)[2]
        first = read(params)[1]
        row = {
            "verdict": first.verdict if first else None,
            "score": first.score if first else None,
            "score_after": first.score_after if first else None,
            "reason": first.reason if first else "",
            "outcome": first.outcome if first else "",
            "flagged_at": first.flagged_at if first else None,
            "damped": first.damped if first else 0,
            "seconds": round(seconds, 4),
            "model": params.get("Model hash", "")[:64],
            "webui": params.get("Version", "")[:60],
            "guard": params.get("MG version", "")[:20],
        }
        return row | (seen or {"evaluations": None, "looks": None, "levels": None, "profile": "", "standing": ""})

    def _seen(self, request: Request) -> dict[int, dict]:
        """What the guard's record of the last job says, by seed; empty where that is another job's."""
        for _ in range(_LOOKS):
            try:
                return self._recorded(self.server.request("GET", "last"), request)
            except (ValidationError, KeyError, TypeError, AttributeError):
                time.sleep(0.2)
        return {}

    def _recorded(self, answer: object, request: Request) -> dict[int, dict]:
        found = Field(answer, "last").object()
        images = [one["first"] | {"seed": one["seed"]} for one in found["images"].value]
        if [one["seed"] for one in images] != list(request.seeds) or found["settings"]["mode"].value != request.mode:
            raise ValidationError("last: another job")
        judges = found["judged_by"].value
        name = Field(judges[0]["name"], "name").name() if len(judges) == 1 else ""
        limits = self._limits(name)
        return {one["seed"]: _evaluated(one["trajectory"], limits) | {"profile": name, "standing": _standing(judges)} for one in images}

    def _limits(self, name: str) -> dict[str, dict[str, float]]:
        if name and name not in self._levels:
            listed = Field(self.server.request("GET", "profiles"), "profiles").object()["profiles"].value
            one = next(Field(each, "profile").object() for each in listed if each["name"] == name)
            self._levels[name] = {
                detector: {level: one[field][level]["threshold"].number(0, 1e6) for level in LEVELS}
                for detector, field in (("watch", "levels"), ("probe", "probe_levels"))
                if one.get(field, None).value
            }
        return self._levels.get(name, {})


def _standing(judges: list[dict]) -> str:
    """Where what judged comes from and what it rests on; not its name, which may be that of a checkpoint."""
    words = {"calibrated": "calibration"}
    kinds = [(f"{one['origin']} {'trial' if one['trial'] else words.get(one['kind'], one['kind'])}", int(one["runs"])) for one in judges]
    told = [f"{kind}, {runs} runs" if runs else kind for kind, runs in kinds]
    return ", ".join(dict.fromkeys(told))[:200]


def _evaluated(trajectory: Sequence[dict], limits: dict[str, dict[str, float]]) -> dict:
    """Evaluations, looks of the probe, and by level the highest score of either detector in units of its threshold: above 1 is a flag.

    Of a damped image up to the evaluation that was damped first: what comes later is no score of the picture that would have been.
    """
    best: dict[str, float] = {}
    until = next((number for number, one in enumerate(trajectory, 1) if one.get("damped")), len(trajectory))
    for detector in ("watch", "probe"):
        scores = [float(one[detector]) for one in trajectory[:until] if one[detector] is not None and math.isfinite(one[detector])]
        if not scores:
            continue
        if detector not in limits:  # an older extension does not tell its thresholds
            return {"evaluations": len(trajectory), "looks": _looks(trajectory), "levels": None}
        for level, limit in limits[detector].items():
            best[level] = max(best.get(level, -math.inf), max(scores) / limit)
    return {"evaluations": len(trajectory), "looks": _looks(trajectory), "levels": {level: round(value, 5) for level, value in best.items()} or None}


def _looks(trajectory: Sequence[dict]) -> int:
    return sum(one["probe"] is not None for one in trajectory)


def _pictures(answer: object, seeds: Sequence[int]) -> tuple[list[Image.Image], list[str]]:
    """Pictures and infotexts of the images themselves; a grid that some web UIs put before them is left out."""
    root = Field(answer, "answer").object()
    info = Field(json.loads(root["info"].text(50_000_000)), "info").object()
    first = info.get("index_of_first_image", 0).integer(0, 1)
    texts = Field(info["infotexts"].value, "infotexts")
    images = root["images"]
    if not isinstance(texts.value, list) or not isinstance(images.value, list):
        texts.fail("has to be a list")
    own = slice(first, first + len(seeds))
    chosen, told = images.value[own], texts.value[own]
    if len(chosen) != len(seeds) or len(told) != len(seeds) or list(info["all_seeds"].value) != list(seeds):
        images.fail(f"{len(chosen)} pictures where {len(seeds)} were asked for, or of other seeds")
    return [_picture(Field(one, "image").text(100_000_000)) for one in chosen], [Field(one, "infotext").text(1_000_000) for one in told]


def _picture(text: str) -> Image.Image:
    with Image.open(io.BytesIO(base64.b64decode(text.split(",", 1)[-1])), formats=["PNG", "JPEG", "WEBP"]) as picture:
        if picture.width * picture.height > _MOST_PIXELS:
            raise ValueError("a picture is too large")
        return picture.convert("RGB")


def pace(webui: Webui, profile: str = "", steps: int = 4) -> dict[tuple[str, str], float]:
    """Seconds of an image's step by sampler and mode: measured with few steps, after one request that warms up."""
    found: dict[tuple[str, str], float] = {}
    plan = webui.plan
    for number, setting in enumerate(plan.settings):
        for mode in (OFF, *plan.modes):
            if (setting.sampler, mode) in found:
                continue
            short = tuple(replace(one, steps=min(steps, one.steps)) for one in plan.settings)
            trial = Webui(webui.server, replace(plan, settings=short))
            seeds = tuple(range(plan.first_seed, plan.first_seed + min(plan.seeds, plan.batch_size)))
            for _ in range(1 if found else 2):
                made = trial.generate(Request("before", mode, number, "ordinary", 0, seeds), profile)
            found[setting.sampler, mode] = made[0].row["seconds"] / short[number].steps
    return found


def estimate(plan: Plan, pace_of: dict[tuple[str, str], float], done: frozenset | set = frozenset()) -> float:
    """Seconds that the images of a plan take which are not `done` yet."""
    total = 0.0
    for phase in plan.phases:
        for one in plan.requests(phase):
            setting = plan.settings[one.setting]
            missing = sum(key not in done for key in one.images())
            with suppress(KeyError):
                total += missing * setting.steps * pace_of[setting.sampler, one.mode]
    return total
