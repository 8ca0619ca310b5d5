"""Names of the testbed's tensors in the layout that Stable Diffusion 1's checkpoints have (LDM's), as tables.

diffusers counts blocks within each level of the U-Net, LDM through the whole half; the parts of a block only go by other names. Each function gives a
dict from our names to LDM's, one to one, so that the same table reads a checkpoint back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: Where LDM keeps the three networks.
UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model."

UNET_ENDS = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ENDS = {
    "conv_in": "conv_in",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.attentions.0": "mid.attn_1",
    "mid_block.resnets.1": "mid.block_2",
    "conv_norm_out": "norm_out",
    "conv_out": "conv_out",
}
VAE_RESNET = {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
#: The VAE's attention is made of linear layers here and of 1×1 convolutions there.
POINTWISE = tuple(f".mid.attn_1.{part}.weight" for part in ("q", "k", "v", "proj_out"))


def _blocks(config: Mapping) -> dict[str, str]:
    """Blocks of the U-Net: every level has its residual blocks, each with or without attention, and but for the last a change of size."""
    found, levels, depth = dict(UNET_ENDS), len(config["block_out_channels"]), config["layers_per_block"]
    for level in range(levels):
        down, first = f"down_blocks.{level}", 1 + level * (depth + 1)
        for block in range(depth):
            found[f"{down}.resnets.{block}"] = f"input_blocks.{first + block}.0"
            found[f"{down}.attentions.{block}"] = f"input_blocks.{first + block}.1"
        found[f"{down}.downsamplers.0.conv"] = f"input_blocks.{first + depth}.0.op"
        up, first = f"up_blocks.{level}", level * (depth + 1)
        for block in range(depth + 1):
            found[f"{up}.resnets.{block}"] = f"output_blocks.{first + block}.0"
            found[f"{up}.attentions.{block}"] = f"output_blocks.{first + block}.1"
        # In LDM the change of size is one more part of the level's last block.
        place = 2 if "CrossAttn" in config["up_block_types"][level] else 1
        found[f"{up}.upsamplers.0.conv"] = f"output_blocks.{first + depth}.{place}.conv"
    return found


def _vae_blocks(config: Mapping) -> dict[str, str]:
    """Blocks of the autoencoder; LDM numbers the decoder's levels by their size, not in the order in which they run."""
    found = {f"{half}.{ours}": f"{half}.{theirs}" for half in ("encoder", "decoder") for ours, theirs in VAE_ENDS.items()}
    levels, depth = len(config["block_out_channels"]), config["layers_per_block"]
    for level in range(levels):
        down, up = f"encoder.down_blocks.{level}", f"decoder.up_blocks.{level}"
        theirs_up = f"decoder.up.{levels - 1 - level}"
        found |= {f"{down}.resnets.{block}": f"encoder.down.{level}.block.{block}" for block in range(depth)}
        found |= {f"{up}.resnets.{block}": f"{theirs_up}.block.{block}" for block in range(depth + 1)}
        found[f"{down}.downsamplers.0.conv"] = f"encoder.down.{level}.downsample.conv"
        found[f"{up}.upsamplers.0.conv"] = f"{theirs_up}.upsample.conv"
    return found | {name: name for name in ("quant_conv", "post_quant_conv")}


def _renamed(names: Iterable[str], blocks: Mapping[str, str], resnet: Mapping[str, str], attention: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in names:
        # The block's name is the longest that fits: "conv_in" has no parts of its own, a residual block has.
        block = next((name[:end] for end in range(len(name), 0, -1) if name[:end] in blocks), None)
        if block is None:
            raise ValueError(f"{name} has no place in Stable Diffusion 1's layout")
        part, kind = name[len(block) + 1 :].rpartition(".")[::2]
        table = resnet if ".resnets." in block else attention if ".attentions." in block else {}
        found[name] = ".".join(filter(None, (blocks[block], table.get(part, part), kind)))
    return found


def unet(names: Iterable[str], config: Mapping) -> dict[str, str]:
    """LDM's names of a ``UNet2DConditionModel``'s tensors.

    Raises
    ------
    ValueError
        A tensor that Stable Diffusion 1 does not have.
    """
    return {ours: UNET + theirs for ours, theirs in _renamed(names, _blocks(config), UNET_RESNET, {}).items()}


def vae(names: Iterable[str], config: Mapping) -> dict[str, str]:
    """LDM's names of an ``AutoencoderKL``'s tensors; raises as `unet` does."""
    return {ours: VAE + theirs for ours, theirs in _renamed(names, _vae_blocks(config), VAE_RESNET, VAE_ATTENTION).items()}


def text(names: Iterable[str]) -> dict[str, str]:
    """LDM's names of a ``CLIPTextModel``'s tensors, which older versions of transformers keep under ``text_model.`` themselves."""
    return {name: TEXT + name.removeprefix("text_model.") for name in names}
