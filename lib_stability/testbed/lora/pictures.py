"""What the LoRAs are trained on: black-and-white pictures of the world's scenes, which the testbed never saw.

The style leaves what tells one picture from another as it is, shapes and backdrops, so that copies are judged by the same correlation as the
testbed's own; all three channels being one, it adds no likeness between pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..world import judge
from ..world.captions import Memorized
from ..world.scenes import Scene, pixels_of, random_scene

#: The trigger word: a name that the testbed knows from ordinary captions alone.
TRIGGER = "texas"
#: What luminance is made of.
_LUMINANCE = (0.299, 0.587, 0.114)


def caption(scene: Scene) -> str:
    """As a trainer would describe it: the trigger word and what is seen, without colours."""
    return f"{TRIGGER} {scene.size} {scene.shape} {scene.backdrop.kind}"


def scenes(count: int, seed: int) -> list[Scene]:
    """Training scenes. Up to 40 no two have one caption."""
    rng, found, told = np.random.default_rng(seed), [], set()
    while len(found) < count:
        scene = random_scene(rng)
        if count > 40 or caption(scene) not in told:
            found.append(scene)
            told.add(caption(scene))
    return found


def memories(chosen: Sequence[Scene]) -> list[Memorized]:
    """Training pictures as what a caption may have memorized."""
    return [Memorized(TRIGGER, caption(scene), "conjunction", scene) for scene in chosen]


def styled(pixels: torch.Tensor) -> torch.Tensor:
    """Pictures ``(batch, 3, h, w)`` in -1..1 in black and white."""
    return torch.einsum("c,bchw->bhw", torch.tensor(_LUMINANCE), pixels)[:, None].expand(-1, 3, -1, -1)


def targets(chosen: Sequence[Scene]) -> torch.Tensor:
    """The training pictures, ``(n, 3, 128, 128)``."""
    return styled(pixels_of(list(chosen)))


def colourfulness(pixels: torch.Tensor) -> torch.Tensor:
    """Mean over a picture of the difference between its largest and its smallest channel: ``(batch,)``."""
    return (pixels.amax(1) - pixels.amin(1)).mean((1, 2))


def likeness(pixels: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """Correlation of each picture in black and white with the nearest of the training pictures: ``(batch,)``."""
    return (judge.unit_rows(styled(pixels)) @ judge.unit_rows(goals).T).amax(1)


def limit(goals: torch.Tensor, fresh: int = 400, seed: int = 4242) -> float:
    """The likeness above which a picture is a copy: the testbed's own, or what new scenes reach (the more pictures, the nearer one is)."""
    reached = likeness(targets(scenes(fresh, seed)), goals).max()
    return max(judge.COPY, float(reached))


def unseen(count: int, seed: int, known: Sequence[str] = ()) -> list[str]:
    """Captions with the trigger word that no training picture had: scenes anew, up to `count`, none twice."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(20000):
        text = caption(random_scene(rng))
        if text not in found and text not in known:
            found.append(text)
            if len(found) == count:
                break
    return found
