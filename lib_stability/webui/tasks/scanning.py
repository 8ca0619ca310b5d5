"""Prompt scan: which of many captions the loaded checkpoint has memorized, by the probe alone, on the first evaluation of a run.

At the highest noise level the latent says nothing yet, so that a large virtual prediction comes from the caption. One evaluation is less than a
whole run, and the threshold is that of whole runs: a scan flags no more ordinary captions than generating would, and may miss some memorized ones
that a generation would show later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import torch

from ...guard.norms import Norms
from ...guard.sensitivity import LEVELS, Thresholds, thresholds
from ...profile.profiles import Profile
from ...validation import Field
from ..host import host, sampling
from ..job import settings
from ..job.library import LIBRARY
from ..job.recording import Recording
from . import json_options
from .background import Task

SEEDS, BATCH = (1, 64), (1, 256)


@dataclass(frozen=True)
class Options:
    """What is scanned; an empty `profile` or `sensitivity` stands for the web UI's setting, `width` and `height` 0 for the family's own."""

    captions: tuple[str, ...] = ()
    seeds: int = 4
    first_seed: int = 0
    width: int = 0
    height: int = 0
    batch_size: int = 8
    sensitivity: str = ""
    profile: str = ""

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        found = json_options.fields(body, cls.__dataclass_fields__)
        values = {**json_options.integers(found, seeds=SEEDS, first_seed=(0, 2**32 - 1), batch_size=BATCH), **json_options.sides(found)}
        values |= json_options.chosen(found, sensitivity=lambda field: field.choice(LEVELS[:-1]), profile=Field.name)
        if "captions" not in found:
            Field(None, "captions").fail("is missing")
        return cls(captions=json_options.texts(found["captions"], least=1), **values)


def task(options: Options) -> Task:
    """The work of a scan, not started yet."""
    return Task("scan", lambda running: run(options, running))


def run(options: Options, running: Task) -> dict:
    """Evaluate and score; returns what the API shows."""
    model, start = host.describe(sampling.loaded()), settings.defaults()
    served = LIBRARY.serve(options.profile or start.profile, model, settings.general_prior_allowed())
    if served.profile is None or served.profile.probe is None:
        why = served.why if served.profile is None else f"the profile {served.profile.name} has no probe region"
        raise ValueError(f"no profile to scan with: {why}; calibrate this checkpoint first")
    limits = thresholds(served.profile.probe, options.sensitivity or start.sensitivity, start.tau)
    size, began = json_options.size(options, model.family), time.monotonic()
    jobs = [(caption, options.first_seed + seed) for caption in options.captions for seed in range(options.seeds)]
    sampler, scores = sampling.samplers(("Euler", "Euler a"))[0], []

    def work(part: slice) -> None:
        running.progress(part.start, len(jobs), "evaluations")
        captions, seeds = zip(*jobs[part])
        probed = served.profile.probe_guidance
        # A distilled model is evaluated once, as it is.
        scales = [probed if model.distilled else 1.0] * len(captions)
        recording = Recording(scales, probe_guidance=probed, expected=model, stop=running.stop)
        # With a single step the sampler asks the model once, at the highest noise level.
        sampling.sample(recording, list(captions), list(seeds), sampler, 1, size)
        scores.extend(_scores(served.profile, recording))

    batch = sampling.in_batches(len(jobs), options.batch_size, work)
    running.progress(len(jobs), len(jobs), "evaluations")
    seconds = time.monotonic() - began
    count = options.seeds
    return {
        "profile": served.profile.name,
        "checkpoint": model.checkpoint,
        "sensitivity": options.sensitivity or start.sensitivity,
        "threshold": round(limits.mild, 4),
        "strong": round(limits.strong, 4),
        "false_alarms": limits.false_alarms,
        "seeds": count,
        "size": f"{size[0]}x{size[1]}",
        "batch_size": batch,
        "captions_per_minute": round(60 * len(options.captions) / max(seconds, 1e-6), 1),
        "rows": [row(caption, scores[i * count : (i + 1) * count], limits) for i, caption in enumerate(options.captions)],
    }


def _scores(profile: Profile, recording: Recording) -> list[float | None]:
    """Of the first evaluation of each image; None outside the region or where a number is not finite."""
    runs = recording.trajectories()[1]
    sigma, rate, clean = (torch.tensor([float(getattr(one, name)[0]) for one in runs]) for name in ("sigma", "rate", "clean"))
    found = profile.probe.z_scores(Norms(rate, clean), sigma, profile.probe_guidance)
    sound = found.inside & torch.isfinite(found.score)
    return [round(score, 4) if good else None for score, good in zip(found.score.tolist(), sound.tolist())]


def row(caption: str, scores: list[float | None], limits: Thresholds) -> dict:
    """A caption's scores, their median and maximum, how many are above the threshold, and the verdict on their median: not judged where it is no
    flag and a seed has none."""
    known = [score for score in scores if score is not None]
    if not known:
        return {"caption": caption, "scores": scores, "median": None, "max": None, "above": 0, "verdict": "not judged"}
    middle = median(known)
    verdict = "strong" if middle > limits.strong else "mild" if middle > limits.mild else "stable" if len(known) == len(scores) else "not judged"
    above = sum(score > limits.mild for score in known)
    return {"caption": caption, "scores": scores, "median": round(middle, 4), "max": max(known), "above": above, "verdict": verdict}
