"""The layers of the testbed that a LoRA changes, as trainers choose them, by the names that kohya's files have for Stable Diffusion 1.

U-Net: queries, keys, values and outputs of all attention, feed-forward, the projections around them, and the residual blocks' convolutions (what
trainers call LoCon: the testbed's finest level has no attention). Text encoder: attention and feed-forward. The testbed's U-Net has fewer blocks than
Stable Diffusion 1's, so diffusers' names of blocks, which hosts turn into LDM's by that model's numbers, would lead to other blocks: the names here
are LDM's own, which hosts take as they are.
"""

from __future__ import annotations

import re

from torch import nn

from ..export import ldm_names
from ..network.model import Testbed

_UNET = re.compile(
    r".*(resnets\.\d+\.conv[12]|attentions\.\d+\.(proj_in|proj_out|transformer_blocks\.\d+\.(attn\d\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))))"
)
_TEXT = re.compile(r".*layers\.\d+\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])")


def of(bed: Testbed) -> dict[str, nn.Module]:
    """Every layer by its name in a file, the U-Net's first."""
    unet = {name: module for name, module in bed.unet.named_modules() if _UNET.fullmatch(name)}
    text = {name: module for name, module in bed.text.named_modules() if _TEXT.fullmatch(name)}
    theirs = ldm_names.unet([f"{name}.weight" for name in unet], bed.unet.config) | ldm_names.text([f"{name}.weight" for name in text])
    return {kohya(theirs[f"{name}.weight"]): module for name, module in (unet | text).items()}


def kohya(name: str) -> str:
    """The name in a LoRA's file of the layer whose weight has this name in a checkpoint."""
    name = name.removesuffix(".weight")
    for start, said in ((ldm_names.UNET, "lora_unet_"), (ldm_names.TEXT, "lora_te_text_model_")):
        if name.startswith(start):
            return said + name.removeprefix(start).replace(".", "_")
    return name
