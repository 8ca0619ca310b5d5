from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_stability.networks import files


def kohya(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "lora_unet_a.lora_down.weight": torch.randn(4, 6, generator=generator).half(),
        "lora_unet_a.lora_up.weight": torch.randn(5, 4, generator=generator).half(),
        "lora_unet_a.alpha": torch.tensor(2.0),
        "lora_unet_conv.lora_down.weight": torch.randn(2, 3, 3, 3, generator=generator),
        "lora_unet_conv.lora_up.weight": torch.randn(7, 2, 1, 1, generator=generator),
        **more,
    }


def test_a_layer_adds_alpha_over_rank_times_its_product(tmp_path):
    tensors = kohya()
    save_file(tensors, tmp_path / "one.safetensors")
    layers = files.read(tmp_path / "one.safetensors").layers
    expected = 0.5 * tensors["lora_unet_a.lora_up.weight"].float() @ tensors["lora_unet_a.lora_down.weight"].float()
    assert torch.allclose(layers["lora_unet_a"].update, expected)
    # Without an alpha the factor is 1, and a convolution's window counts as part of what comes in.
    assert layers["lora_unet_conv"].scale == 1 and layers["lora_unet_conv"].update.shape == (7, 27)


def test_what_is_no_plain_product_is_left_alone_and_kept(tmp_path):
    more = {"lora_unet_a.dora_scale": torch.ones(5), "lora_unet_b.hada_w1_a": torch.ones(2, 2), "emb_params": torch.ones(3)}
    save_file(kohya(**more), tmp_path / "one.safetensors", metadata={"ss_tag": "x"})
    found = files.read(tmp_path / "one.safetensors")
    assert set(found.layers) == {"lora_unet_conv"}
    files.write(tmp_path / "two.safetensors", found)
    before, after = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    assert set(after) - set(before) == {"lora_unet_conv.alpha"}  # said now, where it went without saying
    assert all(torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items())
    assert files.read(tmp_path / "two.safetensors").about == {"ss_tag": "x"}


def test_other_files_are_refused_by_name(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no header")
    save_file({"weight": torch.ones(2)}, tmp_path / "checkpoint.safetensors")
    for name, said in (("broken", "no safetensors"), ("checkpoint", "no layers of a LoRA")):
        with pytest.raises(ValueError, match=said):
            files.read(tmp_path / f"{name}.safetensors")
