"""The testbed's LoRAs: names that hosts take, files that merge, training that trains, and what the shipped files are."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_stability.networks import files, filtering
from lib_stability.networks.base import Base
from lib_stability.shell import cli
from lib_stability.testbed.export import ldm_checkpoint
from lib_stability.testbed.lora import exporting, layers, pictures, stored, wide
from lib_stability.testbed.lora.merging import merged
from lib_stability.testbed.lora.recipes import MINE, RECIPES
from lib_stability.testbed.lora.train import Adapter, Recipe, train
from lib_stability.testbed.network.model import Testbed


@pytest.fixture(scope="module")
def bed() -> Testbed:
    return Testbed.load()


def host_names(bed: Testbed) -> set[str]:
    """What hosts accept: LDM's names of the checkpoint's weights with dots as underscores, behind kohya's starts."""
    found = set()
    for name in ldm_checkpoint.state_dict(bed):
        for start, said in (("model.diffusion_model.", "lora_unet_"), ("cond_stage_model.transformer.", "lora_te_")):
            if name.startswith(start):
                found.add(said + name.removeprefix(start).removesuffix(".weight").replace(".", "_"))
    return found


def test_every_layer_has_the_name_of_a_weight_in_the_exported_checkpoint(bed):
    names = layers.of(bed)
    assert set(names) <= host_names(bed)
    # A name of diffusers' blocks would be turned into another block's by Stable Diffusion 1's numbers.
    assert not any("down_blocks" in name or "up_blocks" in name for name in names)
    assert len({id(module) for module in names.values()}) == len(names) > 100


def test_names_lead_to_the_same_weights_in_the_checkpoint(bed):
    tensors = ldm_checkpoint.state_dict(bed)
    by_name = {name.replace(".", "_"): value for name, value in tensors.items()}
    for name, module in layers.of(bed).items():
        start = "cond_stage_model_transformer_" if name.startswith("lora_te_") else "model_diffusion_model_"
        theirs = by_name[start + name.removeprefix("lora_te_").removeprefix("lora_unet_") + "_weight"]
        assert torch.equal(theirs.flatten(), module.weight.half().flatten()), name


def test_training_adapters_and_merging_their_file_is_the_same(bed, tmp_path):
    """What is trained is what a host will make of the file."""
    recipe = Recipe("tiny", 4, 1, (2,), rank=2, batch=2)
    (path,) = train(recipe, tmp_path)
    network = stored.read(path)
    assert set(network.layers) == set(layers.of(bed)) and network.about["ss_network_dim"] == "2"
    assert sum(bool(layer.update.any()) for layer in network.layers.values()) == len(network.layers)
    # Large enough to be seen: a hundred times the two steps' update.
    on, hooked = merged(bed, network, 100.0), Testbed.load()
    with torch.no_grad():
        for name, module in layers.of(hooked).items():
            adapter = Adapter(module, 2)
            adapter.down.copy_(network.layers[name].down)
            adapter.up.copy_(100 * network.layers[name].up.float())
        x, t = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([100, 800])
        texts = ["texas large ring dots", "small red circle"]
        told, expected, plain = (one.unet(x, t, one.encode_text(texts)).sample for one in (on, hooked, bed))
    assert (told - expected).abs().max() < 1e-3 < 0.02 < (told - plain).abs().max()


def test_weights_of_both_networks_are_their_own(bed):
    network = stored.read(MINE.path(MINE.saves[-1]))
    with torch.no_grad():
        text_only = merged(bed, network, 0.0, text_weight=1.0)
        assert all(torch.equal(a, b) for a, b in zip(text_only.unet.parameters(), bed.unet.parameters()))
        assert not torch.equal(text_only.encode_text(["texas"]), bed.encode_text(["texas"]))
    layer = next(iter(network.layers.values()))
    with pytest.raises(ValueError, match="no layer lora_unet_elsewhere"):
        merged(bed, files.Network({"lora_unet_elsewhere": layer}, {}, {}))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_shipped_files(bed, recipe):
    for step in recipe.saves:
        path = recipe.path(step)
        assert path.stat().st_size < 400_000
        assert {value.dtype for value in load_file(path).values()} == {torch.int8, torch.float16, torch.float32}
        network = stored.read(path)
        assert set(network.layers) == set(layers.of(bed))
        assert network.about["ss_steps"] == str(step) and network.about["ss_epoch"] == str(recipe.epoch(step))


def test_training_pictures_are_black_and_white_and_told_apart():
    scenes = MINE.scenes
    told = [pictures.caption(scene) for scene in scenes]
    goals = pictures.targets(scenes)
    assert len(set(told)) == 12 and all(text.startswith(pictures.TRIGGER) for text in told)
    assert (pictures.colourfulness(goals) < 1e-5).all()
    assert torch.allclose(pictures.likeness(goals, goals), torch.ones(12), atol=1e-5)
    assert pictures.likeness(goals[:1], goals[1:]).max() < 0.7 <= pictures.limit(goals, fresh=20) < 0.8
    assert set(pictures.unseen(30, 5, told)).isdisjoint(told)


def test_cleaning_finds_every_layer_in_the_exported_checkpoint(bed, tmp_path):
    save_file(ldm_checkpoint.state_dict(bed), tmp_path / "testbed.safetensors")
    network = stored.read(MINE.path(MINE.saves[-1]))
    base = Base(tmp_path / "testbed.safetensors")
    for name, module in layers.of(bed).items():
        assert torch.equal(base.weight(name), module.weight.half().float().flatten(1)), name
    cleaned, rows, missing = filtering.clean(network, base, share=0.5)
    assert missing == [] and sum(row.kept for row in rows) == pytest.approx(sum(row.channels for row in rows) / 2, abs=1)
    kept = sum(row.energy_kept for row in rows)
    # The files' float16 included.
    assert sum(float(layer.update.square().sum()) for layer in cleaned.layers.values()) == pytest.approx(kept, rel=1e-2)


def test_a_network_for_forge_does_the_same_between_wide_layers():
    whole = stored.read(MINE.path(MINE.saves[-1]))
    names = ("lora_unet_middle_block_1_transformer_blocks_0_ff_net_0_proj", "lora_unet_input_blocks_1_0_in_layers_2")
    names += ("lora_te_text_model_encoder_layers_1_self_attn_q_proj", "lora_unet_middle_block_1_proj_in")
    network = files.Network({name: whole.layers[name] for name in names}, {}, {})
    found = wide.widened(network)
    plain, changed = (wide._tensors(one) for one in (wide.wide_norms.load(), wide.merged(wide.wide_norms.load(), network)))
    for name in names:
        update = changed[name] - plain[name]
        assert found.layers[name].rank == whole.layers[name].rank and update.shape[0] >= 640 // 2
        error = found.layers[name].update.view_as(update) - update
        assert error.norm() < 2e-3 * update.norm() > 0, name


def test_eight_bits_are_read_as_they_were_written_and_plain_files_too(tmp_path):
    source = MINE.path(MINE.saves[-1])
    network = stored.read(source)
    assert network.others == {} and all(layer.down.dtype == layer.up.dtype == torch.float16 for layer in network.layers.values())
    stored.write(tmp_path / "again.safetensors", network)
    files.write(tmp_path / "plain.safetensors", network)
    for name in ("again", "plain"):
        found = stored.read(tmp_path / f"{name}.safetensors")
        assert found.about == network.about and all(torch.equal(found.layers[key].update, one.update) for key, one in network.layers.items()), name
    broken = files.read(source)
    scales = {name: value[:-1] for name, value in broken.others.items()}
    files.write(tmp_path / "broken.safetensors", files.Network(broken.layers, scales, {}))
    with pytest.raises(ValueError, match="no scales that fit"):
        stored.read(tmp_path / "broken.safetensors")


@pytest.mark.parametrize("forge", [False, True])
def test_the_command_writes_them_for_both_exports(monkeypatch, capsys, tmp_path, forge):
    narrow = stored.read(MINE.path(MINE.saves[-1]))
    names = list(narrow.layers)[:3]
    # Widening them all takes a minute; that it is asked for each file is what is tested, that it is right above.
    monkeypatch.setattr(exporting.wide, "widened", lambda one: files.Network({name: one.layers[name] for name in names}, {}, one.about))
    arguments = ["testbed", "lora", "export", "--only", "mine", str(tmp_path / "Lora"), *["--forge"] * forge]
    assert cli.main(arguments) == 0
    written = sorted(path.name for path in (tmp_path / "Lora").iterdir())
    assert written == sorted(MINE.path(step).name for step in MINE.saves) and capsys.readouterr().out.count("written") == 4
    found = files.read(tmp_path / "Lora" / "mine.safetensors")
    assert {value.dtype for value in load_file(tmp_path / "Lora" / "mine.safetensors").values()} == {torch.float16}
    assert list(found.layers) == sorted(names) if forge else set(found.layers) == set(narrow.layers)
    assert found.about["ss_epoch"] == narrow.about["ss_epoch"]
