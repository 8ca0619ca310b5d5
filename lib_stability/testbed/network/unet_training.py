"""What every training of a U-Net does: its error at a step, the average of its weights, and what is kept so that it can be resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from ..world.scenes import pixels_of
from .model import FLOW_TIME, Testbed, alphas_cumprod
from .sample import FAST_BFLOAT16


def fast() -> torch.autocast:
    """bfloat16 where the processor multiplies it itself; elsewhere it would only be slower."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=FAST_BFLOAT16)


def save_state(path: Path, **state) -> None:
    """Write a training state so that an interruption leaves the last one."""
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


@torch.inference_mode()
def encode_all(bed: Testbed, scenes: list, what: str) -> torch.Tensor:
    """Unscaled latents of scenes; `what` they are is said beside the progress."""
    found = []
    for first in tqdm(range(0, len(scenes), 32), desc=f"encoding {what}", mininterval=5):
        with fast():
            found.append(bed.vae.encode(pixels_of(scenes[first : first + 32], 8 * bed.variant.side)).latent_dist.mode().float())
    return torch.cat(found)


class Training:
    """U-Net and text encoder of `bed` under training on the epsilon error (of a flow model the velocity's), and the average of their weights, which
    is what is kept.

    Parameters
    ----------
    bed : Testbed
    path : Path
        Of the training state; what lies there is gone on from.
    rate : float
        Learning rate.
    text : bool
        Whether the text encoder learns, too.
    """

    def __init__(self, bed: Testbed, path: Path, rate: float, text: bool = True) -> None:
        self.bed, self.path, self.rate, self.alphas = bed, path, rate, alphas_cumprod()
        self.modules = torch.nn.ModuleDict({"unet": bed.unet, "text": bed.text} if text else {"unet": bed.unet})
        self.modules.train().requires_grad_(True)
        self.parameters = list(self.modules.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
        self.average = {name: value.detach().clone() for name, value in self.modules.state_dict().items()}
        #: Steps that are over, their errors (of a resumed training the last 200), and what else the state held.
        self.step, self.losses, self.more = 0, [], {}
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.modules.load_state_dict(state.pop("modules"))
            self.optimizer.load_state_dict(state.pop("optimizer"))
            self.average, self.step, self.losses = state.pop("average"), state.pop("step"), state.pop("losses")
            self.more = state

    def mixed(self, x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the U-Net sees at times `t`, one an image, and what it is to predict there."""
        if self.bed.variant.flow:
            share = t[:, None, None, None] / FLOW_TIME
            return torch.lerp(x0, noise, share), noise - x0
        level = self.alphas[t][:, None, None, None]
        return level.sqrt() * x0 + (1 - level).sqrt() * noise, noise

    def learn(self, x0: torch.Tensor, captions: list[str], t: torch.Tensor) -> float:
        """Leave a batch's gradients on the parameters; returns its error. `t` are times as the U-Net is told them, one an image."""
        x, wanted = self.mixed(x0, torch.randn_like(x0), t)
        # The fused attention's backward pass is slow on CPUs for so few tokens: a third of a whole step.
        with sdpa_kernel(SDPBackend.MATH), fast():
            predicted = self.bed.unet(x, t, self.bed.encode_text(captions)).sample
        return self.descend(predicted, wanted)

    def descend(self, predicted: torch.Tensor, wanted: torch.Tensor) -> float:
        """Leave the gradients of a prediction's squared error on the parameters; returns the error."""
        loss = functional.mse_loss(predicted.float(), wanted)
        self.optimizer.zero_grad()
        with sdpa_kernel(SDPBackend.MATH):
            loss.backward()
        return loss.item()

    def update(self, share: float, loss: float) -> None:
        """End a step whose error was `loss`: change the weights, at `share` of the learning rate."""
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        self.optimizer.step()
        self.step += 1
        self.losses.append(loss)

    def follow(self, averaging: float) -> None:
        """Let the average follow the weights; at first it forgets faster than `averaging`."""
        decay = min(averaging, self.step / (9 + self.step))
        with torch.no_grad():
            for name, value in self.modules.state_dict().items():
                if value.is_floating_point():
                    self.average[name].lerp_(value, 1 - decay)

    def save(self, weights: Path, **more) -> None:
        """Write the training state, with `more` in it, and the averaged weights."""
        state = dict(modules=self.modules.state_dict(), optimizer=self.optimizer.state_dict(), average=self.average, step=self.step)
        save_state(self.path, **state, losses=self.losses[-200:], **more)
        copy = Testbed.create(self.bed.variant)
        copy.scale = self.bed.scale
        copy.vae.load_state_dict(self.bed.vae.state_dict())
        copy.unet.load_state_dict({k[5:]: v for k, v in self.average.items() if k.startswith("unet.")})
        text = {k[5:]: v for k, v in self.average.items() if k.startswith("text.")}
        copy.text.load_state_dict(text or self.bed.text.state_dict())
        copy.save(weights, steps=self.step, loss=round(float(np.mean(self.losses[-200:])), 4))
