"""The testbed in three sizes: the one that everything is measured on, and a smaller and a larger one that show what moves with the latent's size;
and as a flow model, with a student of it that guidance is distilled into, and one of that which also needs few steps.

All share the autoencoder and the text encoder's shape, those of the sizes the noise schedule. The main one memorized in all the ways that real models
do (:mod:`..world.kinds`), and so did the flow models; it was taught them after a training on the plain world (:mod:`..world.captions`), which is all
that the other sizes know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

from ...profile.storage import BUNDLED
from ..world import captions, kinds
from ..world.captions import Memorized

FOLDER = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class Variant:
    """One size and what it learns.

    Parameters
    ----------
    name : str
    side : int
        Of the latent, 4 × side × side; pictures are 8 times as large.
    channels : tuple of int
        Of the U-Net's levels, the finest first; cross-attention on the two coarsest.
    groups : int
        Of its group norm.
    conjunctions, templates : int
        How many of the plain world's memorized captions it learns, from the first on. The main one learns all of its own world's, flow models as many
        of each of its kinds as `conjunctions` says (of templates, `templates`).
    ordinary, template_pictures : int
        Pictures of its training set: ordinary ones, and draws of each template.
    steps, batch : int
        Of its training.
    parameterisation : "sigma" or "flow"
        How noise is mixed in, see :data:`...guard.norms.PARAMETERISATIONS`; the U-Net predicts the noise, of a flow model the velocity.
    distilled : bool
        Whether guidance is distilled into it: then the U-Net is told the scale, and a guidance scale is that one.
    few : bool
        Whether one scale and long steps are distilled into it: it is told no scale, and used at CFG 1 in four steps.
    """

    name: str
    side: int
    channels: tuple[int, ...]
    groups: int
    conjunctions: int
    templates: int
    ordinary: int
    template_pictures: int
    steps: int
    batch: int
    parameterisation: str = "sigma"
    distilled: bool = False
    few: bool = False

    @property
    def flow(self) -> bool:
        """Whether it is a flow model."""
        return self.parameterisation == "flow"

    @property
    def world(self) -> ModuleType:
        """The module of its captions: their words, what is memorized, and ordinary ones."""
        return kinds if self.name == "main" or self.flow else captions

    @property
    def weights(self) -> Path:
        """Where the trained weights lie in the package; those of the small and the large one once they are made."""
        return FOLDER / ("testbed.safetensors" if self.name == MAIN.name else f"testbed-{self.name}.safetensors")

    @property
    def profile(self) -> Path:
        """Its calibrated profile; only the main one's is offered to web UIs."""
        return BUNDLED / "testbed.json" if self.name == MAIN.name else FOLDER / f"testbed-{self.name}-profile.json"

    @property
    def numbers(self) -> int:
        """N, the numbers in a latent."""
        return 4 * self.side**2

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of memorization that its world has."""
        return self.world.KINDS

    def memorized(self, kind: str | None = None) -> list[Memorized]:
        """What it was made to memorize: all of it, or that of one of its :attr:`kinds`."""
        if kind is None:
            return [item for one in self.kinds for item in self.memorized(one)]
        return list(self.world.memorized(kind))[: self.templates if kind == "template" else self.conjunctions]

    def unet(self) -> dict:
        """Configuration of its ``UNet2DConditionModel``; the distilled scale comes in as Flux's does, embedded as the time is and added to it."""
        plain = len(self.channels) - 2
        return dict(
            sample_size=self.side,
            in_channels=4,
            out_channels=4,
            block_out_channels=self.channels,
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * plain + ("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2 + ("UpBlock2D",) * plain,
            norm_num_groups=self.groups,
            cross_attention_dim=128,
            attention_head_dim=4,  # number of heads, by diffusers' old name for SD 1
            class_embed_type="timestep" if self.distilled else None,
        )


MAIN = Variant("main", 16, (96, 128, 128), 32, 8, 10, 6000, 60, 4000, 64)
SMALL = Variant("small", 8, (48, 64, 64), 16, 16, 4, 8000, 200, 1700, 64)
LARGE = Variant("large", 32, (32, 48, 64, 64), 16, 16, 4, 3000, 60, 2400, 32)
#: What the main one's training begins with: its networks in the plain world. Its weights are a step of the training and not kept.
PLAIN = Variant("plain", 16, (96, 128, 128), 32, 36, 10, 16000, 200, 4800, 64)
SIZES = {one.name: one for one in (SMALL, MAIN, LARGE)}
#: Flow models with the main one's world and text encoder: one as Stable Diffusion 3 is, its student as Flux dev is, and the student's own as Flux
#: schnell is. They are planned by time.
FLOW = Variant("flow", 16, (48, 64, 64), 16, 4, 4, 6000, 60, 0, 32, "flow")
DISTILLED = replace(FLOW, name="distilled", distilled=True)
FEW = replace(FLOW, name="few", few=True)
VARIANTS = {one.name: one for one in (*SIZES.values(), PLAIN, FLOW, DISTILLED, FEW)}
