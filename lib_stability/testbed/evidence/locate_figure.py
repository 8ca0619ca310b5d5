"""A sheet of maps: what was memorized, what was generated, and where the guard saw it."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from ...guard.locality import LocalMap
from ...pictures import figures, overlay, palette
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import Setting
from ..world import judge
from ..world.captions import Memorized
from ..world.scenes import SIZE, render, render_backdrop
from .composites import captions_for, mask_of, observe
from .locate import SEED

SHOWN = {"whole": 2, "template": 2, "half": 4, "quarter": 4}
COLUMNS = ("memorized part", "generated", "map")


def target(kind: str, item: Memorized) -> Image.Image:
    """The memorized part of a training picture, the rest grey."""
    pixels = judge.to_pixels(render_backdrop(item.scene.backdrop) if kind == "template" else render(item.scene))
    if kind in ("whole", "template"):
        return figures.to_image(pixels)
    mask = torch.nn.functional.interpolate(mask_of(kind)[None, None], (SIZE, SIZE))[0]
    return figures.to_image(pixels * mask + 0.85 * (1 - mask))


def draw(path: Path, profile: Profile, bed: Testbed | None = None, setting: Setting = Setting(), cell: int = 128) -> None:
    """Write the sheet; composites of one caption and two seeds show the first of each pair."""
    bed, cells = bed or Testbed.load(), []
    for kind, count in SHOWN.items():
        captions, items, others = captions_for(kind, count, False, SEED)
        seen = observe(bed, profile, kind, captions, items, others, setting, SEED)
        for number in range(0, count, max(1, count // 2)):
            picture, found = figures.to_image(seen.pixels[number]), seen.maps[number]
            drawn = overlay.draw(LocalMap.of(found), picture.resize((2 * SIZE, 2 * SIZE))) if found is not None else None
            label = f"{kind}: {captions[number]}" + ("" if found is not None else " (not flagged)")
            cells.append((label, [target(kind, items[number]), picture, drawn]))
    pairs = [cells[i : i + 2] for i in range(0, len(cells), 2)]
    rows = [([label for label, _ in pair], [picture for _, three in pair for picture in three]) for pair in pairs]
    path.parent.mkdir(parents=True, exist_ok=True)
    palette.save(path, figures.montage(COLUMNS * 2, rows, group=len(COLUMNS), cell=cell))
