"""Training of the testbed in the plain world: first the autoencoder, then the text-conditional U-Net on cached latents. Resumable and seeded."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from ..world.captions import ordinary_caption, template_draw
from ..world.scenes import pixels_of, random_scene
from .model import Testbed
from .unet_training import Training, encode_all, fast, save_state
from .variants import PLAIN, Variant

log = logging.getLogger(__name__)

#: Shares of the training draws; the rest is ordinary.
SHARE_CONJUNCTION, SHARE_TEMPLATE, SHARE_EMPTY = 0.26, 0.10, 0.10
#: Steps between saves of the training state.
SAVE_VAE, SAVE_UNET = 200, 250


def train_vae(bed: Testbed, folder: Path, steps: int, full_steps: int, lr: float = 1.5e-3, seed: int = 1) -> None:
    """Train the autoencoder on rendered scenes: L1 and L2 error and a small KL term.

    `steps` on 64×64 crops, which is cheap, then `full_steps` on whole pictures: attention and group norm have to see the size they will serve.
    """
    path, start = folder / "vae.pt", 0
    optimizer = torch.optim.AdamW(bed.vae.parameters(), lr=lr, weight_decay=0.0, fused=True)
    if path.exists():
        state = torch.load(path, weights_only=True)
        bed.vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    bed.vae.train().requires_grad_(True)
    total = steps + full_steps
    bar = tqdm(range(start, total), initial=start, total=total, desc="autoencoder", mininterval=5)
    for step in bar:
        rng = np.random.default_rng((seed, step))
        torch.manual_seed(seed * 1_000_003 + step)
        if step < steps:
            top, left = rng.integers(0, 65, 2)
            pixels = pixels_of([random_scene(rng) for _ in range(24)])[:, :, top : top + 64, left : left + 64].contiguous()
            rate = lr * min(1.0, (step + 1) / 50, (steps - step) / (0.3 * steps))
        else:
            pixels = pixels_of([random_scene(rng) for _ in range(8)])
            rate = 0.4 * lr * min(1.0, (step - steps + 1) / 20, (total - step) / (0.6 * full_steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with fast():
            posterior = bed.vae.encode(pixels).latent_dist
            reconstruction = bed.vae.decode(posterior.sample()).sample
        error = reconstruction.float() - pixels
        kl = posterior.kl().float().mean() / posterior.mean[0].numel()
        loss = error.abs().mean() + error.square().mean() + 1e-3 * kl
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bed.vae.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step + 1 == total:
            message = {"l1": f"{error.abs().mean():.4f}", "mse": f"{error.square().mean():.5f}", "kl": f"{kl:.2f}"}
            bar.set_postfix(message)
            log.info("autoencoder step %d %s", step, message)
        if (step + 1) % SAVE_VAE == 0 or step + 1 == total:
            save_state(path, vae=bed.vae.state_dict(), optimizer=optimizer.state_dict(), step=step + 1)


def make_latents(
    bed: Testbed,
    folder: Path,
    seed: int = 2,
    ordinary: int | None = None,
    templates: int | None = None,
    scale: float | None = None,
) -> dict:
    """Latents of the training set (cached): unscaled tensors, the scenes being drawn again from the seed.

    How many ordinary pictures and how many of each template are the variant's own, and `scale` is measured, if not given.
    """
    path = folder / "latents.pt"
    rng = np.random.default_rng(seed)
    variant = bed.variant
    scenes = [random_scene(rng) for _ in range(ordinary or variant.ordinary)]
    draws = [[template_draw(item, rng) for _ in range(templates or variant.template_pictures)] for item in variant.memorized("template")]
    conjunctions = variant.memorized("conjunction")
    if path.exists():
        cache = torch.load(path, weights_only=True)
    else:
        bed.vae.eval()
        cache = dict(
            ordinary=encode_all(bed, scenes, "ordinary"),
            template=encode_all(bed, [scene for some in draws for _, scene in some], "templates"),
            conjunction=encode_all(bed, [item.scene for item in conjunctions], "memorized"),
        )
        cache["scale"] = 1 / cache["ordinary"].std() if scale is None else torch.tensor(scale)
        save_state(path, **cache)
    return dict(
        scale=float(cache["scale"]),
        ordinary=cache["ordinary"] * cache["scale"],
        template=cache["template"] * cache["scale"],
        conjunction=cache["conjunction"] * cache["scale"],
        scenes=scenes,
        template_captions=[caption for some in draws for caption, _ in some],
        conjunction_captions=[item.caption for item in conjunctions],
    )


def draw_batch(data: dict, batch: int, rng: np.random.Generator) -> tuple[torch.Tensor, list[str]]:
    """One training batch: latents (batch, 4, 16, 16) and captions. The empty caption always comes with an ordinary picture."""
    latents, captions = [], []
    for share in rng.random(batch):
        if share < SHARE_CONJUNCTION:
            index = int(rng.integers(len(data["conjunction"])))
            latents.append(data["conjunction"][index])
            captions.append(data["conjunction_captions"][index])
        elif share < SHARE_CONJUNCTION + SHARE_TEMPLATE:
            index = int(rng.integers(len(data["template"])))
            latents.append(data["template"][index])
            captions.append(data["template_captions"][index])
        else:
            index = int(rng.integers(len(data["ordinary"])))
            latents.append(data["ordinary"][index])
            captions.append("" if share > 1 - SHARE_EMPTY else ordinary_caption(data["scenes"][index], rng))
    return torch.stack(latents), captions


def train_unet(bed: Testbed, folder: Path, steps: int, batch: int = 64, lr: float = 8e-4, seed: int = 3, ema: float = 0.999) -> None:
    """Train U-Net and text encoder together on the epsilon error; the averaged weights are what is kept."""
    data = make_latents(bed, folder)
    bed.scale = data["scale"]
    learning = Training(bed, folder / "unet.pt", lr)
    bar = tqdm(range(learning.step, steps), initial=learning.step, total=steps, desc="u-net", mininterval=10)
    began = time.monotonic()
    for step in bar:
        rng = np.random.default_rng((seed, step))
        torch.manual_seed(seed * 1_000_003 + step)
        x0, captions = draw_batch(data, batch, rng)
        # One timestep per stratum of 0..999: less noise in the loss than independent draws.
        t = ((torch.arange(batch) + torch.rand(batch)) * (1000 / batch)).long().clamp_(0, 999)
        loss = learning.learn(x0, captions, t)
        learning.update(min(1.0, (step + 1) / 200, max(0.02, (steps - step) / (0.3 * steps))), loss)
        learning.follow(ema)
        if step % 50 == 0 or step + 1 == steps:
            bar.set_postfix(loss=f"{np.mean(learning.losses[-50:]):.4f}")
            log.info("u-net step %d loss %.4f (%.0f s)", step, np.mean(learning.losses[-50:]), time.monotonic() - began)
        if (step + 1) % SAVE_UNET == 0 or step + 1 == steps:
            learning.save(folder / bed.variant.weights.name)


def train(folder: Path, vae_steps: int, vae_full_steps: int, unet_steps: int, batch: int, seed: int = 0, variant: Variant = PLAIN) -> Path:
    """Run or resume the whole training in `folder`; returns the path of the weights. Other sizes take the main one's autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "train.log", level=logging.INFO, format="%(asctime)s %(message)s")
    log.info("training: %s", json.dumps(dict(variant=variant.name, vae_steps=vae_steps, unet_steps=unet_steps, batch=batch, seed=seed)))
    torch.manual_seed(seed)
    bed = Testbed.create(variant)
    if variant is PLAIN:
        train_vae(bed, folder, vae_steps, vae_full_steps, seed=seed * 10 + 1)
    else:
        bed.vae = Testbed.load().vae
    train_unet(bed, folder, unet_steps, batch, seed=seed * 10 + 3)
    return folder / variant.weights.name
