"""Pictures of a few captions, as the loaded checkpoint makes them: what a scan shows beside the training pictures."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, replace

from PIL import Image

from ...profile import reference
from ...profile.networks import describe
from ...profile.profiles import Model
from ...validation import Field
from ...wording import tags
from ..host import host, networks, sampling
from ..job.standing import Standing
from . import json_options
from .background import Task

#: Captions of one task, pictures of each, of all, and the batch.
CAPTIONS, COUNT, MOST, BATCH = 64, (1, 16), 128, (1, 64)
STEPS, GUIDANCE = (4, 150), (1.0, 30.0)
#: What a distilled model is told.
_DISTILLED = 3.5
#: Longer side of what is sent, and its quality: more than any comparison looks at.
_SIDE, _QUALITY = 512, 92


@dataclass(frozen=True)
class Options:
    """What is made. The tags of `networks` are on for all captions, beside those that a caption itself has; each caption has the same seeds, from
    `first_seed` on; `guidance` 0 stands for 7, of a distilled model for what it is usually told."""

    captions: tuple[str, ...] = ()
    count: int = 2
    first_seed: int = 0
    width: int = 0
    height: int = 0
    batch_size: int = 4
    steps: int = 20
    guidance: float = 0.0
    networks: str = ""

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        found = json_options.fields(body, cls.__dataclass_fields__)
        values = json_options.integers(found, count=COUNT, first_seed=(0, 2**32 - 1), batch_size=BATCH, steps=STEPS) | json_options.sides(found)
        values["networks"] = json_options.text(found, "networks", reference.MAX_LENGTH)
        if "guidance" in found and found["guidance"].value != 0:
            values["guidance"] = found["guidance"].number(*GUIDANCE)
        if "captions" not in found:
            Field(None, "captions").fail("is missing")
        captions = json_options.texts(found["captions"], least=1)
        if len(captions) > CAPTIONS or len(captions) * values.get("count", cls.count) > MOST:
            found["captions"].fail(f"has to be a list of at most {CAPTIONS} texts, with at most {MOST} pictures of all")
        return cls(captions=captions, **values)


def task(options: Options) -> Task:
    """The work, not started yet."""
    return Task("generation", lambda running: run(options, running))


def run(options: Options, running: Task) -> dict:
    """Generate; returns what the API shows."""
    model = host.describe(sampling.loaded())
    networks.wanted(options.networks)  # what is no tag is said, too
    groups: dict[str, list[str]] = {}
    for caption in options.captions:  # the host applies the networks of a batch's first prompt to all of it
        groups.setdefault("".join(dict.fromkeys([*tags(caption), *tags(options.networks)])), []).append(caption)
    expected = {own: replace(model, networks=networks.wanted(own)) for own in groups}
    size, made, done = json_options.size(options, model.family), {}, 0
    for own, captions in groups.items():
        pictures = _generate(own, captions, expected[own], options, running, size, done)
        done += len(pictures)
        for number, caption in enumerate(captions):
            some = pictures[number * options.count : (number + 1) * options.count]
            shown = [{"seed": options.first_seed + seed, "picture": _jpeg(one)} for seed, one in enumerate(some)]
            made[caption] = {"caption": caption, "networks": describe(expected[own].networks), "pictures": shown}
    running.progress(done, done, "pictures")
    return {"checkpoint": model.checkpoint, "size": f"{size[0]}x{size[1]}", "rows": [made[caption] for caption in options.captions]}


def _generate(own: str, captions: list[str], expected: Model, options: Options, running: Task, size: tuple[int, int], done: int) -> list[Image.Image]:
    """The pictures of captions with the same networks, `done` pictures after the beginning."""
    jobs = [(caption, options.first_seed + seed) for caption in captions for seed in range(options.count)]
    sampler = sampling.samplers(("Euler", "Euler a"))[0]
    guidance = options.guidance or (_DISTILLED if expected.distilled else 7.0)
    total, found = len(options.captions) * options.count, []

    def work(part: slice) -> None:
        running.progress(done + part.start, total, "pictures")
        prompts, seeds = zip(*jobs[part])
        watcher = Standing(expected, running.stop)
        found.extend(sampling.pictures(watcher, list(prompts), list(seeds), sampler, options.steps, size, guidance, own))

    sampling.in_batches(len(jobs), options.batch_size, work)
    return found


def _jpeg(picture: Image.Image) -> str:
    """Base64."""
    small, out = picture.copy(), io.BytesIO()
    small.thumbnail((_SIDE, _SIDE))
    small.save(out, "JPEG", quality=_QUALITY, subsampling=0)
    return base64.b64encode(out.getvalue()).decode()
