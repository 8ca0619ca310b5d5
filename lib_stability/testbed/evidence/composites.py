"""Pictures of which a known part is memorized: one caption's prediction inside a mask, an ordinary caption's outside, at every evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from ...guard.guard import Guard
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network.model import LATENT_SIZE, Testbed
from ..network.sample import GuidedDenoiser, sample
from ..network.setting import Setting
from ..world import judge
from ..world.captions import Memorized, template_draw
from ..world.kinds import memorized, ordinary_samples
from ..world.scenes import render_backdrop

#: What is memorized: the whole picture, everything but the object, or the rows and columns of a composite (as parts of the picture's sides).
KINDS = {"whole": None, "template": None, "half": (1.0, 0.5), "quarter": (0.5, 0.5), "eighth": (0.5, 0.25)}
#: Kinds of memorization of a whole picture by a caption that seldom fails.
WHOLE = ("conjunction", "trigger", "long", "captions")
#: Pixels of a template that differ from its backdrop by less than this (RMS over an 8 x 8 block, of a range of 2) are the backdrop.
AGREES = 0.25


class Composite(GuidedDenoiser):
    """Classifier-free guidance with two captions an image: `captions` inside the mask ``(h, w)``, `others` outside."""

    def __init__(self, bed: Testbed, *arguments, others: Sequence[str], mask: torch.Tensor) -> None:
        super().__init__(bed, *arguments)
        self.others, self.mask = bed.encode_text(list(others)), mask

    def evaluate(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        inside, unconditional = super().evaluate(x, sigma)
        self.rows += len(x)
        return torch.lerp(self.denoiser(x, sigma, context=self.others), inside, self.mask), unconditional


def mask_of(kind: str) -> torch.Tensor:
    """Memorized part of a composite, float32 ``(16, 16)``: from the top left corner."""
    mask = torch.zeros(LATENT_SIZE, LATENT_SIZE)
    down, across = KINDS[kind]
    mask[: round(down * LATENT_SIZE), : round(across * LATENT_SIZE)] = 1.0
    return mask


@dataclass
class Observed:
    """Runs of one kind under one setting.

    Attributes
    ----------
    x, denoised, difference : tensors ``(evaluations, runs, 4, 16, 16)``
        Latent, guided prediction, and what guidance adds (scale times conditional less unconditional).
    sigma : tensor ``(evaluations, runs)``
    pixels : tensor ``(runs, 3, 128, 128)``
    maps : list of arrays ``(16, 16)`` or None
        The guard's own.
    truth : bool tensor ``(runs, 16, 16)``
        The memorized part; of ordinary runs nothing.
    """

    x: torch.Tensor
    denoised: torch.Tensor
    difference: torch.Tensor
    sigma: torch.Tensor
    pixels: torch.Tensor
    maps: list
    truth: torch.Tensor


class _Watched:
    """A guard that maps, and everything that it was shown."""

    def __init__(self, model: GuidedDenoiser, profile: Profile) -> None:
        self.model, self.guard, self.seen = model, Guard(profile.watch, Options(locate=True)), []

    def step(self, x, denoised, sigma, guidance) -> torch.Tensor:
        conditional, unconditional = self.model.predictions
        self.seen.append((x.clone(), denoised.clone(), guidance * (conditional - unconditional), sigma.clone()))
        return self.guard.step(x, denoised, sigma, guidance, lambda: conditional - unconditional)


@torch.inference_mode()
def observe(
    bed: Testbed,
    profile: Profile,
    kind: str,
    captions: Sequence[str],
    items: Sequence[Memorized] | None,
    others: Sequence[str] | None,
    setting: Setting,
    seed: int,
    tick: Callable[[int], None] = lambda n: None,
) -> Observed:
    """Sample `captions` (with `others` outside the mask of a composite's kind); `items` are what they memorized, None for ordinary captions."""
    watched: list[_Watched] = []

    def watch(model: GuidedDenoiser) -> _Watched:
        watched.append(_Watched(model, profile))
        return watched[0]

    def make(*arguments) -> GuidedDenoiser:
        return Composite(*arguments, others=others, mask=mask_of(kind)) if others else GuidedDenoiser(*arguments)

    done = sample(bed, captions, range(seed, seed + len(captions)), watch=watch, make=make, **setting.sampling())
    pixels = bed.decode(done.latents)
    columns = [torch.stack(column) for column in zip(*watched[0].seen)]
    tick(len(captions))
    return Observed(*columns[:3], columns[3], pixels, watched[0].guard.maps(), truth_of(kind, pixels, items))


def truth_of(kind: str, pixels: torch.Tensor, items: Sequence[Memorized] | None) -> torch.Tensor:
    """The memorized part of each picture, bool ``(runs, 16, 16)``; a template's is where the picture agrees with its backdrop."""
    if items is None:
        return torch.zeros(len(pixels), LATENT_SIZE, LATENT_SIZE, dtype=torch.bool)
    if kind == "template":
        backdrops = torch.stack([judge.to_pixels(render_backdrop(item.scene.backdrop)) for item in items])
        error = functional.avg_pool2d((pixels - backdrops).square().mean(1), pixels.shape[-1] // LATENT_SIZE).sqrt()
        return error < AGREES
    mask = torch.ones(LATENT_SIZE, LATENT_SIZE) if KINDS[kind] is None else mask_of(kind)
    return mask.bool().expand(len(pixels), -1, -1)


def captions_for(kind: str, count: int, first_half: bool, seed: int) -> tuple[list[str], list[Memorized], list[str] | None]:
    """`count` runs in pairs of one caption with two seeds: captions, what they memorized, and the ordinary captions outside a composite's mask.

    The first half of the memorized captions is for choosing thresholds, the second for measuring; ordinary captions are split likewise.
    """
    known = [item for item in memorized() if item.kind in (("template",) if kind == "template" else WHOLE)]
    kept = known[::2] if first_half else known[1::2]
    turn = seed % len(kept)
    items = [kept[(turn + number // 2) % len(kept)] for number in range(count)]
    if kind == "template":
        rng = np.random.default_rng(seed)
        drawn = [template_draw(item, rng)[0] for item in items[::2]]
        return [drawn[number // 2] for number in range(count)], items, None
    if KINDS[kind] is None:
        return [item.caption for item in items], items, None
    others = ordinary(-(-count // 2), first_half, seed + 1)
    return [item.caption for item in items], items, [others[number // 2] for number in range(count)]


def ordinary(count: int, first_half: bool, seed: int) -> list[str]:
    """Ordinary captions, of the calibration half or of the evaluation half."""
    return [caption for caption, _ in ordinary_samples(count, seed, "calibration" if first_half else "evaluation")]
