"""The testbed as a checkpoint that AUTOMATIC1111's web UI loads: Stable Diffusion 1's layout, the model's configuration, CLIP's tokenizer.

The web UI takes the `.yaml` beside a checkpoint as its configuration. LDM, whose classes it builds from it, does as the testbed does: quick GELU and
the final layer norm's output from CLIP, cos before sin in the time embedding, group norm with 1e-5 in residual blocks and 1e-6 elsewhere. Only sizes
that are no multiples of each other it cannot have: this package, as an extension of the web UI, brings the function that builds such a U-Net.

From the same noise the web UI's pictures differ from the testbed's own in float32 by at most 1 of 255, in fewer than 3 of 1,000 values (A1111 1.10.1,
12 captions, 4 samplers).

Forge knows a model by Stable Diffusion 1's sizes and takes none from a configuration: `forge_export` writes another checkpoint for it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors.torch import save

from ..network.model import CLIP_BOS, CLIP_EOS, LATENT_CHANNELS, LATENT_SIZE, LINEAR_END, LINEAR_START, MAX_TOKENS, TEXT_CONFIG, TIMESTEPS, Testbed
from .host_unet import build
from .ldm_checkpoint import CLIP_VOCABULARY, state_dict

NAME = "testbed"
TOKENIZER = f"{NAME}-clip"
#: The checkpoint of the bundled weights, by which a profile can know it; another training makes another one.
SHA256 = "088ce10b97b501dabcfba12cca4a4a50ae95545cbf9cde094aca21d613638fcc"


def configuration(bed: Testbed, tokenizer: str) -> dict:
    """What `testbed.yaml` says, by the networks' own configurations; `tokenizer` is the folder that it names."""
    unet, vae = bed.unet.config, bed.vae.config
    # LDM counts resolutions at which there is attention by how much smaller they are than the latent.
    attention = [2**level for level, kind in enumerate(unet.down_block_types) if "CrossAttn" in kind]
    first = vae.block_out_channels[0]
    unet_params = {
        "image_size": unet.sample_size,
        "in_channels": unet.in_channels,
        "out_channels": unet.out_channels,
        "channels": list(unet.block_out_channels),
        "attention_resolutions": attention,
        "num_res_blocks": unet.layers_per_block,
        "num_heads": unet.attention_head_dim,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": unet.use_linear_projection,
        "transformer_depth": 1,
        "context_dim": unet.cross_attention_dim,
        "use_checkpoint": False,
        "legacy": False,
    }
    ddconfig = {
        "double_z": True,
        "z_channels": vae.latent_channels,
        "resolution": LATENT_SIZE * 2 ** (len(vae.block_out_channels) - 1),
        "in_channels": vae.in_channels,
        "out_ch": vae.out_channels,
        "ch": first,
        "ch_mult": [channels // first for channels in vae.block_out_channels],
        "num_res_blocks": vae.layers_per_block,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    params = {
        "linear_start": LINEAR_START,
        "linear_end": LINEAR_END,
        "num_timesteps_cond": 1,
        "timesteps": TIMESTEPS,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": LATENT_SIZE,
        "channels": LATENT_CHANNELS,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "scale_factor": bed.scale,
        "use_ema": False,
        "unet_config": {"target": f"{build.__module__}.{build.__name__}", "params": unet_params},
        "first_stage_config": {
            "target": "ldm.models.autoencoder.AutoencoderKL",
            "params": {"embed_dim": vae.latent_channels, "ddconfig": ddconfig, "lossconfig": {"target": "torch.nn.Identity"}},
        },
        "cond_stage_config": {"target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder", "params": {"version": tokenizer}},
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}


def as_yaml(value: dict, indent: str = "") -> str:
    """Nested dicts as block-style YAML; scalars and lists as JSON, which YAML reads too."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines.append(f"{indent}{key}:\n{as_yaml(item, indent + '  ')}")
        else:
            lines.append(f"{indent}{key}: {json.dumps(item, ensure_ascii=False)}\n")
    return "".join(lines)


def write_tokenizer(folder: Path) -> None:
    """CLIP's whole vocabulary with the encoder's sizes, as transformers reads both from a folder."""
    from clip.simple_tokenizer import SimpleTokenizer

    bpe = SimpleTokenizer()
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    encoder = {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        **TEXT_CONFIG,
        "vocab_size": CLIP_VOCABULARY,
        "bos_token_id": CLIP_BOS,
        "eos_token_id": CLIP_EOS,
        "pad_token_id": CLIP_EOS,
    }
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True, "errors": "replace", **special}
    merges = sorted(bpe.bpe_ranks, key=bpe.bpe_ranks.get)
    files = {
        "vocab.json": json.dumps(bpe.encoder, ensure_ascii=False),
        "merges.txt": "#version: 0.2\n" + "".join(f"{first} {second}\n" for first, second in merges),
        "config.json": json.dumps(encoder, indent=2),
        "tokenizer_config.json": json.dumps(tokenizer, indent=2),
        "special_tokens_map.json": json.dumps(special, indent=2),
    }
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")


def write(bed: Testbed, folder: Path) -> tuple[Path, str]:
    """Write checkpoint, configuration and tokenizer into `folder`, over those of an earlier export.

    Returns
    -------
    path, sha256 : Path and str
        Of the checkpoint. Its bytes depend on the weights alone; the configuration holds the tokenizer's absolute path.

    Raises
    ------
    ValueError
        A folder whose name the configuration cannot hold.
    OSError
        A folder that cannot be made or written to.
    """
    folder = folder.resolve()
    if "${" in str(folder):
        raise ValueError(f"{folder}: the configuration's reader would take '${{' for a variable")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / TOKENIZER)
    text = "# Written with testbed.safetensors, which it describes. `version` is where the tokenizer lies: change it when you move the folder.\n"
    (folder / f"{NAME}.yaml").write_text(text + as_yaml(configuration(bed, (folder / TOKENIZER).as_posix())), encoding="utf-8", newline="\n")
    path = folder / f"{NAME}.safetensors"
    # One entry of metadata: safetensors does not keep the order of several.
    content = save(state_dict(bed), metadata={NAME: json.dumps({"scale": bed.scale})})
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()
