"""The testbed in Stable Diffusion 1.5's sizes: norms that see the same, networks that compute the same, a checkpoint that Forge can load."""

import hashlib

import pytest
import torch
from safetensors.torch import load_file
from test_a1111 import text_layout, unet_layout, vae_layout
from torch import nn

from lib_stability.profile import profiles, storage
from lib_stability.shell.cli import main
from lib_stability.testbed.export import forge, ldm_checkpoint, ldm_names, wide_networks, wide_norms, wide_time
from lib_stability.testbed.export.wide_channels import Spread, helmert
from lib_stability.testbed.network import train_kinds
from lib_stability.testbed.network.model import TEXT_CONFIG, UNET_CONFIG, VAE_CONFIG, Testbed, tokenize
from lib_stability.testbed.network.sample import sample
from lib_stability.testbed.world import captions, eight_bits, judge

UNET = UNET_CONFIG | {"block_out_channels": (320, 640, 640), "cross_attention_dim": 768, "attention_head_dim": 8}


@pytest.fixture(scope="module")
def bed():
    return wide_norms.load()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "Stable-diffusion"
    assert main(["testbed", "export", "--forge", str(folder)]) == 0
    return folder / "testbed-forge.safetensors"


@pytest.fixture(scope="module")
def tensors(exported):
    return load_file(exported)


def built(make, tensors, names, device="meta"):
    """A network of diffusers' or transformers' with the checkpoint's tensors in it; made elsewhere than on meta if it has buffers of its own."""
    with torch.device(device):
        net = make()
    shapes = {name: value.shape for name, value in net.state_dict().items()}
    net.load_state_dict({ours: tensors[theirs].float().reshape(shapes[ours]) for ours, theirs in names(shapes).items()}, assign=True)
    return net.eval()


@pytest.mark.parametrize(("narrow", "wide"), [(96, 320), (128, 640), (128, 320), (32, 256)])
def test_a_wide_norm_of_the_spread_channels_is_the_narrow_norm(narrow, wide):
    spread = Spread.groups(narrow, wide)
    x = torch.randn(3, narrow, 5, dtype=torch.float64) * torch.rand(narrow, 1) + torch.randn(narrow, 1)
    spread_x = torch.einsum("wn,bnp->bwp", spread.matrix, x)
    assert torch.equal(spread_x[:, spread.places], x)
    ours, theirs = nn.functional.group_norm(x, 32), nn.functional.group_norm(spread_x, 32)[:, spread.places]
    assert torch.allclose(ours, theirs, atol=1e-12)
    assert torch.allclose(spread.shares(), torch.eye(32, dtype=torch.float64).repeat_interleave(narrow // 32, 1) / (narrow // 32))


def test_helmerts_rows_are_orthonormal_and_the_first_is_constant():
    rows = helmert(7)
    assert torch.allclose(rows @ rows.T, torch.eye(7, dtype=torch.float64)) and (rows[0] == rows[0, 0]).all()


def test_sizes_without_a_spread_are_refused():
    with pytest.raises(ValueError, match="do not both make 32 groups"):
        Spread.groups(96, 330)
    with pytest.raises(ValueError, match="cannot stand for"):
        Spread.groups(96, 160)
    with pytest.raises(ValueError, match="no multiple"):
        Spread.copies(96, 320)
    with pytest.raises(ValueError, match="do not each hold whole channels"):
        Spread.copies(96, 192).shares(64)


def test_a_regrouped_norm_is_what_the_wide_norm_makes_of_the_skip_connection():
    both = wide_networks.UNET_SPREADS[128].beside(wide_networks.UNET_SPREADS[96])
    x, norm = torch.randn(2, 224, 4, 4) + torch.randn(224, 1, 1), nn.GroupNorm(32, 224)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    wide = nn.functional.group_norm(torch.einsum("wn,bnij->bwij", both.matrix.float(), x), 32)[:, both.places]
    expected = wide * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(wide_norms.Regrouped(norm, wide_norms.shares())(x), expected, atol=1e-5)
    same = wide_norms.Regrouped(norm, torch.eye(32).repeat_interleave(7, 1) / 7)
    assert torch.allclose(same(x), norm(x), atol=1e-5)


def test_the_wide_unet_computes_what_the_regrouped_one_does(bed, tensors):
    from diffusers import UNet2DConditionModel

    wide = built(lambda: UNet2DConditionModel(**UNET), tensors, lambda names: ldm_names.unet(names, UNET))
    x, t = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0)), torch.tensor([30, 900])
    context = bed.encode_text([captions.memorized()[0].caption, ""])
    with torch.inference_mode():
        ours, theirs = bed.unet(x, t, context).sample, wide(x, t, context.repeat_interleave(6, 2)).sample
    assert (ours - theirs).abs().max() < 5e-3 and (ours - theirs).square().mean().sqrt() < 1e-3, "weights are rounded to float16"


def test_the_wide_autoencoder_reads_and_writes_the_same_pictures(bed, tensors):
    from diffusers import AutoencoderKL

    config = VAE_CONFIG | {"block_out_channels": wide_networks.VAE_WIDTHS, "layers_per_block": 2}
    wide = built(lambda: AutoencoderKL(**config), tensors, lambda names: ldm_names.vae(names, config))
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        ours, theirs = bed.vae.encode(pixels).latent_dist, wide.encode(pixels).latent_dist
        assert torch.allclose(ours.mean * bed.scale, theirs.mean * 0.18215, atol=5e-3)
        assert torch.allclose(ours.std * bed.scale, theirs.std * 0.18215, rtol=0.01)
        latents = ours.mean * bed.scale
        assert (bed.decode(latents) - wide.decode(latents / 0.18215).sample.clamp(-1, 1)).abs().max() < 0.01


def test_the_wide_text_encoder_gives_each_channel_six_times(bed, tensors):
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    config = CLIPTextConfig(**TEXT_CONFIG | sizes, vocab_size=49408)
    wide = built(lambda: CLIPTextModel(config), tensors, ldm_names.text, "cpu")
    texts = [captions.memorized()[0].caption, ""]
    known = {ours: theirs for theirs, ours in enumerate(ldm_checkpoint.clip_rows().tolist())}
    ids = tokenize(texts).apply_(lambda number: known[number])
    with torch.inference_mode():
        theirs, ours = wide(ids).last_hidden_state, bed.encode_text(texts)
    assert torch.allclose(theirs, ours.repeat_interleave(6, 2), atol=0.02) and (theirs - theirs[..., ::6].repeat_interleave(6, 2)).abs().max() < 1e-4


def test_the_wide_time_embedding_is_right_at_every_timestep(bed):
    state, own = wide_norms.part(load_file(wide_norms.WEIGHTS), wide_norms.TIME_EMBEDDING), bed.unet.time_embedding
    t = torch.arange(1000)
    with torch.inference_mode():
        ours = own(wide_time.sinusoids(t, 96).float())
        hidden = nn.functional.silu(wide_time.sinusoids(t, 320).float() @ state["linear_1.weight"].T + state["linear_1.bias"])
        theirs = hidden @ state["linear_2.weight"].T + state["linear_2.bias"]
    assert (theirs - ours).square().mean().sqrt() < 1e-3 and theirs.std() > 0.1
    again = wide_time.solve(own)
    assert again.keys() == state.keys() and all((again[name].float() - value).abs().max() < 0.02 for name, value in state.items())


def test_keys_and_shapes_are_those_that_forge_builds(tensors):
    unet = {
        "channels": [320, 640, 640],
        "num_res_blocks": 1,
        "context_dim": 768,
        "in_channels": 4,
        "out_channels": 4,
        "attention_resolutions": [2, 4],
    }
    ddconfig = {"ch": 128, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "z_channels": 4, "in_channels": 3, "out_ch": 3}
    expected = {
        ldm_names.UNET: unet_layout(unet),
        ldm_names.VAE: vae_layout({"ddconfig": ddconfig, "embed_dim": 4}),
        ldm_names.TEXT: text_layout({"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}),
        "": dict.fromkeys(ldm_checkpoint.schedule(), (1000,)),
    }
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        prefix + name: shape for prefix, layout in expected.items() for name, shape in layout.items()
    }


def test_the_export_has_the_hash_that_its_profile_names(exported):
    with exported.open("rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == forge.SHA256
    profile, why = profiles.choose(storage.load_all([storage.BUNDLED])[0], forge.SHA256, "sd1")
    assert profile.kind == "calibrated" and why == "made for this checkpoint"


def test_it_samples_what_the_testbed_samples(bed):
    items = captions.memorized()[:2]
    texts = [item.caption for item in items] + [caption for caption, _ in captions.ordinary_samples(2, 21, "evaluation")]
    with torch.inference_mode():
        ours, theirs = (net.decode(sample(net, texts, range(4), steps=10).latents) for net in (Testbed.load(), bed))
    assert (judge.likeness(theirs[:2], items) > judge.COPY).all()
    assert judge.correlation(theirs, ours).min() > 0.95


def test_training_resumes_where_it_was(tmp_path, monkeypatch):
    for name, value in {"ORDINARY_PICTURES": 400, "SAVE_EVERY": 1}.items():
        monkeypatch.setattr(wide_norms, name, value)
    latents = torch.randn(2000, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(train_kinds, "encode_all", lambda bed, scenes, what: latents[: len(scenes)])
    wide_norms.train(tmp_path, steps=2, batch=2)
    whole = load_file(tmp_path / "forge.safetensors")
    state = torch.load(tmp_path / "forge.pt", weights_only=True)
    assert state["step"] == 2 and len(state["errors"]) == 2
    (tmp_path / "forge.safetensors").unlink()
    wide_norms.train(tmp_path, steps=2, batch=2)
    again = load_file(tmp_path / "forge.safetensors")
    assert again.keys() == whole.keys() == load_file(wide_norms.WEIGHTS).keys() and all(torch.equal(again[name], whole[name]) for name in whole)
    trained = eight_bits.unpacked(whole)[f"{wide_norms.BLOCKS[0]}.conv1.weight"]
    assert not torch.allclose(trained, Testbed.load().unet.get_submodule(wide_norms.BLOCKS[0]).conv1.weight, rtol=0, atol=1e-4)


def test_a_bad_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["testbed", "export", "--forge", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
