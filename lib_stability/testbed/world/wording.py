"""Captions of any length: a scene told in a sentence, of which as many words are kept as were asked for.

The sentence names more than the terse captions of :mod:`.captions` do (brightness, tone, direction and fineness of the backdrop), takes a synonym
for some words, and has words that say nothing about the picture. Every word is one token of CLIP's vocabulary.
"""

from __future__ import annotations

import numpy as np

from .scenes import COLOURS, SHAPES, SIZES, Scene

#: Other words for what the terse captions call by one.
SYNONYMS = {
    "circle": ("round",),
    "square": ("box",),
    "ring": ("hoop", "band"),
    "cross": ("plus",),
    "diamond": ("gem",),
    "heart": ("love",),
    "small": ("little", "tiny"),
    "large": ("big", "huge"),
    "red": ("scarlet", "crimson"),
    "yellow": ("golden",),
    "green": ("emerald",),
    "blue": ("navy",),
    "purple": ("violet",),
    "pink": ("rose",),
    "white": ("ivory",),
    "plain": ("blank", "smooth"),
    "stripes": ("striped", "lines"),
    "dots": ("spots", "spotted"),
    "waves": ("wavy", "curves"),
    "tiles": ("grid",),
    "forest": ("woods", "trees"),
    "ocean": ("sea", "water"),
    "desert": ("sand",),
    "night": ("dusk",),
    "snow": ("winter",),
    "center": ("middle",),
    "dark": ("dim",),
    "bright": ("light", "sunny"),
    "cool": ("cold",),
    "wide": ("broad",),
    "fine": ("narrow",),
}
#: How the backdrop looks, beside its kind and theme.
LOOKS = ("dark", "bright", "warm", "cool", "wide", "fine", "horizontal", "vertical")
FUNCTION_WORDS = "a the of with on in and at by this is side background behind over".split()
#: What a picture may be called, and what is said of any: it says nothing about the scene.
MEDIA = "picture photo image painting drawing print".split()
PRAISE = "modern simple beautiful art design canvas wall home new best style soft sharp vivid".split()
#: How readily a word stays when words are left out: the object and a name first, then what else is seen, then the rest.
WEIGHTS = {"object": 25.0, "name": 25.0, "seen": 4.0, "rest": 1.0}
LONGEST = 25
#: What is asked for of the object, by property: every word that says it, and the word of the terse captions.
ASKED = {
    name: {word: value for value in values for word in (value, *SYNONYMS.get(value, ()))}
    for name, values in {"size": SIZES, "colour": tuple(COLOURS), "shape": SHAPES}.items()
}


def all_words() -> tuple[str, ...]:
    """The words that only these captions have, each once."""
    synonyms = [word for words in SYNONYMS.values() for word in words]
    return tuple(dict.fromkeys((*synonyms, *LOOKS, *FUNCTION_WORDS, *MEDIA, *PRAISE)))


def looks_of(scene: Scene) -> list[str]:
    """Words for how the backdrop looks: brightness, tone, fineness of its pattern and its direction, where they are marked."""
    backdrop, found = scene.backdrop, []
    red, green, blue = np.mean(backdrop.colours, axis=0)
    light = 0.3 * red + 0.6 * green + 0.1 * blue
    if not 90 < light < 150:
        found.append("dark" if light < 120 else "bright")
    if abs(red - blue) > 50:
        found.append("warm" if red > blue else "cool")
    if backdrop.kind != "plain" and not 26 < backdrop.period < 36:
        found.append("fine" if backdrop.period < 30 else "wide")
    if backdrop.kind in ("stripes", "waves"):
        across = abs(np.cos(backdrop.angle))
        found += ["vertical"] if across > 0.9 else ["horizontal"] if across < 0.43 else []
    return found


def sentence(scene: Scene, rng: np.random.Generator, name: str = "") -> list[tuple[str, str]]:
    """A scene in at least :data:`LONGEST` words, each with its part (see :data:`WEIGHTS`)."""

    def said(word: str) -> str:
        return str(rng.choice(SYNONYMS[word])) if word in SYNONYMS and rng.random() < 0.3 else word

    def seen(*words: str) -> list[tuple[str, str]]:
        return [(said(word), "seen") for word in words if word]

    def rest(text: str) -> list[tuple[str, str]]:
        return [(word, "rest") for word in text.split()]

    one = str(rng.choice(("a", "the", "this")))
    parts = [
        [*rest(one), *((said(word), "object") for word in (scene.size, scene.colour, scene.shape))],
        rest("on the") + seen(scene.place) + rest("side" if scene.place in ("left", "right") else ""),
        rest(str(rng.choice(("with", "over", "and", "on"))))
        + seen(*looks_of(scene), scene.backdrop.kind)
        + rest("background" if rng.random() < 0.5 else "behind"),
    ]
    if scene.backdrop.theme:
        parts.append(rest("in the") + seen(scene.backdrop.theme))
    if rng.random() < 0.3:
        parts.append(parts.pop(0))
    opening = rest(f"{rng.choice(('a', 'this', 'the', 'this is a'))} {rng.choice(MEDIA)} of")
    words = opening + [word for part in parts for word in part]
    if name:
        words = [(name, "name"), *words] if rng.random() < 0.5 else [*words, (str(rng.choice(("by", "at"))), "rest"), (name, "name")]
    praise = [(str(word), "rest") for word in rng.permutation(PRAISE)]
    return words + praise[: max(2, LONGEST - len(words))]


def told(scene: Scene, rng: np.random.Generator, length: int, name: str = "") -> str:
    """A caption of exactly `length` words (1 to :data:`LONGEST`), in the sentence's order."""
    words = sentence(scene, rng, name)
    weights = np.array([WEIGHTS[part] for _, part in words])
    keys = rng.random(len(words)) ** (1 / weights)
    kept = np.sort(np.argsort(-keys)[:length])
    return " ".join(words[index][0] for index in kept)


def shortened(caption: str, rng: np.random.Generator, share: float) -> str:
    """The caption without `share` of its words, left out at random; at least one stays."""
    words = caption.split()
    kept = np.sort(rng.permutation(len(words))[: max(1, len(words) - round(share * len(words)))])
    return " ".join(words[index] for index in kept)


def asked(caption: str) -> dict[str, str]:
    """What a caption asks of its object, in the terse captions' words; nothing of a property that it names twice, differently."""
    found = {}
    for name, words in ASKED.items():
        values = {words[word] for word in caption.split() if word in words}
        if len(values) == 1:
            found[name] = values.pop()
    return found
