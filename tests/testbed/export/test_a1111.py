"""The exported testbed: Stable Diffusion 1's layout key by key, nothing lost on the way, CLIP's tokens, the configuration, equal bytes each time."""

import hashlib
import json
import sys
import types

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from lib_stability.shell.cli import main
from lib_stability.testbed.export import a1111, host_unet, ldm_checkpoint, ldm_names
from lib_stability.testbed.network.model import BOS, CLIP_BOS, CLIP_EOS, EOS, MAX_TOKENS, Testbed, alphas_cumprod, token_ids, tokenize
from lib_stability.testbed.world import captions

yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def bed():
    return Testbed.load()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "Stable-diffusion"
    assert main(["testbed", "export", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def tensors(folder):
    return load_file(folder / "testbed.safetensors")


@pytest.fixture(scope="module")
def params(folder):
    return yaml.safe_load((folder / "testbed.yaml").read_text(encoding="utf-8"))["model"]["params"]


def pair(name, out, *weight):
    return {f"{name}.weight": (out, *weight), f"{name}.bias": (out,)}


def unet_layout(params):
    """Every key of LDM's U-Net and its shape, walked as LDM builds it; `channels` are those of the levels."""
    channels, depth, context = params["channels"], params["num_res_blocks"], params["context_dim"]
    emb, found = 4 * channels[0], {}

    def resnet(name, into, out):
        found.update(pair(f"{name}.in_layers.0", into) | pair(f"{name}.in_layers.2", out, into, 3, 3) | pair(f"{name}.emb_layers.1", out, emb))
        found.update(pair(f"{name}.out_layers.0", out) | pair(f"{name}.out_layers.3", out, out, 3, 3))
        if into != out:
            found.update(pair(f"{name}.skip_connection", out, into, 1, 1))

    def transformer(name, c):
        inner = f"{name}.transformer_blocks.0"
        found.update(pair(f"{name}.norm", c) | pair(f"{name}.proj_in", c, c, 1, 1) | pair(f"{name}.proj_out", c, c, 1, 1))
        for attention, source in (("attn1", c), ("attn2", context)):
            found[f"{inner}.{attention}.to_q.weight"] = (c, c)
            found.update({f"{inner}.{attention}.{part}.weight": (c, source) for part in ("to_k", "to_v")})
            found.update(pair(f"{inner}.{attention}.to_out.0", c, c))
        found.update(pair(f"{inner}.ff.net.0.proj", 8 * c, c) | pair(f"{inner}.ff.net.2", c, 4 * c))
        for norm in ("norm1", "norm2", "norm3"):
            found.update(pair(f"{inner}.{norm}", c))

    found.update(pair("time_embed.0", emb, channels[0]) | pair("time_embed.2", emb, emb))
    found.update(pair("input_blocks.0.0", channels[0], params["in_channels"], 3, 3))
    now, skips, index = channels[0], [channels[0]], 1
    for level, c in enumerate(channels):
        for _ in range(depth):
            resnet(f"input_blocks.{index}.0", now, c)
            if 2**level in params["attention_resolutions"]:
                transformer(f"input_blocks.{index}.1", c)
            now, index = c, index + 1
            skips.append(c)
        if level < len(channels) - 1:
            found.update(pair(f"input_blocks.{index}.0.op", c, c, 3, 3))
            index += 1
            skips.append(c)
    resnet("middle_block.0", now, now)
    transformer("middle_block.1", now)
    resnet("middle_block.2", now, now)
    index = 0
    for level, c in reversed(list(enumerate(channels))):
        for block in range(depth + 1):
            resnet(f"output_blocks.{index}.0", now + skips.pop(), c)
            place = 1
            if 2**level in params["attention_resolutions"]:
                transformer(f"output_blocks.{index}.1", c)
                place = 2
            if level and block == depth:
                found.update(pair(f"output_blocks.{index}.{place}.conv", c, c, 3, 3))
            now, index = c, index + 1
    return found | pair("out.0", channels[0]) | pair("out.2", params["out_channels"], channels[0], 3, 3)


def vae_layout(params):
    """Every key of LDM's autoencoder and its shape."""
    config, found = params["ddconfig"], {}
    channels, depth, z = [config["ch"] * mult for mult in config["ch_mult"]], config["num_res_blocks"], config["z_channels"]

    def resnet(name, into, out):
        found.update(pair(f"{name}.norm1", into) | pair(f"{name}.conv1", out, into, 3, 3) | pair(f"{name}.norm2", out))
        found.update(pair(f"{name}.conv2", out, out, 3, 3))
        if into != out:
            found.update(pair(f"{name}.nin_shortcut", out, into, 1, 1))

    for half, first, last in (("encoder", config["in_channels"], 2 * z), ("decoder", z, config["out_ch"])):
        order = list(enumerate(channels)) if half == "encoder" else list(reversed(list(enumerate(channels))))
        now = order[0][1]
        found.update(pair(f"{half}.conv_in", now, first, 3, 3))
        for level, c in order:
            for block in range(depth if half == "encoder" else depth + 1):
                resnet(f"{half}.{'down' if half == 'encoder' else 'up'}.{level}.block.{block}", now, c)
                now = c
            if half == "encoder" and level < len(channels) - 1:
                found.update(pair(f"encoder.down.{level}.downsample.conv", c, c, 3, 3))
            if half == "decoder" and level:
                found.update(pair(f"decoder.up.{level}.upsample.conv", c, c, 3, 3))
        wide = channels[-1]
        resnet(f"{half}.mid.block_1", wide, wide)
        resnet(f"{half}.mid.block_2", wide, wide)
        found.update(pair(f"{half}.mid.attn_1.norm", wide))
        for part in ("q", "k", "v", "proj_out"):
            found.update(pair(f"{half}.mid.attn_1.{part}", wide, wide, 1, 1))
        found.update(pair(f"{half}.norm_out", now) | pair(f"{half}.conv_out", last, now, 3, 3))
    return found | pair("quant_conv", 2 * params["embed_dim"], 2 * z, 1, 1) | pair("post_quant_conv", z, params["embed_dim"], 1, 1)


def text_layout(config):
    """Every key of CLIP's text encoder as LDM keeps it, and its shape."""
    wide, found = config["hidden_size"], {"embeddings.position_ids": (1, 77)}
    found["embeddings.token_embedding.weight"] = (49408, wide)
    found["embeddings.position_embedding.weight"] = (77, wide)
    for layer in (f"encoder.layers.{index}" for index in range(config["num_hidden_layers"])):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found.update(pair(f"{layer}.self_attn.{part}", wide, wide))
        found.update(pair(f"{layer}.layer_norm1", wide) | pair(f"{layer}.layer_norm2", wide))
        found.update(pair(f"{layer}.mlp.fc1", config["intermediate_size"], wide) | pair(f"{layer}.mlp.fc2", wide, config["intermediate_size"]))
    return found | pair("final_layer_norm", wide)


def test_keys_and_shapes_are_those_that_ldm_builds_from_the_configuration(tensors, params, folder):
    config = json.loads((folder / "testbed-clip" / "config.json").read_text())
    expected = {
        "model.diffusion_model.": unet_layout(params["unet_config"]["params"]),
        "first_stage_model.": vae_layout(params["first_stage_config"]["params"]),
        "cond_stage_model.transformer.text_model.": text_layout(config),
        "": dict.fromkeys(ldm_checkpoint.schedule(), (1000,)),
    }
    flat = {prefix + name: shape for prefix, layout in expected.items() for name, shape in layout.items()}
    assert {name: tuple(value.shape) for name, value in tensors.items()} == flat
    weights = [value for name, value in tensors.items() if name.startswith(("model.", "first_stage_model.", "cond_stage_model."))]
    assert sum(value.dtype != torch.float16 for value in weights) == 1, "only the position numbers are no float16"


def test_a_checkpoint_reads_back_as_the_very_same_testbed(bed, folder):
    back = ldm_checkpoint.read(folder / "testbed.safetensors")
    assert back.scale == bed.scale
    for part in ("unet", "vae", "text"):
        ours, theirs = getattr(bed, part).state_dict(), getattr(back, part).state_dict()
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_diffusers_own_reader_of_such_checkpoints_agrees(bed, tensors):
    single_file = pytest.importorskip("diffusers.loaders.single_file_utils")
    for part, convert in (("unet", single_file.convert_ldm_unet_checkpoint), ("vae", single_file.convert_ldm_vae_checkpoint)):
        network = getattr(bed, part)
        back = convert(dict(tensors), dict(network.config))
        assert back.keys() == network.state_dict().keys()
        assert all(torch.equal(back[name].float().reshape(value.shape), value) for name, value in network.state_dict().items())


def test_a_checkpoint_without_a_tensor_is_refused_by_its_name(folder, tmp_path, tensors):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({name: value for name, value in tensors.items() if "out.2" not in name}, path)
    with pytest.raises(ValueError, match=r"lacks model\.diffusion_model\.out\.2\.weight"):
        ldm_checkpoint.read(path)


def test_a_tensor_without_a_place_in_the_layout_is_refused(bed):
    with pytest.raises(ValueError, match=r"add_embedding\.linear_1\.weight has no place"):
        ldm_names.unet(["add_embedding.linear_1.weight"], bed.unet.config)


def test_the_bytes_are_the_same_each_time(bed, folder, tmp_path, capsys):
    content = (folder / "testbed.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() == a1111.SHA256
    path, sha256 = a1111.write(bed, tmp_path)
    assert sha256 == a1111.SHA256 and path.read_bytes() == content
    for name in ("vocab.json", "merges.txt", "config.json", "tokenizer_config.json", "special_tokens_map.json"):
        assert (tmp_path / "testbed-clip" / name).read_bytes() == (folder / "testbed-clip" / name).read_bytes()
    a1111.write(bed, tmp_path)
    assert path.read_bytes() == content, "over an earlier export"
    with safe_open(str(path), framework="pt") as file:
        assert list(file.metadata()) == ["testbed"]


@pytest.fixture(scope="module")
def tokenizer(folder):
    return pytest.importorskip("transformers").CLIPTokenizer.from_pretrained(str(folder / "testbed-clip"))


def test_clips_tokenizer_gives_the_testbeds_tokens(tokenizer):
    texts = [item.caption for item in captions.memorized()] + [text for text, _ in captions.ordinary_samples(200, 5)] + [""]
    rows = ldm_checkpoint.clip_rows()
    ids = tokenizer(texts, padding="max_length", max_length=MAX_TOKENS, truncation=True).input_ids
    assert torch.equal(rows[torch.tensor(ids)], tokenize(texts))
    assert all(tokenizer(word).input_ids == [CLIP_BOS, number, CLIP_EOS] for word, number in token_ids().items())


def test_clips_tokenizer_knows_the_whole_vocabulary(tokenizer):
    from clip.simple_tokenizer import SimpleTokenizer

    text = "a photograph of an astronaut riding a horse, highly detailed (masterpiece:1.2) 1234 naïve café!"
    assert len(tokenizer) == 49408
    assert tokenizer(text, add_special_tokens=False).input_ids == SimpleTokenizer().encode(text)


def test_tokens_reach_their_rows_and_unknown_words_read_like_padding(bed, tensors):
    table, ours = tensors[ldm_checkpoint.TOKEN_TABLE].float(), bed.text.get_input_embeddings().weight
    for number, word in enumerate(captions.all_words(), start=2):
        assert torch.equal(table[token_ids()[word]], ours[number])
    assert torch.equal(table[CLIP_BOS], ours[BOS]) and torch.equal(table[CLIP_EOS], ours[EOS])
    known = {CLIP_BOS, *token_ids().values()}
    others = torch.tensor([number for number in range(49408) if number not in known])
    assert (table[others] == ours[EOS]).all()


def test_the_configuration_agrees_with_the_networks(bed, params, folder):
    unet, first = params["unet_config"], params["first_stage_config"]["params"]
    config = bed.unet.config
    assert unet["params"]["channels"] == list(config.block_out_channels) and unet["params"]["context_dim"] == config.cross_attention_dim
    heads = {module.heads for module in bed.unet.modules() if type(module).__name__ == "Attention"}
    assert heads == {unet["params"]["num_heads"]}
    assert unet["params"]["num_res_blocks"] == config.layers_per_block and unet["params"]["attention_resolutions"] == [2, 4]
    assert unet["params"]["use_linear_in_transformer"] is False and unet["params"]["use_spatial_transformer"] is True
    assert params["scale_factor"] == bed.scale and (params["linear_start"], params["linear_end"]) == (0.00085, 0.012)
    assert [first["ddconfig"]["ch"] * mult for mult in first["ddconfig"]["ch_mult"]] == list(bed.vae.config.block_out_channels)
    assert first["ddconfig"]["num_res_blocks"] == bed.vae.config.layers_per_block and first["embed_dim"] == 4
    assert params["cond_stage_config"]["params"] == {"version": str(folder / "testbed-clip")}


def test_the_testbed_computes_as_ldm_does(bed):
    """What LDM has fixed in its code, and neither weights nor configuration could carry over."""
    norms = {name: module for name, module in bed.unet.named_modules() if isinstance(module, torch.nn.GroupNorm)}
    assert {module.num_groups for module in norms.values()} == {32}
    assert {module.eps for name, module in norms.items() if ".attentions." in name} == {1e-6}
    assert {module.eps for name, module in norms.items() if ".attentions." not in name} == {1e-5}
    assert {module.eps for module in bed.vae.modules() if isinstance(module, torch.nn.GroupNorm)} == {1e-6}
    assert bed.unet.config.flip_sin_to_cos and bed.unet.config.freq_shift == 0
    assert bed.text.config.hidden_act == "quick_gelu" and bed.text.config.max_position_embeddings == MAX_TOKENS


def test_the_encoder_of_the_exported_folder_gives_the_testbeds_conditioning(bed, tensors, folder, tokenizer):
    from transformers import CLIPTextConfig, CLIPTextModel

    encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(str(folder / "testbed-clip"))).eval()
    names = ldm_names.text(encoder.state_dict())
    encoder.load_state_dict({ours: tensors[theirs] for ours, theirs in names.items()})
    texts = [captions.memorized()[0].caption, "", "unheard words"]
    ids = torch.tensor(tokenizer(texts, padding="max_length", max_length=MAX_TOKENS).input_ids)
    with torch.inference_mode():
        theirs, ours = encoder(ids).last_hidden_state, bed.encode_text([texts[0], "", ""])
    assert torch.allclose(theirs, ours, atol=1e-5)


def test_the_schedule_is_the_one_that_the_configuration_describes(tensors):
    betas = tensors["betas"].double()
    assert torch.allclose(torch.cumprod(1 - betas, 0), alphas_cumprod().double(), rtol=1e-5)
    assert torch.equal(tensors["alphas_cumprod"], alphas_cumprod()) and tensors["alphas_cumprod_prev"][0] == 1


def test_a_levels_channels_pass_for_its_multiple(params):
    levels = [host_unet.Channels(number) for number in params["unet_config"]["params"]["channels"]]
    assert [mult * 96 for mult in levels] == [96 * mult for mult in levels] == [96, 128, 128]
    assert all(type(mult * 96) is int and type(96 * mult) is int for mult in levels), "sizes of tensors have to be plain numbers"
    module, _, name = params["unet_config"]["target"].rpartition(".")
    assert module == host_unet.__name__ and getattr(host_unet, name) is host_unet.build


def test_the_host_builds_its_own_class_from_the_configuration(params, monkeypatch):
    class UNetModel:
        def __init__(self, **options):
            self.options = options

    for name in ("ldm", "ldm.modules", "ldm.modules.diffusionmodules", "ldm.modules.diffusionmodules.openaimodel"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules[name].UNetModel = UNetModel
    built = host_unet.build(use_fp16=False, **params["unet_config"]["params"])
    assert type(built) is UNetModel and "channels" not in built.options
    assert built.options["model_channels"] == 96 and built.options["channel_mult"] == [96, 128, 128]
    assert built.options["context_dim"] == 128 and built.options["use_fp16"] is False


@pytest.mark.parametrize("name", ["file", "file/below", "${oc.env:HOME}"])
def test_a_bad_folder_is_one_line(tmp_path, capsys, name):
    (tmp_path / "file").write_text("")
    assert main(["testbed", "export", str(tmp_path / name)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and name.split("/")[0] in error and "Traceback" not in error


def test_a_folder_name_of_any_other_kind_survives_the_configuration(bed, tmp_path):
    folder = tmp_path / "Models: #1 'süß' \"x\" {a}"
    a1111.write(bed, folder)
    params = yaml.safe_load((folder / "testbed.yaml").read_text(encoding="utf-8"))["model"]["params"]
    assert params["cond_stage_config"]["params"]["version"] == str(folder / "testbed-clip")
