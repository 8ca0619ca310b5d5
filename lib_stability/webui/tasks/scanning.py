"""Prompt scan: which of many captions the loaded checkpoint has memorized, by the probe alone, on the first evaluation of a run.

At the highest noise level the latent says nothing yet, so that a large virtual prediction comes from the caption. One evaluation is less than a
whole run, and the threshold is that of whole runs: a scan flags no more ordinary captions than generating would, and may miss some memorized ones
that a generation would show later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from statistics import median

import torch

from ...guard.norms import Norms
from ...guard.sensitivity import LEVELS, Thresholds, thresholds
from ...guard.verdict import NOT_JUDGED
from ...profile import reference
from ...profile.networks import describe
from ...profile.profiles import Model, Profile
from ...sentences import Sentence
from ...trail.captions.entry import escaped
from ...validation import Field
from ...wording import tags
from ..host import host, networks, sampling, texts
from ..job import settings
from ..job.library import LIBRARY, Served
from ..job.recording import Recording
from . import json_options
from .background import Task

SEEDS, BATCH = (1, 64), (1, 256)


@dataclass(frozen=True)
class Options:
    """What is scanned; an empty `profile` or `sensitivity` stands for the web UI's setting, `width` and `height` 0 for the family's own. The tags of
    `networks` are on for all captions, beside those that a caption itself has. Where captions are `plain` text their brackets weigh nothing."""

    captions: tuple[str, ...] = ()
    seeds: int = 4
    first_seed: int = 0
    width: int = 0
    height: int = 0
    batch_size: int = 8
    sensitivity: str = ""
    profile: str = ""
    networks: str = ""
    plain: bool = False

    def prompt(self, caption: str) -> str:
        """The prompt that says what a caption does."""
        return escaped(caption) if self.plain else caption

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
        values["networks"] = json_options.text(found, "networks", reference.MAX_LENGTH)
        values |= json_options.chosen(found, sensitivity=lambda field: field.choice(LEVELS[:-1]), profile=Field.name)
        values |= json_options.chosen(found, plain=json_options.yes_or_no)
        if "captions" not in found:
            Field(None, "captions").fail("is missing")
        return cls(captions=json_options.texts(found["captions"], least=1), **values)


def task(options: Options) -> Task:
    """The work of a scan, not started yet."""
    return Task("scan", lambda running: run(options, running))


@dataclass
class _Group:
    """Captions with the same networks: the host applies those of a batch's first prompt to all of it."""

    tags: str
    model: Model
    served: Served
    limits: Thresholds | None
    captions: list[str]
    scores: list[float | None] = field(default_factory=list)

    @property
    def profile(self) -> Profile | None:
        """What judges them; None where nothing can."""
        found = self.served.profile
        return found if found is not None and found.probe is not None else None

    @property
    def why(self) -> str:
        """Why nothing judges them."""
        return self.served.why if self.served.profile is None else Sentence(texts.SCANS["no probe"], name=self.served.profile.name)


def _groups(options: Options, model: Model) -> list[_Group]:
    """The captions by the networks in their own tags and in those that all have; ValueError names a network that the host cannot find."""
    start = settings.defaults()
    found: dict[str, list[str]] = {}
    for caption in options.captions:
        own = "".join(dict.fromkeys([*tags(caption), *tags(options.networks)]))
        found.setdefault(own, []).append(caption)
    networks.wanted(options.networks)  # what is no tag is said, too
    groups = []
    for own, captions in found.items():
        with_them = replace(model, networks=networks.wanted(own))
        served = LIBRARY.serve(options.profile or start.profile, with_them, settings.general_prior_allowed(), settings.networks_ignored())
        group = _Group(own, with_them, served, None, captions)
        if group.profile is not None:
            group.limits = thresholds(group.profile.probe, options.sensitivity or start.sensitivity, start.tau)
        groups.append(group)
    return groups


def run(options: Options, running: Task) -> dict:
    """Evaluate and score; returns what the API shows."""
    model = host.describe(sampling.loaded())
    groups = _groups(options, model)
    judged = [group for group in groups if group.profile is not None]
    if not judged:
        known = "none with" if groups[0].model.networks else "none"
        raise ValueError(Sentence(texts.SCANS[known], reason=groups[0].why, networks=groups[0].tags))
    size, began = json_options.size(options, model.family), time.monotonic()
    total = sum(len(group.captions) for group in judged) * options.seeds
    batch, done = options.batch_size, 0
    for group in judged:
        batch = min(batch, _evaluate(group, options, running, size, done, total))
        done += len(group.captions) * options.seeds
    running.progress(total, total, "evaluations")
    seconds = time.monotonic() - began
    rows = {one["caption"]: one for group in groups for one in _rows(group, options.seeds)}
    first = judged[0]
    return {
        "profile": " + ".join(dict.fromkeys(group.served.profile.name for group in judged)),
        "checkpoint": model.checkpoint,
        "networks": " / ".join(dict.fromkeys(describe(group.model.networks) for group in judged if group.model.networks)),
        "sensitivity": options.sensitivity or settings.defaults().sensitivity,
        "threshold": round(first.limits.mild, 4),
        "strong": round(first.limits.strong, 4),
        "false_alarms": first.limits.false_alarms,
        "seeds": options.seeds,
        "size": f"{size[0]}x{size[1]}",
        "batch_size": batch,
        "captions_per_minute": round(60 * len(options.captions) / max(seconds, 1e-6), 1),
        "rows": [rows[caption] for caption in options.captions],
    }


def _evaluate(group: _Group, options: Options, running: Task, size: tuple[int, int], done: int, total: int) -> int:
    """Score the captions of a group, `done` evaluations after the beginning; the batch that there was memory for."""
    jobs = [(caption, options.first_seed + seed) for caption in group.captions for seed in range(options.seeds)]
    sampler = sampling.samplers(("Euler", "Euler a"))[0]

    def work(part: slice) -> None:
        running.progress(done + part.start, total, "evaluations")
        captions, seeds = zip(*jobs[part])
        probed = group.profile.probe_guidance
        # A distilled model is evaluated once, as it is.
        scales = [probed if group.model.distilled else 1.0] * len(captions)
        recording = Recording(scales, probe_guidance=probed, expected=group.model, stop=running.stop)
        # With a single step the sampler asks the model once, at the highest noise level.
        sampling.sample(recording, [options.prompt(one) for one in captions], list(seeds), sampler, 1, size, tags=group.tags)
        group.scores.extend(_scores(group.profile, recording))

    return sampling.in_batches(len(jobs), options.batch_size, work)


def _rows(group: _Group, seeds: int) -> list[dict]:
    """Rows of a group; where several profiles judge, each row says its own threshold."""
    told = {"networks": describe(group.model.networks)}
    if group.profile is None:
        nothing = {"scores": [None] * seeds, "median": None, "max": None, "above": 0, "verdict": NOT_JUDGED, "reason": group.why}
        return [{"caption": caption, **nothing, **told} for caption in group.captions]
    told |= {"threshold": round(group.limits.mild, 4)}
    if group.served.ignored:
        told["reason"] = judged_by(group.served)
    return [{**row(caption, group.scores[i * seeds : (i + 1) * seeds], group.limits), **told} for i, caption in enumerate(group.captions)]


def judged_by(served: Served) -> str:
    """Which profile judged where it does not know all networks that are on."""
    return Sentence(texts.SCANS["judged by"], label=served.label)


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
