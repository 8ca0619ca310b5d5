"""Pictures drawn by code: one object on a free, varied backdrop.

A scene is a handful of numbers; :func:`render` turns it into pixels. Captions (see :mod:`.captions`) tell only a part of a scene, so the
conditional mean of an ordinary caption stays far from any single picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

SIZE = 128
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "diamond", "heart")
COLOURS = {
    "red": (214, 32, 38),
    "orange": (245, 138, 22),
    "yellow": (248, 224, 40),
    "green": (36, 158, 62),
    "blue": (36, 72, 214),
    "purple": (128, 44, 168),
    "pink": (248, 128, 190),
    "white": (246, 246, 246),
    "black": (14, 14, 16),
}
SIZES = ("small", "large")
BACKDROPS = ("plain", "stripes", "dots", "waves", "tiles")
PLACES = ("left", "right", "top", "bottom", "center")
#: Theme words narrow the palette of the backdrop: hue range in turns, brightness range. They make the naturally narrow captions.
THEMES = {
    "forest": ((0.22, 0.45), (0.0, 1.0)),
    "ocean": ((0.48, 0.68), (0.0, 1.0)),
    "desert": ((0.03, 0.16), (0.0, 1.0)),
    "night": ((0.0, 1.0), (0.0, 0.45)),
    "snow": ((0.0, 1.0), (0.55, 1.0)),
}


@dataclass(frozen=True)
class Backdrop:
    """The free part of a scene; `seed` draws its smooth random field."""

    kind: str
    theme: str
    colours: tuple  # two RGB triples, 0..255
    angle: float
    period: float
    phase: float
    seed: int


@dataclass(frozen=True)
class Scene:
    """One picture. `x`, `y` and `radius` in pixels, `tint` is a small colour offset, `turn` in radians."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    turn: float
    tint: tuple
    backdrop: Backdrop

    @property
    def place(self) -> str:
        """The word for where the object is."""
        dx, dy = self.x - SIZE / 2, self.y - SIZE / 2
        if max(abs(dx), abs(dy)) < SIZE / 10:
            return "center"
        if abs(dx) > abs(dy):
            return "left" if dx < 0 else "right"
        return "top" if dy < 0 else "bottom"


def _hsv(hue: float, saturation: float, value: float) -> tuple:
    sector = (hue % 1.0) * 6
    k = (np.array([5.0, 3.0, 1.0]) + sector) % 6
    rgb = value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1))
    return tuple(float(c) * 255 for c in rgb)


def random_backdrop(rng: np.random.Generator, kind: str | None = None, theme: str | None = None) -> Backdrop:
    """Draw a backdrop; a fifth of them carry a theme unless `theme` says which ('' for none)."""
    kind = kind or str(rng.choice(BACKDROPS))
    if theme is None:
        theme = str(rng.choice(list(THEMES))) if rng.random() < 0.2 else ""
    (hue_low, hue_high), (low, high) = THEMES.get(theme, ((0.0, 1.0), (0.0, 1.0)))
    colours = tuple(_hsv(rng.uniform(hue_low, hue_high), rng.uniform(0.15, 1.0), low + (high - low) * rng.uniform(0.05, 1.0)) for _ in range(2))
    return Backdrop(kind, theme, colours, float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(18, 44)), float(rng.random()), int(rng.integers(2**31)))


def random_scene(rng: np.random.Generator, backdrop: Backdrop | None = None, **fixed) -> Scene:
    """Draw a scene; `fixed` may name shape, colour or size."""
    size = fixed.get("size") or str(rng.choice(SIZES))
    radius = float(rng.uniform(14, 19) if size == "small" else rng.uniform(28, 36))
    margin = radius + 4
    return Scene(
        shape=fixed.get("shape") or str(rng.choice(SHAPES)),
        colour=fixed.get("colour") or str(rng.choice(list(COLOURS))),
        size=size,
        x=float(rng.uniform(margin, SIZE - margin)),
        y=float(rng.uniform(margin, SIZE - margin)),
        radius=radius,
        turn=float(rng.uniform(-0.3, 0.3)),
        tint=tuple(float(t) for t in rng.uniform(-14, 14, 3)),
        backdrop=backdrop or random_backdrop(rng),
    )


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(side, dtype=np.float32) + 0.5) * np.float32(SIZE / side)
    return np.meshgrid(axis, axis)


def _smooth_field(seed: int, side: int) -> np.ndarray:
    """A random field of slow cosines in -1..1, shape (side, side, 3): what makes every backdrop its own."""
    rng = np.random.default_rng(seed)
    axis = np.linspace(0, 1, side, dtype=np.float32)
    frequencies = np.arange(6)
    basis = np.cos(np.pi * np.outer(frequencies, axis)).astype(np.float32)
    weight = 1.0 / (1.0 + frequencies[:, None] ** 2 + frequencies[None, :] ** 2) ** 0.4
    coefficients = rng.standard_normal((3, 6, 6)).astype(np.float32) * weight.astype(np.float32)
    coefficients[:, 0, 0] = 0
    field = np.einsum("cij,iy,jx->yxc", coefficients, basis, basis)
    return np.clip(field / 2.5, -1, 1)


def render_backdrop(backdrop: Backdrop, side: int = SIZE) -> np.ndarray:
    """Pixels of the backdrop alone, float32 of shape (side, side, 3) in 0..255."""
    x, y = _grid(side)
    along = (x - SIZE / 2) * np.cos(backdrop.angle) + (y - SIZE / 2) * np.sin(backdrop.angle)
    across = (y - SIZE / 2) * np.cos(backdrop.angle) - (x - SIZE / 2) * np.sin(backdrop.angle)
    mix = np.clip(along / (SIZE * 1.2) + 0.5, 0, 1)
    turns = along / backdrop.period + backdrop.phase
    pattern = np.zeros_like(mix)
    if backdrop.kind == "stripes":
        pattern = 0.5 * np.tanh(3 * np.sin(2 * np.pi * turns))
    elif backdrop.kind == "waves":
        pattern = 0.5 * np.tanh(3 * np.sin(2 * np.pi * (turns + 0.25 * np.sin(2 * np.pi * across / 48))))
    elif backdrop.kind == "tiles":
        pattern = 0.5 * np.tanh(6 * np.sin(np.pi * turns) * np.sin(np.pi * across / backdrop.period))
    elif backdrop.kind == "dots":
        u, v = turns % 1 - 0.5, (across / backdrop.period) % 1 - 0.5
        pattern = 0.7 * np.clip((0.3 - np.hypot(u, v)) * backdrop.period + 0.5, 0, 1) - 0.2
    mix = np.clip(mix + 0.6 * pattern, 0, 1)[..., None]
    first, second = (np.array(c, dtype=np.float32) for c in backdrop.colours)
    return np.clip((first * (1 - mix) + second * mix + 70 * _smooth_field(backdrop.seed, side)), 0, 255).astype(np.float32)


def _distance(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Signed distance-like value of the unit shape at (u, v), negative inside."""
    r = np.hypot(u, v)
    if shape == "circle":
        return r - 0.95
    if shape == "ring":
        return np.abs(r - 0.72) - 0.23
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) - 0.82
    if shape == "diamond":
        return (np.abs(u) * 1.3 + np.abs(v) - 1.0) / 1.5
    if shape == "cross":
        a, b = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
        return np.maximum(a - 0.95, b - 0.3)
    if shape == "triangle":
        return np.maximum(v - 0.65, 0.86 * np.abs(u) - 0.5 * v - 0.47)
    if shape == "heart":
        w = -v + 0.15
        return (u**2 + (w - 0.75 * np.sqrt(np.abs(u))) ** 2 - 0.72) * 0.6
    angle = np.arctan2(u, -v)
    sector = np.abs((angle / (2 * np.pi / 5)) % 1 - 0.5) * 2  # star
    return r - (0.45 + 0.58 * np.abs(sector) ** 1.4)


def object_mask(scene: Scene, side: int = SIZE) -> np.ndarray:
    """Coverage of the object, float32 of shape (side, side) in 0..1."""
    x, y = _grid(side)
    dx, dy = (x - scene.x) / scene.radius, (y - scene.y) / scene.radius
    u = dx * np.cos(scene.turn) + dy * np.sin(scene.turn)
    v = dy * np.cos(scene.turn) - dx * np.sin(scene.turn)
    return np.clip(0.5 - _distance(scene.shape, u, v) * scene.radius, 0, 1).astype(np.float32)


def render(scene: Scene, side: int = SIZE) -> np.ndarray:
    """Pixels of a scene, uint8 of shape (side, side, 3): the same picture at any size."""
    pixels = render_backdrop(scene.backdrop, side)
    mask = object_mask(scene, side)[..., None]
    colour = np.clip(np.array(COLOURS[scene.colour], dtype=np.float32) + np.array(scene.tint, dtype=np.float32), 0, 255)
    return np.round(pixels * (1 - mask) + colour * mask).astype(np.uint8)


def pixels_of(scenes: list, side: int = SIZE) -> torch.Tensor:
    """Pictures of scenes, float32 of shape (n, 3, side, side) in -1..1."""
    return torch.from_numpy(np.stack([render(scene, side) for scene in scenes])).permute(0, 3, 1, 2).float() / 127.5 - 1
