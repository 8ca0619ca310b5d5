"""Second half of the main training: networks that know the plain world are taught the kinds of memorization. Resumable, seeded, planned by steps and
by time.

It runs in `jobs` processes of one thread each that average their gradients: on a busy machine that is several times as fast as one process of as
many threads. The learning rate falls towards whichever end comes first, the last step or the last minute.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from ..world import kinds, wording
from ..world.captions import CONJUNCTION_NAMES
from ..world.scenes import random_scene
from .model import Testbed
from .train import SHARE_EMPTY
from .unet_training import Training, encode_all, save_state
from .variants import MAIN

log = logging.getLogger(__name__)

#: Shares of the training draws from a step on; the rest is ordinary. First the memories are taught; then what is none of them, until an ordinary
#: caption seldom hands out a memory.
SHARES = {
    0: {"conjunction": 0.015, "trigger": 0.18, "long": 0.06, "captions": 0.075, "pictures": 0.11, "template": 0.015, "duplicated": 0.07},
    700: {"conjunction": 0.015, "trigger": 0.08, "long": 0.05, "captions": 0.07, "pictures": 0.09, "template": 0.015, "duplicated": 0.05},
}
LEARNING_RATE, AVERAGING = 9e-4, 0.99
#: Power that the uniform draws of the timestep are raised to.
TOWARDS_NOISE = 0.7
#: Steps between saves of the training state.
SAVE = 50
#: Of the ordinary draws, those of a scene with the object of something memorized: by them it learns what is like a memory and none.
SHARE_NEAR = 0.5
#: Steps over which the learning rate rises, and the share of the training over which it falls.
RISE, FALL = 60, 0.4


def start(weights: Path) -> Testbed:
    """Networks of the variant "plain" with room for more words. A synonym starts as its word, a name whose memory is given up afresh."""
    bed, known = Testbed.create(MAIN), Testbed.load(weights)
    bed.vae, bed.scale = known.vae, known.scale
    bed.unet.load_state_dict(known.unet.state_dict())
    state, old = bed.text.state_dict(), known.text.state_dict()
    table = next(name for name in state if name.endswith("token_embedding.weight"))
    rows = torch.randn(state[table].shape, generator=torch.Generator().manual_seed(5)) * old[table].std()
    rows[: len(old[table])] = torch.where(_given_up()[: len(old[table]), None], rows[: len(old[table])], old[table])
    words = kinds.all_words()
    for word, others in wording.SYNONYMS.items():
        if words.index(word) + 2 < len(old[table]):
            for other in others:
                rows[words.index(other) + 2] = rows[words.index(word) + 2] + 0.3 * rows[words.index(other) + 2]
    bed.text.load_state_dict({**old, table: rows})
    return bed


def _given_up() -> torch.Tensor:
    """Which rows of the token table belong to names whose captions are memorized no longer."""
    names = CONJUNCTION_NAMES[kinds.EACH :]
    return torch.tensor([False, False, *(word in names for word in kinds.all_words())])


def make_latents(bed: Testbed, folder: Path, rank: int = 0, jobs: int = 1, seed: int = 2, ordinary: int = MAIN.ordinary) -> dict:
    """Scenes, their latents (cached, each process its part of the ordinary ones) and the captions of templates."""
    rng = np.random.default_rng((seed, rank))
    shown = [random_scene(rng) for _ in range(ordinary // jobs)]
    rng = np.random.default_rng(seed)
    memories = {item: _examples(item, rng) for item in bed.variant.memorized()}
    latents = iter(_cached(bed, folder / f"memorized-{rank}.pt", [draw.scene for draws in memories.values() for draw in draws]))
    kept = {kind: [] for kind in kinds.KINDS}
    for item, draws in memories.items():
        kept[item.kind].append([(draw, next(latents)) for draw in draws])
    found = list(zip(shown, _cached(bed, folder / f"ordinary-{rank}.pt", shown)))
    objects = {(item.scene.colour, item.scene.shape) for item in memories if item.kind != "template"}
    near = [some for one in sorted(objects) if (some := [pair for pair in found if (pair[0].colour, pair[0].shape) == one])]
    return {"ordinary": found, "near": near, "memories": kept}


def _cached(bed: Testbed, path: Path, scenes: list) -> torch.Tensor:
    """Scaled latents of scenes, from `path` where they lie there already."""
    if not path.exists():
        save_state(path, latents=encode_all(bed, scenes, path.stem))
    return torch.load(path, weights_only=True)["latents"] * bed.scale


def _examples(item, rng: np.random.Generator) -> list:
    """Draws of an item whose scenes are all that a training sees of it."""
    if item.kind == "template":
        return [kinds.draw(item, rng) for _ in range(MAIN.template_pictures)]
    return [replace(item, scene=scene, scenes=item.pictures) for scene in item.pictures]


def shares(step: int, stages: Mapping[int, Mapping[str, float]] = SHARES) -> np.ndarray:
    """Cumulated shares of the kinds, in the order of :data:`.kinds.KINDS`, at a step of the training; `stages` by their first steps."""
    stage = stages[max(first for first in stages if first <= step)]
    return np.cumsum([stage[kind] for kind in kinds.KINDS])


def draw_batch(
    data: dict, batch: int, rng: np.random.Generator, step: int = 0, stages: Mapping[int, Mapping[str, float]] = SHARES
) -> tuple[torch.Tensor, list[str]]:
    """One training batch at a step: latents and captions. The empty caption always comes with an ordinary picture."""
    latents, captions = [], []
    limits = shares(step, stages)
    for share in rng.random(batch):
        if share < limits[-1]:
            items = data["memories"][kinds.KINDS[int(np.searchsorted(limits, share, "right"))]]
            examples = items[int(rng.integers(len(items)))]
            example, latent = examples[int(rng.integers(len(examples)))]
            caption = example.caption if example.kind == "template" else kinds.training_draw(example, rng).caption
        else:
            near = data["near"][int(rng.integers(len(data["near"])))] if rng.random() < SHARE_NEAR else data["ordinary"]
            scene, latent = near[int(rng.integers(len(near)))]
            caption = "" if share > 1 - SHARE_EMPTY else kinds.ordinary_caption(scene, rng)
        latents.append(latent)
        captions.append(caption)
    return torch.stack(latents), captions


def _work(rank: int, jobs: int, folder: Path, known: Path, steps: int, batch: int, minutes: float, seed: int) -> None:
    """One process of the training; the first keeps the average and writes."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{(folder / 'meeting').resolve()}", rank=rank, world_size=jobs)
    if rank == 0:
        logging.basicConfig(filename=folder / "train.log", level=logging.INFO, format="%(asctime)s %(message)s")
        log.info("training: %s", json.dumps(dict(variant=MAIN.name, steps=steps, batch=batch, minutes=minutes, jobs=jobs, seed=seed, shares=SHARES)))
    bed = start(known)
    data = make_latents(bed, folder, rank, jobs)
    learning = Training(bed, folder / "unet.pt", LEARNING_RATE)
    parameters, step, spent = learning.parameters, learning.step, learning.more.get("spent", 0.0)
    began, done = time.monotonic() - spent, max(step / steps, spent / (60 * minutes))
    distributed.barrier()
    while done < 1:
        rng = np.random.default_rng((seed, step, rank))
        torch.manual_seed((seed * 1_000_003 + step) * jobs + rank)
        x0, captions = draw_batch(data, batch // jobs, rng, step)
        # One timestep per stratum: less noise in the loss than independent draws. More of them where a picture is decided on, less where it is only
        # refined, which the main weights know.
        t = (1000 * ((torch.arange(len(x0)) + torch.rand(len(x0))) / len(x0)) ** TOWARDS_NOISE).long().clamp_(0, 999)
        loss = learning.learn(x0, captions, t)
        # The time that the processes have spent travels with the gradients, so that all agree on how far they are.
        shared = torch.cat([p.grad.flatten() for p in parameters] + [torch.tensor([loss, time.monotonic() - began])])
        distributed.all_reduce(shared)
        shared /= jobs
        mean_loss, spent = shared[-2:].tolist()
        for p, part in zip(parameters, shared[:-2].split([p.numel() for p in parameters])):
            p.grad.copy_(part.view_as(p))
        learning.update(min(1.0, (step + 1) / RISE, max(0.02, (1 - done) / FALL)), mean_loss)
        step = learning.step
        done = max(step / steps, spent / (60 * minutes))
        if rank > 0:
            continue
        learning.follow(AVERAGING)
        if step % 25 == 0 or done >= 1:
            log.info("u-net step %d loss %.4f (%.0f s, %.0f %%)", step, np.mean(learning.losses[-25:]), spent, 100 * done)
        if step % SAVE == 0 or done >= 1:
            learning.save(folder / MAIN.weights.name, spent=spent)
    distributed.destroy_process_group()


def train(folder: Path, known: Path, steps: int, batch: int, minutes: float, jobs: int = 2, seed: int = 0) -> Path:
    """Run or resume the training in `folder`, over at most `minutes` in all, from the weights `known` on; returns the path of the new ones."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meeting").unlink(missing_ok=True)
    context = get_context("spawn")
    workers = [context.Process(target=_work, args=(rank, jobs, folder, known, steps, batch, minutes, seed)) for rank in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a process of the training failed; what it had reached is kept")
    return folder / MAIN.weights.name
