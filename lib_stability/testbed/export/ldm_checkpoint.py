"""The testbed's tensors as a checkpoint in Stable Diffusion 1's layout, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ..network.model import BOS, CLIP_BOS, CLIP_EOS, EOS, MAX_TOKENS, Testbed, alphas_cumprod, betas, token_ids
from ..world.kinds import all_words
from . import ldm_names

CLIP_VOCABULARY = CLIP_EOS + 1
TOKEN_TABLE = ldm_names.TEXT + "embeddings.token_embedding.weight"
POSITIONS = ldm_names.TEXT + "embeddings.position_ids"


def names(bed: Testbed) -> dict[str, str]:
    """Our name of every tensor (``part.name``, as in the weights file) and LDM's."""
    parts = {
        "unet": ldm_names.unet(bed.unet.state_dict(), bed.unet.config),
        "vae": ldm_names.vae(bed.vae.state_dict(), bed.vae.config),
        "text": ldm_names.text(bed.text.state_dict()),
    }
    return {f"{part}.{ours}": theirs for part, table in parts.items() for ours, theirs in table.items()}


def clip_rows() -> torch.Tensor:
    """Row of the testbed's own token table for each token of CLIP's, int64 of shape (49408,).

    A token that the testbed never learned reads like the padding, so that a prompt of unknown words is the empty prompt.
    """
    rows, ids = torch.full((CLIP_VOCABULARY,), EOS), token_ids()
    rows[CLIP_BOS] = BOS
    for number, word in enumerate(all_words(), start=2):
        rows[ids[word]] = number
    return rows


def schedule() -> dict[str, torch.Tensor]:
    """The buffers of LDM's schedule that sampling reads, float32 of shape (1000,)."""
    alphas = alphas_cumprod().numpy()
    found = {
        "alphas_cumprod": alphas,
        "alphas_cumprod_prev": np.concatenate([np.ones(1), alphas[:-1]]),
        "betas": betas(),
        "sqrt_alphas_cumprod": np.sqrt(alphas),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - alphas),
    }
    return {name: torch.from_numpy(value).float() for name, value in found.items()}


def state_dict(bed: Testbed) -> dict[str, torch.Tensor]:
    """Everything that the checkpoint holds: weights in float16, as the testbed's own file has them, and the schedule."""
    ours = {f"{part}.{name}": value for part in ("unet", "vae", "text") for name, value in getattr(bed, part).state_dict().items()}
    found = {theirs: ours[name].to(torch.float16) for name, theirs in names(bed).items() if ours[name].is_floating_point()}
    found[TOKEN_TABLE] = found[TOKEN_TABLE][clip_rows()]
    found[POSITIONS] = torch.arange(MAX_TOKENS)[None]
    for name in found:
        if name.endswith(ldm_names.POINTWISE):
            found[name] = found[name][:, :, None, None]
    return {name: value.contiguous() for name, value in (found | schedule()).items()}


def read(path: Path | str) -> Testbed:
    """The testbed out of an exported checkpoint.

    Raises
    ------
    ValueError
        A file that lacks a tensor.
    """
    bed, tensors = Testbed.create(), load_file(str(path))
    if missing := [theirs for theirs in names(bed).values() if theirs not in tensors and theirs != POSITIONS]:
        raise ValueError(f"{path} is not an exported testbed: it lacks {missing[0]}")
    ids = token_ids()
    tensors[TOKEN_TABLE] = tensors[TOKEN_TABLE][[CLIP_BOS, CLIP_EOS, *(ids[word] for word in all_words())]]
    parts: dict[str, dict] = {"vae": {}, "unet": {}, "text": {}}
    for ours, theirs in names(bed).items():
        part, name = ours.split(".", 1)
        value = tensors[theirs]
        parts[part][name] = value[:, :, 0, 0] if theirs.endswith(ldm_names.POINTWISE) else value
    for part, state in parts.items():
        getattr(bed, part).load_state_dict({name: value.float() if value.is_floating_point() else value for name, value in state.items()})
    with safe_open(str(path), framework="pt") as file:
        bed.scale = float(json.loads(file.metadata()["testbed"])["scale"])
    return bed.eval()
