"""A web UI that answers as a real one does, with pictures that are what their prompt says: a copy, or one for each seed."""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
from PIL import Image

from lib_stability.trial.plan import Plan, Setting

LIMITS = {"low": 4.0, "medium": 3.0, "high": 2.0, "paper": 3.0}
LEVELS = {level: {"threshold": limit, "strong": 9.0, "false_alarms": 0.01} for level, limit in LIMITS.items()}
PLAN = Plan(("copy one", "copy two"), tuple(f"plain {number}" for number in range(12)), (Setting(steps=5),), seeds=2, width=64, height=64)


def picture(text: str, seed: int) -> Image.Image:
    """The same for every seed where the text says "copy", apart from a little grain."""
    fixed = text.startswith("copy")
    rng = np.random.default_rng(zlib.crc32(text.encode()) if fixed else zlib.crc32(f"{text} {seed}".encode()))
    blocks = np.repeat(np.repeat(rng.integers(30, 220, (8, 8, 3)), 8, 0), 8, 1)
    grain = np.random.default_rng(seed).integers(-15, 16, blocks.shape)
    return Image.fromarray((blocks + grain).clip(0, 255).astype(np.uint8))


class FakeWebui:
    """Stands where the command line's client would."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.last: dict = {}
        self.model, self.grid, self.failing = "0123456789", False, []

    def request(self, method: str, path: str, body: dict | None = None) -> object:
        if path == "/sdapi/v1/txt2img":
            if self.failing:
                raise self.failing.pop(0)
            return self.generate(body)
        if path == "last":
            return self.last
        if path == "profiles":
            return {"profiles": [{"name": "Mine", "levels": LEVELS, "probe_levels": LEVELS}]}
        raise ValueError(path)

    def generate(self, body: dict) -> dict:
        self.asked.append(body)
        guard, seeds = body["alwayson_scripts"]["Memorization Guard"]["args"][0], [body["seed"] + n for n in range(body["batch_size"])]
        on, texts, pictures, images = guard.get("enabled", True), [], [], []
        for seed in seeds:
            score = self.score(body["prompt"], seed)
            damped = on and guard.get("mode") == "damp" and score > 3
            pictures.append(picture(f"plain {body['prompt']}" if damped else body["prompt"], seed))
            verdict = f"{'strong' if score > 3 else 'stable'}"
            told = f", MG verdict: {verdict}, MG score: {score:g}, MG version: 0.1.0" + (", MG damped: 5/5, MG score after: -0.8" if damped else "")
            texts.append(f"{body['prompt']}\nSteps: 5, Sampler: Euler, Seed: {seed}, Model hash: {self.model}, Version: v1.10.1{told if on else ''}")
            trajectory = [{"watch": score / 2, "probe": None, "damped": False}, {"watch": score, "probe": score / 3, "damped": damped}]
            if damped:  # the prompt pulls back to its copy
                trajectory += [{"watch": 10 * score, "probe": None, "damped": True}]
            images.append({"seed": seed, "first": {"verdict": verdict, "trajectory": trajectory}})
        if on:
            judge = {"name": "Mine", "origin": "own", "kind": "calibrated", "runs": 200, "trial": ""}
            self.last = {"images": images, "settings": {"mode": guard["mode"]}, "judged_by": [judge]}
        if self.grid:
            texts, pictures = [texts[0], *texts], [pictures[0], *pictures]
        info = {"infotexts": texts, "index_of_first_image": int(self.grid), "all_seeds": seeds}
        return {"images": [encoded(one) for one in pictures], "info": json.dumps(info)}

    @staticmethod
    def score(prompt: str, seed: int) -> float:
        return 6.0 + seed % 2 if prompt.startswith("copy") else 1.0 + (seed % 7) / 10


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
