from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_stability.networks import files, filtering
from lib_stability.networks.base import Base
from lib_stability.shell import cli

NAME, PLACE = "lora_unet_down_blocks_1_attentions_0_proj_in", "model.diffusion_model.input_blocks.4.1.proj_in.weight"
SIDE, MAIN = 24, 4


def basis(seed: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)))[0]


LEFT, RIGHT = basis(1), basis(2)


@pytest.fixture
def base(tmp_path):
    """A weight whose energy lies in its first four directions."""
    strengths = torch.full((SIDE,), 0.1)
    strengths[:MAIN] = 10.0
    path = tmp_path / "base.safetensors"
    save_file({PLACE: (LEFT * strengths @ RIGHT.T)[:, :, None, None].contiguous()}, path)
    return path


def lora(*directions: tuple[int, float], alpha: float = 2.0, window: bool = True) -> files.Network:
    """An update with these singular directions of the base, each at a strength; as a 1×1 convolution's, as in Stable Diffusion 1."""
    up = torch.stack([LEFT[:, number] * strength for number, strength in directions], 1)
    down = torch.stack([RIGHT[:, number] for number, _ in directions])
    mixing = torch.linalg.qr(torch.randn(len(directions), len(directions), generator=torch.Generator().manual_seed(3)))[0]
    up, down = up @ mixing, mixing.T @ down  # the file does not show the channels
    if window:
        up, down = up[:, :, None, None], down[:, :, None, None]
    return files.Network({NAME: files.Layer(down.contiguous(), up.contiguous(), alpha)}, {}, {})


def test_channels_are_told_by_how_they_lie_to_the_base(base):
    network = lora((0, 3.0), (9, 2.0), (2, 1.0))
    found = filtering.channels(network.layers[NAME], Base(base).weight(NAME))
    assert torch.allclose(found.strength, torch.tensor([3.0, 2.0, 1.0]) * 2 / 3, atol=1e-4)
    assert torch.allclose(found.alignment, torch.tensor([SIDE / MAIN, 0.0, SIDE / MAIN]), atol=1e-3)
    assert torch.allclose(found.outward * found.strength @ found.inward.T, network.layers[NAME].update, atol=1e-5)


@pytest.mark.parametrize("alpha", [2.0, -2.0])
def test_what_is_not_aligned_goes_and_the_rest_stays(base, alpha):
    network = lora((0, 3.0), (9, 2.0), (2, 1.0), (11, 4.0), alpha=alpha)
    cleaned, rows, missing = filtering.clean(network, Base(base), share=0.5)
    expected = lora((0, 3.0), (2, 1.0), alpha=alpha).layers[NAME].update / 2  # the rank halves what alpha counts for
    assert torch.allclose(cleaned.layers[NAME].update, expected, atol=1e-5)
    assert missing == [] and (rows[0].channels, rows[0].kept) == (4, 2)
    assert rows[0].energy_kept / rows[0].energy == pytest.approx(10 / 30, abs=1e-4)
    before, after = network.layers[NAME], cleaned.layers[NAME]
    assert before.down.shape == after.down.shape and before.up.shape == after.up.shape and after.alpha == alpha


def test_ends_of_the_share(base):
    network = lora((0, 3.0), (9, 2.0))
    whole, nothing = (filtering.clean(network, Base(base), share=share)[0].layers[NAME].update for share in (0, 1))
    assert torch.allclose(whole, network.layers[NAME].update, atol=1e-5) and not nothing.any()


def test_more_rank_than_a_side_has_room_for(base):
    generator = torch.Generator().manual_seed(5)
    layer = files.Layer(torch.randn(40, SIDE, generator=generator), torch.randn(SIDE, 40, generator=generator), 40.0)
    cleaned, rows, _ = filtering.clean(files.Network({NAME: layer}, {}, {}), Base(base), share=0)
    assert torch.allclose(cleaned.layers[NAME].update, layer.update, atol=1e-3) and rows[0].channels == SIDE


def test_layers_that_the_base_has_not_are_named_and_kept(base):
    network = lora((0, 3.0), (9, 2.0))
    layer = network.layers[NAME]
    other = files.Layer(torch.ones(2, 5), torch.ones(3, 2), 2.0)
    network = files.Network({NAME: layer, "lora_unet_elsewhere": other}, {}, {})
    cleaned, rows, missing = filtering.clean(network, Base(base))
    assert missing == ["lora_unet_elsewhere"] and cleaned.layers["lora_unet_elsewhere"] is other and len(rows) == 1
    with pytest.raises(ValueError, match="another kind of model"):
        filtering.clean(files.Network({"lora_unet_elsewhere": other}, {}, {}), Base(base))


def test_command(base, tmp_path, capsys):
    source, target = tmp_path / "in.safetensors", tmp_path / "out" / "out.safetensors"
    network = lora((0, 3.0), (9, 2.0))
    files.write(source, files.Network(network.layers, {"extra.weight": torch.ones(1)}, {"ss_tag": "x", "sshs_model_hash": "0"}))
    command = ["lora", "clean", str(source), str(target), "--base", str(base)]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "U-Net down blocks 1" in said and "1 of 2" in said and "69%" in said and "extra.weight" in said
    assert torch.equal(load_file(target)["extra.weight"], torch.ones(1))
    about = files.read(target).about
    assert about["ss_tag"] == "x" and "0.5" in about["cleaned"] and "sshs_model_hash" not in about
    assert cli.main(command) == 2 and "--force" in capsys.readouterr().err
    assert cli.main([*command, "--force"]) == 0


@pytest.mark.parametrize(("change", "said"), [((2, "none"), "no file"), ((3, "x.ckpt"), ".safetensors"), ((5, "none"), "no file")])
def test_bad_use_is_one_line(base, tmp_path, capsys, change, said):
    source = tmp_path / "in.safetensors"
    files.write(source, lora((0, 3.0)))
    command = ["lora", "clean", str(source), str(tmp_path / "out.safetensors"), "--base", str(base)]
    command[change[0]] = str(tmp_path / change[1])
    assert cli.main(command) == 2
    said_all = capsys.readouterr().err
    assert said in said_all and said_all.count("\n") == 1
