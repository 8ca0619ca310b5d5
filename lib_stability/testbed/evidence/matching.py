"""What an index of training pictures finds: of the testbed's own copies, whole and partial, and of training pictures that were altered.

The index is that of a person who has the training set: ordinary pictures of it, those that were memorized, and several draws of each template. Asked
for are generations of memorized captions (whole copies), of templates (partial copies: the backdrop of one, the object of nobody), of ordinary
captions, and ordinary pictures that are not in the index.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from ...match import building, describing, finding, opening
from ...match.describing import Describer
from ...match.search import Index
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting
from ..world import judge
from ..world.captions import template_draw
from ..world.kinds import memorized, ordinary_samples
from ..world.scenes import SIZE, random_scene, render
from . import tables, written
from .damping import generate

SEED = EVALUATION_SEED + 80_000_000
#: Ordinary training pictures in the index, draws of each template, seeds of each memorized caption, and runs of ordinary ones.
ORDINARY, DRAWS, SEEDS, RUNS, STRANGERS = 1000, 6, 2, 48, 200


def _cut(share: float, right: float = 0.0) -> Callable[[Image.Image], Image.Image]:
    def cut(one: Image.Image) -> Image.Image:
        side = round(SIZE * share)
        left = round((SIZE - side) * (1 + right) / 2)
        return one.crop((left, left, left + side, left + side)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)

    return cut


def _jpeg(one: Image.Image) -> Image.Image:
    out = io.BytesIO()
    one.save(out, "JPEG", quality=30)
    return Image.open(out).convert("RGB")


#: What people do to pictures.
ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "JPEG at quality 30": _jpeg,
    "half the size": lambda one: one.resize((SIZE // 2, SIZE // 2), Image.Resampling.BICUBIC),
    "paler": lambda one: one.point(lambda value: value * 0.7 + 50),
    "grey": lambda one: one.convert("L").convert("RGB"),
    "the middle 90 %": _cut(0.9),
    "the middle 80 %": _cut(0.8),
    "the middle 70 %": _cut(0.7),
    "a corner of 90 %": _cut(0.9, 1.0),
    "a corner of 80 %": _cut(0.8, 1.0),
    "turned by 5 degrees": lambda one: one.rotate(5, Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)),
    "upside down": ImageOps.flip,
}


def describer(bed: Testbed) -> Describer:
    """By the testbed's own autoencoder."""

    def encode(pictures: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return bed.encode(torch.from_numpy(np.ascontiguousarray(pictures)) * 2 - 1).numpy()

    return describing.by_latents(encode, "the testbed's autoencoder", SIZE)  # a quarter of the work: its pictures are no larger


def measure(bed: Testbed, out: Path, tick: Callable[[int], None] = lambda n: None) -> dict:
    """Generate, index, look up; writes ``match.json`` and ``match.md`` into `out` and returns the first's content."""
    known, asked = _training(), _asked(bed, tick)
    result = {"index": len(known), "rows": []}
    for how in (describer(bed), describing.by_pixels()):
        with tempfile.TemporaryDirectory() as folder:
            top, place = Path(folder) / "pictures", Path(folder) / "index"
            top.mkdir()
            for name, picture in known.items():
                picture.save(top / f"{name}.png")
            about = building.build(place, [top], how, lambda done, total, note: tick(0)).about
            with Index(place) as index:
                for kind, (pictures, right) in asked.items():
                    squares = [opening.square(one, how.side) for one in pictures]
                    found = [near for first in range(0, len(squares), 32) for near in finding.near(index, how, squares[first : first + 32], 1)]
                    result["rows"].append({"by": how.kind, "limit": about.limit, "asked": kind, **_held(found, right)})
                    tick(len(squares))
    out.mkdir(parents=True, exist_ok=True)
    written.write(out / "match.json", result)
    (out / "match.md").write_text(report(result))
    return result


def _held(found: Sequence[list[finding.Near]], right: Sequence[str] | None) -> dict:
    """How many are called copies, of how many the nearest is a right one (its name begins so), both, and their likeness."""
    best = [one[0] for one in found]
    told = {"pictures": len(best), "copies": sum(one.copy is True for one in best), "likeness": float(np.median([one.likeness for one in best]))}
    if right is None:
        return {**told, "nearest": None, "both": None}
    same = [one.file.startswith(name) for one, name in zip(best, right)]
    return {**told, "nearest": sum(same), "both": sum(yes and one.copy is True for yes, one in zip(same, best))}


def _training() -> dict[str, Image.Image]:
    rng = np.random.default_rng(2)  # the training set's own seed: its first pictures
    found = {f"ordinary-{number}": _picture(random_scene(rng)) for number in range(ORDINARY)}
    for item in memorized():
        if item.kind != "template":
            found |= {f"{item.name}-{number}": _picture(scene) for number, scene in enumerate(item.pictures)}
        else:
            found |= {f"{item.name}-{number}": _picture(template_draw(item, rng)[1]) for number in range(DRAWS)}
    return found


def _picture(scene: object) -> Image.Image:
    return Image.fromarray(np.asarray(render(scene), np.uint8))


def _asked(bed: Testbed, tick: Callable[[int], None]) -> dict[str, tuple[list[Image.Image], list[str] | None]]:
    """Kinds of pictures, and how the name of the right one begins; None where none is right."""
    found: dict[str, tuple[list[Image.Image], list[str] | None]] = {}
    for template, told in ((False, "whole copies"), (True, "partial copies")):
        items = [item for item in memorized() if (item.kind == "template") == template for _ in range(SEEDS)]
        pixels = generate(bed, [item.caption for item in items], Setting(), SEED + len(found) * 10_000, tick=tick).pixels
        copied = judge.own_copies(pixels, items).tolist()  # not every run is a copy
        found[told] = [one for one, yes in zip(_images(pixels), copied) if yes], [f"{item.name}-" for item, yes in zip(items, copied) if yes]
    captions = [caption for caption, _ in ordinary_samples(RUNS, SEED, "evaluation")]
    pixels = generate(bed, captions, Setting(), SEED + 90_000, tick=tick).pixels
    ordinary = [one for one, copied in zip(_images(pixels), judge.any_copies(pixels, memorized()).tolist()) if not copied]
    found["ordinary runs"] = ordinary, None
    rng = np.random.default_rng(77)
    found["pictures not in the index"] = [_picture(random_scene(rng)) for _ in range(STRANGERS)], None
    own = [(item.name, _picture(item.scene)) for item in memorized() if item.kind != "template"]
    for told, alter in ALTERED.items():
        found[told] = [alter(picture) for _, picture in own], [f"{name}-" for name, _ in own]
    return found


def _images(pixels: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(one) for one in ((pixels + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()]


def scores(result: dict, by: str) -> dict[str, float]:
    """Recall of whole and of partial copies, and precision over these, the ordinary runs and the pictures not in the index."""
    rows = {row["asked"]: row for row in result["rows"] if row["by"] == by}
    right = rows["whole copies"]["both"] + rows["partial copies"]["both"]
    called = sum(rows[name]["copies"] for name in ("whole copies", "partial copies", "ordinary runs", "pictures not in the index"))
    recall = {kind: rows[f"{kind} copies"]["both"] / max(rows[f"{kind} copies"]["pictures"], 1) for kind in ("whole", "partial")}
    return {**recall, "precision": right / max(called, 1)}


def report(result: dict) -> str:
    """The table."""
    rows = []
    for one in result["rows"]:
        share = ["–" if one[name] is None else f"{100 * one[name] / max(one['pictures'], 1):.1f} %" for name in ("copies", "nearest", "both")]
        rows.append([one["by"], f"{one['limit']:.2f}", one["asked"], str(one["pictures"]), f"{one['likeness']:.2f}", *share])
    heads = ["by", "limit", "asked", "pictures", "likeness", "called copies", "nearest is right", "both"]
    told = [
        f"By {by}: recall {100 * found['whole']:.1f} % of whole and {100 * found['partial']:.1f} % of partial copies, "
        f"precision {100 * found['precision']:.1f} %."
        for by in dict.fromkeys(row["by"] for row in result["rows"])
        for found in [scores(result, by)]
    ]
    said = f"An index of {result['index']} pictures, Euler 20, w = 7.5; the limit is the index's own."
    return f"# Which picture\n\n{said}\n\n{tables.markdown(heads, rows)}\n\n" + "\n".join(told) + "\n"
