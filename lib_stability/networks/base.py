"""Which tensor of a checkpoint a layer of a LoRA changes: kohya's names against those of Stable Diffusion 1.x and SDXL files.

A file names blocks of the U-Net as diffusers does (level, then block) or as LDM does (through the whole half); how many blocks a level has is read
off the checkpoint. SDXL's second text encoder keeps queries, keys and values in one tensor, of which a layer means a third.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

_UNET = "model.diffusion_model."
#: Text encoders: the start of their names in a LoRA's file, and in the checkpoint.
_TEXT = (
    ("lora_te_", "cond_stage_model.transformer."),
    ("lora_te1_", "conditioner.embedders.0.transformer."),
    ("lora_te1_", "cond_stage_model.transformer."),
)
#: OpenCLIP, as SDXL's second and SD 2's only text encoder.
_OPEN = (("lora_te2_", "conditioner.embedders.1.model.transformer.resblocks."), ("lora_te_", "cond_stage_model.model.transformer.resblocks."))
_OPEN_PARTS = {"mlp.c_fc": "mlp_fc1", "mlp.c_proj": "mlp_fc2", "attn.out_proj": "self_attn_out_proj"}
_RESNET = {
    "in_layers_2": "conv1",
    "emb_layers_1": "time_emb_proj",
    "out_layers_3": "conv2",
    "skip_connection": "conv_shortcut",
}
_ENDS = {"input_blocks_0_0": "conv_in", "time_embed_0": "time_embedding_linear_1", "time_embed_2": "time_embedding_linear_2", "out_2": "conv_out"}


class Base:
    """A checkpoint's weights by the names of a LoRA's layers; read from the file one at a time.

    Parameters
    ----------
    path : Path or str
        Of a safetensors checkpoint.

    Raises
    ------
    ValueError
        No safetensors file, or no Stable Diffusion in LDM's layout.
    """

    def __init__(self, path: Path | str) -> None:
        try:
            self._file = safe_open(str(path), framework="pt")
        except SafetensorError as error:
            raise ValueError(f"{path} is no safetensors file ({error})") from None
        self.places = places(self._file.keys())
        if not self.places:
            raise ValueError(f"{path} holds no checkpoint of Stable Diffusion 1.x or SDXL, as web UIs load them")

    def weight(self, layer: str) -> torch.Tensor | None:
        """The weight that a layer changes, a float32 matrix ``(out, in)``; None where the checkpoint has no such layer."""
        if layer not in self.places:
            return None
        name, part = self.places[layer]
        found = self._file.get_tensor(name).float().flatten(1)
        return found if part is None else found.chunk(3)[part]


def places(names: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """By a layer's name the tensor that it changes and which third of it, None for all."""
    weights = [name for name in names if name.endswith(("weight", "in_proj_weight"))]
    unet = [name for name in weights if name.startswith(_UNET)]
    depth = _depth(unet)
    found: dict[str, tuple[str, int | None]] = {}
    for name in unet:
        ldm = name[len(_UNET) :].removesuffix(".weight").replace(".", "_")
        for said in (ldm, _diffusers(ldm, depth)):
            if said:
                found.setdefault(f"lora_unet_{said}", (name, None))
    for said, start in _TEXT:
        for name in weights:
            if name.startswith(start):
                found.setdefault(said + name[len(start) :].removesuffix(".weight").replace(".", "_"), (name, None))
    for said, start in _OPEN:
        for name in weights:
            if name.startswith(start):
                number, _, part = name[len(start) :].partition(".")
                layer = f"{said}text_model_encoder_layers_{number}_"
                if part == "attn.in_proj_weight":
                    found |= {f"{layer}self_attn_{letter}_proj": (name, third) for third, letter in enumerate("qkv")}
                elif part.removesuffix(".weight") in _OPEN_PARTS:
                    found[layer + _OPEN_PARTS[part.removesuffix(".weight")]] = (name, None)
    return found


def _depth(unet: Iterable[str]) -> int:
    """Residual blocks of a level on the way down: the first change of size stands behind them."""
    found = [re.match(r"input_blocks\.(\d+)\.0\.op\.", name[len(_UNET) :]) for name in unet]
    return min((int(one[1]) - 1 for one in found if one), default=2)


def _diffusers(ldm: str, depth: int) -> str:
    """diffusers' name of a layer of the U-Net; "" where it has none of its own."""
    if ldm in _ENDS:
        return _ENDS[ldm]
    if one := re.fullmatch(r"middle_block_(\d)_(.+)", ldm):
        if one[1] == "1":
            return f"mid_block_attentions_0_{one[2]}"
        return f"mid_block_resnets_{int(one[1]) // 2}_{_RESNET.get(one[2], one[2])}"
    one = re.fullmatch(r"(input|output)_blocks_(\d+)_(\d)_(.+)", ldm)
    if not one:
        return ""
    half, number, place, part = one[1], int(one[2]), int(one[3]), one[4]
    level, block = divmod(number - 1, depth + 1) if half == "input" else divmod(number, depth + 1)
    side = "down" if half == "input" else "up"
    if part == "op":
        return f"down_blocks_{level}_downsamplers_0_conv"
    if part == "conv":
        return f"up_blocks_{level}_upsamplers_0_conv"
    if place == 1:
        return f"{side}_blocks_{level}_attentions_{block}_{part}"
    return f"{side}_blocks_{level}_resnets_{block}_{_RESNET.get(part, part)}"
