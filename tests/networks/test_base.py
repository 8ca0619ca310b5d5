from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from lib_stability.networks.base import Base, places

SD1 = "model.diffusion_model."
#: Names in checkpoints, and what kohya's trainers and LDM's names call them.
UNET = {
    "input_blocks.0.0.weight": ("conv_in", "input_blocks_0_0"),
    "time_embed.2.weight": ("time_embedding_linear_2", "time_embed_2"),
    "input_blocks.1.1.proj_in.weight": ("down_blocks_0_attentions_0_proj_in", "input_blocks_1_1_proj_in"),
    "input_blocks.3.0.op.weight": ("down_blocks_0_downsamplers_0_conv", "input_blocks_3_0_op"),
    "input_blocks.5.1.transformer_blocks.0.attn2.to_k.weight": (
        "down_blocks_1_attentions_1_transformer_blocks_0_attn2_to_k",
        "input_blocks_5_1_transformer_blocks_0_attn2_to_k",
    ),
    "input_blocks.10.0.in_layers.2.weight": ("down_blocks_3_resnets_0_conv1", "input_blocks_10_0_in_layers_2"),
    "middle_block.1.transformer_blocks.0.ff.net.0.proj.weight": (
        "mid_block_attentions_0_transformer_blocks_0_ff_net_0_proj",
        "middle_block_1_transformer_blocks_0_ff_net_0_proj",
    ),
    "middle_block.2.out_layers.3.weight": ("mid_block_resnets_1_conv2", "middle_block_2_out_layers_3"),
    "output_blocks.5.2.conv.weight": ("up_blocks_1_upsamplers_0_conv", "output_blocks_5_2_conv"),
    "output_blocks.11.1.proj_out.weight": ("up_blocks_3_attentions_2_proj_out", "output_blocks_11_1_proj_out"),
    "output_blocks.3.0.skip_connection.weight": ("up_blocks_1_resnets_0_conv_shortcut", "output_blocks_3_0_skip_connection"),
    "out.2.weight": ("conv_out", "out_2"),
}


@pytest.mark.parametrize("name", UNET)
def test_both_ways_of_naming_blocks_lead_to_one_tensor(name):
    found = places([SD1 + one for one in UNET])
    assert {found[f"lora_unet_{said}"] for said in UNET[name]} == {(SD1 + name, None)}


def test_how_many_blocks_a_level_has_is_read_off_the_checkpoint():
    """The exported testbed has one residual block a level where Stable Diffusion 1 has two."""
    found = places([f"{SD1}input_blocks.2.0.op.weight", f"{SD1}input_blocks.3.1.proj_in.weight", f"{SD1}output_blocks.3.1.proj_in.weight"])
    assert found["lora_unet_down_blocks_1_attentions_0_proj_in"] == (f"{SD1}input_blocks.3.1.proj_in.weight", None)
    assert found["lora_unet_up_blocks_1_attentions_1_proj_in"] == (f"{SD1}output_blocks.3.1.proj_in.weight", None)


def test_text_encoders_of_both_generations():
    layer = "text_model.encoder.layers.3.mlp.fc1.weight"
    assert places([f"cond_stage_model.transformer.{layer}"])["lora_te_text_model_encoder_layers_3_mlp_fc1"][0].endswith(layer)
    assert places([f"conditioner.embedders.0.transformer.{layer}"])["lora_te1_text_model_encoder_layers_3_mlp_fc1"][0].endswith(layer)
    block = "conditioner.embedders.1.model.transformer.resblocks.7."
    found = places([f"{block}attn.in_proj_weight", f"{block}attn.out_proj.weight", f"{block}mlp.c_proj.weight"])
    start = "lora_te2_text_model_encoder_layers_7_"
    assert found[f"{start}self_attn_k_proj"] == (f"{block}attn.in_proj_weight", 1)
    assert found[f"{start}self_attn_out_proj"] == (f"{block}attn.out_proj.weight", None)
    assert found[f"{start}mlp_fc2"] == (f"{block}mlp.c_proj.weight", None)


def test_weights_come_as_matrices_and_thirds_of_them(tmp_path):
    joined = torch.arange(12.0).view(6, 2)
    window = torch.randn(4, 3, 3, 3).half()
    path = tmp_path / "base.safetensors"
    save_file(
        {
            "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": joined,
            f"{SD1}input_blocks.1.0.in_layers.2.weight": window,
        },
        path,
    )
    base = Base(path)
    assert torch.equal(base.weight("lora_te2_text_model_encoder_layers_0_self_attn_v_proj"), joined[4:])
    assert torch.equal(base.weight("lora_unet_down_blocks_0_resnets_0_conv1"), window.float().flatten(1))
    assert base.weight("lora_unet_down_blocks_0_attentions_0_proj_in") is None


def test_a_file_without_stable_diffusion_is_refused(tmp_path):
    save_file({"layer.weight": torch.ones(2, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no checkpoint of Stable Diffusion"):
        Base(tmp_path / "other.safetensors")
