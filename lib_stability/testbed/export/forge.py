"""The testbed as a checkpoint that Forge loads as Stable Diffusion 1.5.

Forge knows a model by its sizes: 320 channels at the first level and a context of 768 make it Stable Diffusion 1.5, with that model's text encoder,
autoencoder, tokenizer and latent scale. So this checkpoint has those sizes and computes what the testbed computes (`widen`). No configuration lies
beside it and no extension is needed to load it; half a gigabyte of it says the same things many times over, or nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from ...profile.profiles import Model
from ..network.model import MAX_TOKENS, VAE_CONFIG, Testbed
from . import ldm_names, wide_networks, wide_norms
from .ldm_checkpoint import POSITIONS, clip_rows, schedule

NAME = "testbed-forge"
#: The checkpoint of the bundled weights, by which a profile can know it; another training makes another one.
SHA256 = "f35531e2e28f3df4b6ba67434737f4203411a02adb937e6f8370e24e6e1df724"
#: What a profile for it is made for.
MODEL = Model("testbed", "epsilon", NAME, SHA256)


def state_dict(bed: Testbed, time_embedding: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Everything that the checkpoint holds, by LDM's names: weights in float16, and the schedule.

    Parameters
    ----------
    bed : Testbed
        A regrouped one.
    time_embedding : dict
        As :func:`.wide_time.solve` found it.
    """
    unet = wide_networks.unet(bed.unet, time_embedding)
    vae = wide_networks.vae(bed.vae, bed.scale)
    text = wide_networks.text(bed.text, bed.text.get_input_embeddings().weight[clip_rows()])
    parts = (
        (unet, ldm_names.unet(unet, bed.unet.config)),
        (vae, ldm_names.vae(vae, VAE_CONFIG | {"layers_per_block": wide_networks.VAE_DEPTH})),
        (text, ldm_names.text(text)),
    )
    found = {names[ours]: value.detach().to(torch.float16) for tensors, names in parts for ours, value in tensors.items()}
    found[POSITIONS] = torch.arange(MAX_TOKENS)[None]
    for name in found:
        if name.endswith(ldm_names.POINTWISE):
            found[name] = found[name][:, :, None, None]
    return {name: value.contiguous() for name, value in (found | schedule()).items()}


def write(folder: Path, weights: Path = wide_norms.WEIGHTS) -> tuple[Path, str]:
    """Write the checkpoint into `folder`, over that of an earlier export.

    Returns
    -------
    path, sha256 : Path and str
        Of the checkpoint. Its bytes depend on the weights alone.

    Raises
    ------
    OSError
        A folder that cannot be made or written to.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    folder.mkdir(parents=True, exist_ok=True)
    tensors = state_dict(wide_norms.load(weights), wide_norms.part(load_file(str(weights)), wide_norms.TIME_EMBEDDING))
    path = folder / f"{NAME}.safetensors"
    content = save(tensors, metadata={"testbed": json.dumps({"scale": wide_networks.VAE_SCALE})})
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()
