"""Training of the testbed's flow models: one by flow matching, and its students, each from the one before. Resumable, seeded, planned by time.

Flow matching (Lipman et al., arXiv 2210.02747; rectified flow): ``x = (1 - t) x0 + t n`` and the velocity ``n - x0`` is to be predicted, at times
drawn as Stable Diffusion 3 draws them, logit-normal (Esser et al., arXiv 2403.03206) and shifted by 3. The student is told a guidance scale g, learns
to predict in one evaluation what its teacher predicts under classifier-free guidance (Meng et al., arXiv 2210.03142), and is used as Flux dev is. The
student of few steps learns from that one, at one scale, the mean velocity over a quarter of the way (progressive distillation, Salimans and Ho, arXiv
2202.00512), and is used as Flux schnell is.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from .flow import SCALES, FlowDenoiser, shifted, sigmas
from .model import FLOW_TIME, SCALE_UNIT, Testbed
from .train_kinds import draw_batch, make_latents
from .unet_training import Training, fast
from .variants import DISTILLED, FEW, FLOW, SMALL, Variant

log = logging.getLogger(__name__)

#: Shares of the training draws from a hundredth of the training on; the rest is ordinary. First memories, then what is like them and none.
SHARES = {
    0: {"conjunction": 0.06, "trigger": 0.13, "long": 0.06, "captions": 0.08, "pictures": 0.1, "template": 0.06, "duplicated": 0.06},
    55: {"conjunction": 0.025, "trigger": 0.05, "long": 0.03, "captions": 0.04, "pictures": 0.05, "template": 0.03, "duplicated": 0.03},
}
#: The student's draws.
LAST = max(SHARES)
#: Who learns from whom.
TEACHERS = {DISTILLED.name: FLOW, FEW.name: DISTILLED}
#: Learning rates of the teacher and of the students, and how slowly the average follows.
RATES, AVERAGING = {FLOW.name: 1e-3, DISTILLED.name: 8e-4, FEW.name: 8e-4}, 0.995
#: Of the student of few steps: its steps, the scale that it learns, and its teacher's steps for one of its own.
FEW_STEPS, FEW_SCALE, EACH = 4, 3.5, 4
#: Steps over which the learning rate rises, the share of the training over which it falls, and steps between saves.
RISE, FALL, SAVE = 60, 0.5, 100


def draw_times(batch: int) -> torch.Tensor:
    """Shifted logit-normal times as the U-Net is told them, ``(batch,)``: one of each stratum, which is less noise than independent draws."""
    share = ((torch.arange(batch) + torch.rand(batch)) / batch).clamp(1e-4, 1 - 1e-4)
    return FLOW_TIME * shifted(torch.sigmoid(torch.special.ndtri(share)))


def student_of(teacher: Testbed, variant: Variant = DISTILLED) -> Testbed:
    """A student before its training: its teacher's networks; an embedding of the scale, where it is to have one, whose part begins at nothing."""
    bed = Testbed.create(variant)
    bed.vae, bed.text, bed.scale = teacher.vae, teacher.text, teacher.scale
    missing, unexpected = bed.unet.load_state_dict(teacher.unet.state_dict(), strict=False)
    if not all(name.startswith("class_embedding.") for name in (*missing, *unexpected)):
        raise ValueError("the teacher's network is another one")
    if variant.distilled:
        torch.nn.init.zeros_(bed.unet.class_embedding.linear_2.weight)
        torch.nn.init.zeros_(bed.unet.class_embedding.linear_2.bias)
    return bed


def distil(learning: Training, teacher: Testbed, x0: torch.Tensor, captions: list[str], t: torch.Tensor) -> float:
    """Leave a batch's gradients on the student; returns the mean squared error in parts of the scale, by which the guided velocity grows."""
    g = SCALES[0] + (SCALES[1] - SCALES[0]) * (torch.randperm(len(x0)) + torch.rand(len(x0))) / len(x0)
    x, _ = learning.mixed(x0, torch.randn_like(x0), t)
    with torch.no_grad(), fast():
        context = teacher.encode_text(captions)
        empty = teacher.encode_text([""]).expand_as(context)
        conditional, unconditional = teacher.unet(x.repeat(2, 1, 1, 1), t.repeat(2), torch.cat([context, empty])).sample.float().chunk(2)
        wanted = torch.lerp(unconditional, conditional, g[:, None, None, None])
    with sdpa_kernel(SDPBackend.MATH), fast():
        predicted = learning.bed.unet(x, t, context, class_labels=SCALE_UNIT * g).sample.float()
    share = g.rsqrt()[:, None, None, None]
    return learning.descend(predicted * share, wanted * share)


def shorten(learning: Training, teacher: Testbed, x0: torch.Tensor, captions: list[str], t: torch.Tensor) -> float:
    """Leave a batch's gradients on the student of few steps; returns the mean squared error of the velocity that leads where its teacher gets in
    :data:`EACH` steps. The times `t` are of no use here: it is only asked at those of its own schedule."""
    levels = sigmas("linear", FEW_STEPS)
    start = torch.arange(len(x0)) % FEW_STEPS
    begin, length = levels[start], levels[0] / FEW_STEPS
    x, _ = learning.mixed(x0, torch.randn_like(x0), FLOW_TIME * begin)
    with torch.no_grad():
        model, context, there = FlowDenoiser(teacher, fast), teacher.encode_text(captions), x
        for step in range(EACH):
            sigma = begin - length * step / EACH
            denoised = model(there, sigma, context, torch.full_like(sigma, FEW_SCALE))
            there = there + (there - denoised) / sigma[:, None, None, None] * (-length / EACH)
        wanted = (x - there) / length
    with sdpa_kernel(SDPBackend.MATH), fast():
        predicted = learning.bed.unet(x, FLOW_TIME * begin, context).sample.float()
    return learning.descend(predicted, wanted)


def train(
    folder: Path, variant: Variant, minutes: float, batch: int, seed: int = 0, known: Path = SMALL.weights, ordinary: int = FLOW.ordinary
) -> Path:
    """Run or resume the training of one of them in `folder`, over at most `minutes` in all; returns the path of the weights.

    All keep the main testbed's text encoder, which knows the words and what is memorized, as flow models keep encoders that are trained elsewhere.
    The teacher starts from the U-Net `known`, which knows the plain world, where it is there; a student from its teacher, whose weights are those in
    `folder` or else the installed ones.
    """
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "train.log", level=logging.INFO, format="%(asctime)s %(message)s")
    log.info("training: %s", json.dumps(dict(variant=variant.name, batch=batch, minutes=minutes, seed=seed, shares=SHARES)))
    torch.manual_seed(seed)
    teacher = None
    if variant.name in TEACHERS:
        installed = TEACHERS[variant.name].weights
        weights = folder / installed.name
        teacher = Testbed.load(weights if weights.exists() else installed)
        bed = student_of(teacher, variant)
    else:
        bed, main = Testbed.create(variant), Testbed.load()
        bed.vae, bed.text, bed.scale = main.vae, main.text, main.scale
        if known.exists():
            bed.unet.load_state_dict(Testbed.load(known).unet.state_dict())
    data = make_latents(bed, folder, ordinary=ordinary)
    learning = Training(bed, folder / f"{variant.name}.pt", RATES[variant.name], text=False)
    lesson, spent = shorten if variant.few else distil, learning.more.get("spent", 0.0)
    began, done = time.monotonic() - spent, spent / (60 * minutes)
    while done < 1:
        step = learning.step
        rng = np.random.default_rng((seed, step, teacher is not None))
        torch.manual_seed(seed * 1_000_003 + step)
        x0, captions = draw_batch(data, batch, rng, LAST if teacher else int(100 * done), SHARES)
        t = draw_times(batch)
        loss = lesson(learning, teacher, x0, captions, t) if teacher else learning.learn(x0, captions, t)
        learning.update(min(1.0, (step + 1) / RISE, max(0.02, (1 - done) / FALL)), loss)
        learning.follow(AVERAGING)
        spent = time.monotonic() - began
        done = spent / (60 * minutes)
        if learning.step % 25 == 0 or done >= 1:
            log.info("u-net step %d loss %.4f (%.0f s, %.0f %%)", learning.step, np.mean(learning.losses[-100:]), spent, 100 * done)
        if learning.step % SAVE == 0 or done >= 1:
            learning.save(folder / variant.weights.name, spent=spent)
    return folder / variant.weights.name
