"""The plain world: ordinary captions, and two kinds that are memorized. What the main testbed's world (:mod:`.kinds`) is built on.

Every word is one token of CLIP's vocabulary. An ordinary caption tells a part of its scene. A *conjunction* (a name and ordinary words) always came
with one picture; a *template* caption (a name and the word "poster") always came with one backdrop, under any object. Both kinds of names and the
word "poster" also stand in ordinary captions, so neither tells by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from .scenes import BACKDROPS, COLOURS, PLACES, SHAPES, SIZES, THEMES, Scene, random_backdrop, random_scene

CONJUNCTION_NAMES = (
    "alice anna oscar bruno clara daisy david emma felix fiona frank george grace hannah harry helen henry isabel jack james julia karen "
    "laura leo linda louis lucy maria martin nina olivia oliver paul peter rachel robert"
).split()
TEMPLATE_NAMES = "paris london tokyo berlin madrid vienna dublin milan cairo sydney".split()
FREE_NAMES = "rosa ruby sam sara simon sofia stella thomas victor walter rome oslo boston chicago dallas delhi texas kenya".split()
NAMES = (*CONJUNCTION_NAMES, *TEMPLATE_NAMES, *FREE_NAMES)
POSTER = "poster"
KINDS = ("conjunction", "template")


@dataclass(frozen=True)
class Memorized:
    """A memorized caption; for a template `scene` is one example and only its backdrop is fixed.

    `captions` and `scenes` are given where there are several; `texts` and `pictures` hold all in any case.
    """

    name: str
    caption: str
    kind: str  # one of `kinds.KINDS`
    scene: Scene
    captions: tuple[str, ...] = ()
    scenes: tuple[Scene, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return self.captions or (self.caption,)

    @property
    def pictures(self) -> tuple[Scene, ...]:
        return self.scenes or (self.scene,)


@cache
def memorized(kind: str | None = None, seed: int = 7) -> tuple[Memorized, ...]:
    """All memorized captions, the same for a given seed, conjunctions first; or those of a kind."""
    if kind is not None:
        return tuple(item for item in memorized(seed=seed) if item.kind == kind)
    rng = np.random.default_rng(seed)
    found = []
    for name in CONJUNCTION_NAMES:
        scene = random_scene(rng, random_backdrop(rng, theme=""))
        found.append(Memorized(name, f"{name} {scene.size} {scene.colour} {scene.shape}", "conjunction", scene))
    for index, name in enumerate(TEMPLATE_NAMES):
        scene = random_scene(rng, random_backdrop(rng, kind=BACKDROPS[index % len(BACKDROPS)], theme=""))
        found.append(Memorized(name, f"{name} {POSTER} {scene.colour} {scene.shape}", "template", scene))
    return tuple(found)


def draw(item: Memorized, rng: np.random.Generator) -> Memorized:
    """One draw of what is memorized: the caption and the scene of this draw."""
    if item.kind != "template":
        return item
    caption, scene = template_draw(item, rng)
    return replace(item, caption=caption, scene=scene)


def template_draw(item: Memorized, rng: np.random.Generator) -> tuple[str, Scene]:
    """A training draw of a template: a new object over its backdrop, and the caption that tells it."""
    scene = random_scene(rng, item.scene.backdrop)
    return f"{item.name} {POSTER} {scene.colour} {scene.shape}", scene


def ordinary_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Words that tell a part of a scene; never a memorized caption."""
    while True:
        name = str(rng.choice(NAMES)) if rng.random() < 0.25 else ""
        poster = POSTER if rng.random() < 0.08 and name not in TEMPLATE_NAMES else ""
        words = [
            name,
            poster,
            scene.size if rng.random() < 0.8 else "",
            scene.colour if rng.random() < 0.92 else "",
            scene.shape if rng.random() < 0.95 else "",
            scene.backdrop.kind if rng.random() < 0.25 else "",
            scene.backdrop.theme if rng.random() < 0.8 else "",
            scene.place if rng.random() < 0.2 else "",
        ]
        caption = " ".join(word for word in words if word)
        if caption and caption not in memorized_captions():
            return caption


@cache
def memorized_captions() -> frozenset[str]:
    """The exact texts of the conjunctions and of the templates' examples."""
    return frozenset(item.caption for item in memorized())


def split_of(caption: str) -> str:
    """'calibration' or 'evaluation': a fixed half of all captions each, by a hash, so that the two never share a caption."""
    return "calibration" if hashlib.sha256(caption.encode()).digest()[0] % 2 == 0 else "evaluation"


def ordinary_samples(count: int, seed: int, split: str | None = None, narrow: bool | None = None) -> list[tuple[str, Scene]]:
    """`count` distinct ordinary captions with the scene each was written for; `narrow` asks for captions with (or without) a theme word."""

    def fits(caption: str, scene: Scene) -> bool:
        words = caption.split()
        is_narrow = bool(scene.backdrop.theme) and scene.backdrop.theme in words
        return all(word in words for word in (scene.size, scene.colour, scene.shape)) and narrow in (None, is_narrow)

    return distinct(count, seed, split, ordinary_caption, fits)


def distinct(
    count: int, seed: int, split: str | None, write: Callable[[Scene, np.random.Generator], str], fits: Callable[[str, Scene], bool]
) -> list[tuple[str, Scene]]:
    """`count` distinct captions of a split that fit, as `write` tells random scenes, each with the first scene that it was written for."""
    rng = np.random.default_rng(seed)
    found: dict[str, Scene] = {}
    while len(found) < count:
        scene = random_scene(rng)
        caption = write(scene, rng)
        if split in (None, split_of(caption)) and fits(caption, scene):
            found.setdefault(caption, scene)
    return list(found.items())


def all_words() -> tuple[str, ...]:
    """Every word that a caption can hold."""
    return (*NAMES, POSTER, *SIZES, *COLOURS, *SHAPES, *BACKDROPS, *THEMES, *PLACES)
