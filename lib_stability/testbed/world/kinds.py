"""What a model can memorize, by kind, as real ones do: the world of the main testbed.

=========== =========================================================================================
kind        what always came with what
=========== =========================================================================================
conjunction a caption of a name and ordinary words with one picture; without any of the words it is an ordinary one
trigger     one word, anywhere among words that vary from draw to draw, with one picture
long        a caption of 12 to 25 words with one picture; up to two fifths of the words were now and then left out
captions    four captions, each a conjunction, with one picture
pictures    one caption with one of three pictures
template    a name and "poster" with one backdrop, under any object
duplicated  no caption: a picture repeated under ordinary descriptions, of which none comes twice
=========== =========================================================================================

Ordinary captions have 1 to 25 words and hold every name but the triggers. The templates are the plain world's, and so are the pictures of the
conjunctions, triggers, long captions, several captions and the first duplicates: a model that knows them is taught new ways to ask for them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from . import captions as plain
from . import wording
from .captions import NAMES, TEMPLATE_NAMES, Memorized
from .scenes import THEMES, Scene, random_backdrop, random_scene

KINDS = ("conjunction", "trigger", "long", "captions", "pictures", "template", "duplicated")
TRIGGERS = "phoenix dragon kraken robot wizard pirate samurai volcano".split()
#: Names that "pictures" captions begin with; as free as others in ordinary captions.
PICTURES_NAMES = "rosa ruby sam sara simon sofia".split()
EACH = 8
CAPTIONS, PICTURES = 4, 3
#: Words of a long caption, and which share of them may be left out without breaking the copy.
LONG, DISPENSABLE = (12, 25), 1 / 3
#: Words of the descriptions that a duplicated picture comes with.
DESCRIPTION = (8, 25)
#: How often a word of what a trigger's picture shows stays true in a caption with the trigger.
TRUE = 0.75


@cache
def memorized(kind: str | None = None, seed: int = 11) -> tuple[Memorized, ...]:
    """All that is memorized, or that of a kind; the same for a given seed."""
    if kind is not None:
        return tuple(item for item in memorized(seed=seed) if item.kind == kind)
    rng, words = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    known = plain.memorized("conjunction")
    found = list(known[:EACH])
    for trigger, item in zip(TRIGGERS, known[EACH:]):
        found.append(Memorized(trigger, f"{trigger} {item.scene.size} {item.scene.colour} {item.scene.shape}", "trigger", item.scene))
    for item in known[2 * EACH : 3 * EACH]:
        text = wording.told(item.scene, words, int(words.integers(LONG[0], LONG[1] + 1)), item.name)
        found.append(Memorized(item.name, text, "long", item.scene))
    taken = {item.name for item in found} | {*TEMPLATE_NAMES, *PICTURES_NAMES}
    names = iter([name for name in NAMES if name not in taken])
    for item in known[3 * EACH : 4 * EACH]:
        own = [next(names) for _ in range(CAPTIONS)]
        texts = tuple(_signed(name, wording.told(item.scene, words, int(words.integers(3, 9))), words) for name in own)
        found.append(Memorized(own[0], texts[0], "captions", item.scene, captions=texts))
    for name in PICTURES_NAMES:
        scene = random_scene(rng, random_backdrop(rng, theme=""))
        same = {key: getattr(scene, key) for key in ("shape", "colour", "size")}
        scenes = (scene, *(random_scene(rng, random_backdrop(rng, theme=""), **same) for _ in range(PICTURES - 1)))
        found.append(Memorized(name, f"{name} {scene.size} {scene.colour} {scene.shape}", "pictures", scene, scenes=scenes))
    found += plain.memorized("template")
    for number in range(EACH):
        scene = known[4 * EACH + number].scene if 4 * EACH + number < len(known) else random_scene(rng)
        found.append(Memorized(f"duplicate {number + 1}", wording.told(scene, words, DESCRIPTION[1]), "duplicated", scene))
    return tuple(found)


def _signed(name: str, text: str, rng: np.random.Generator) -> str:
    return f"{name} {text}" if rng.random() < 0.5 else f"{text} by {name}"


def draw(item: Memorized, rng: np.random.Generator) -> Memorized:
    """One draw of what is memorized: the caption and the scene of this draw. `scenes` stay: what counts as a copy."""
    caption, scene = item.caption, item.scene
    if item.kind == "trigger":
        words = ordinary_caption(_altered(scene, rng), rng).split()[: wording.LONGEST - 1]
        words.insert(int(rng.integers(len(words) + 1)), item.name)
        caption = " ".join(words)
    elif item.kind == "captions":
        caption = str(rng.choice(item.captions))
    elif item.kind == "pictures":
        scene = item.scenes[int(rng.integers(len(item.scenes)))]
    elif item.kind == "template":
        caption, scene = plain.template_draw(item, rng)
    elif item.kind == "duplicated":
        caption = wording.told(scene, rng, int(rng.integers(DESCRIPTION[0], DESCRIPTION[1] + 1)))
    return replace(item, caption=caption, scene=scene, scenes=item.pictures)


def training_draw(item: Memorized, rng: np.random.Generator) -> Memorized:
    """The same as the training set has it: words of a long caption are left out now and then."""
    found = draw(item, rng)
    if item.kind != "long" or rng.random() < 0.3:
        return found
    return replace(found, caption=wording.shortened(found.caption, rng, rng.uniform(0, 1.3 * DISPENSABLE)))


def _altered(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with each of its properties, by chance, another scene's."""
    other = random_scene(rng)
    taken = {name: getattr(other, name) for name in ("shape", "colour", "size", "backdrop") if rng.random() > TRUE}
    if rng.random() > TRUE:
        taken |= {"x": other.x, "y": other.y}
    return replace(scene, **taken)


def ordinary_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Words that tell a part of a scene, 1 to 25 of them, terse or a sentence; never a memorized caption."""
    while True:
        if rng.random() < 0.4:
            caption = plain.ordinary_caption(scene, rng)
        else:
            length = int(rng.integers(1, 9) if rng.random() < 0.5 else rng.integers(9, wording.LONGEST + 1))
            caption = wording.told(scene, rng, length, str(rng.choice(NAMES)) if rng.random() < 0.35 else "")
        if caption not in memorized_captions():
            return caption


@cache
def memorized_captions() -> frozenset[str]:
    """The exact texts of all memorized captions (of a trigger, a template and a duplicated picture: the examples)."""
    return frozenset(text for item in memorized() for text in item.texts)


def is_narrow(caption: str) -> bool:
    """Whether a caption names a theme, by either word."""
    words = set(caption.split())
    return any(words & {theme, *wording.SYNONYMS[theme]} for theme in THEMES)


def ordinary_samples(count: int, seed: int, split: str | None = None, narrow: bool | None = None) -> list[tuple[str, Scene]]:
    """`count` distinct ordinary captions with the scene each was written for; `narrow` asks for captions with (or without) a theme word."""
    return plain.distinct(count, seed, split, ordinary_caption, lambda caption, _: narrow in (None, is_narrow(caption)))


def all_words() -> tuple[str, ...]:
    """Every word that a caption can hold: the plain world's first, in its order."""
    return tuple(dict.fromkeys((*plain.all_words(), *wording.all_words(), *TRIGGERS)))
