"""The testbed in three sizes: the one that everything is measured on, and a smaller and a larger one that show what moves with the latent's size.

All share the autoencoder, the text encoder's shape and the noise schedule. The main one memorized in all the ways that real models do
(:mod:`..world.kinds`); it was taught them after a training on the plain world (:mod:`..world.captions`), which is all that the others know.
"""

from __future__ import annotations

from dataclasses import dataclass
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
        How many of the plain world's memorized captions it learns, from the first on. The main one learns all of its own world's.
    ordinary, template_pictures : int
        Pictures of its training set: ordinary ones, and draws of each template.
    steps, batch : int
        Of its training.
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

    @property
    def world(self) -> ModuleType:
        """The module of its captions: their words, what is memorized, and ordinary ones."""
        return kinds if self.name == "main" else captions

    @property
    def weights(self) -> Path:
        """Where the trained weights lie in the package."""
        return FOLDER / ("testbed.safetensors" if self is MAIN else f"testbed-{self.name}.safetensors")

    @property
    def profile(self) -> Path:
        """Its calibrated profile; only the main one's is offered to web UIs."""
        return BUNDLED / "testbed.json" if self is MAIN else FOLDER / f"testbed-{self.name}-profile.json"

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
        found = list(self.world.memorized(kind))
        return found if self.world is kinds else found[: {"conjunction": self.conjunctions, "template": self.templates}[kind]]

    def unet(self) -> dict:
        """Configuration of its ``UNet2DConditionModel``."""
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
        )


MAIN = Variant("main", 16, (96, 128, 128), 32, 8, 10, 6000, 60, 4000, 64)
SMALL = Variant("small", 8, (48, 64, 64), 16, 16, 4, 8000, 200, 1700, 64)
LARGE = Variant("large", 32, (32, 48, 64, 64), 16, 16, 4, 3000, 60, 2400, 32)
#: What the main one's training begins with: its networks in the plain world. Its weights are a step of the training and not kept.
PLAIN = Variant("plain", 16, (96, 128, 128), 32, 36, 10, 16000, 200, 4800, 64)
SIZES = {one.name: one for one in (SMALL, MAIN, LARGE)}
VARIANTS = {**SIZES, PLAIN.name: PLAIN}
