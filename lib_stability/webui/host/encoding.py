"""Latents of pictures by the loaded checkpoint's autoencoder, as the host's own img2img makes them; no generation's state is touched."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import numpy as np
import torch

from . import host


def encode(pictures: np.ndarray) -> np.ndarray:
    """Latents ``(pictures, channels, height, width)`` of pictures ``(pictures, 3, height, width)`` in 0..1, one at a time, as hosts do for a batch.

    To be called where nothing else uses the model: inside of a job, or :func:`alone`.
    """
    from modules import devices, sd_samplers_common, shared

    found = []
    # Nobody's random numbers move: some autoencoders draw their latents.
    cards = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.no_grad(), devices.autocast(), torch.random.fork_rng(cards):
        for one in torch.from_numpy(np.ascontiguousarray(pictures, np.float32)):
            # 0 is the checkpoint's own, whatever approximation the settings choose.
            latents = sd_samplers_common.images_tensor_to_samples(one[None], 0, shared.sd_model).float().cpu()
            found.append(latents.mean(2) if latents.ndim == 5 else latents)  # an autoencoder for films has a dimension of time
    return torch.cat(found).numpy()


def autoencoder() -> str:
    """What is loaded, for people."""
    info = getattr(host.loaded_model(), "sd_checkpoint_info", None)
    name = getattr(info, "name_for_extra", "") or "the loaded checkpoint"
    file = getattr(sys.modules.get("modules.sd_vae"), "loaded_vae_file", None)
    return f"the autoencoder {os.path.basename(str(file))}" if file else f"the autoencoder of {name}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for the host's queue, so that no generation uses the model meanwhile."""
    queue = contextlib.nullcontext()
    with contextlib.suppress(ImportError):
        from modules.call_queue import queue_lock as queue
    with queue:
        yield
