"""A job as plain values: what ``GET /memorization-guard/v1/last`` answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

from .job import Job


def places(job: Job) -> Iterator[tuple[int, int]]:
    """Batch and position of each image."""
    for iteration in sorted({iteration for iteration, _ in job.passes} | job.sampled):
        size = max([len(one.results()[0]) for key, each in job.passes.items() if key[0] == iteration for one in each], default=0)
        yield from ((iteration, position) for position in range(max(size, 1)))


def of(job: Job) -> dict:
    """The whole job."""
    p = job.owner()
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "checkpoint": getattr(p, "sd_model_name", None),
        "checkpoint_hash": getattr(p, "sd_model_hash", None),
        "profile": job.served(),
        "judged_by": [
            {"name": one.name, "origin": one.origin, "kind": one.kind, "runs": one.runs, "trial": one.trial}
            for number, one in enumerate(job.profiles())
            if one not in job.profiles()[:number]
        ],
        "settings": asdict(job.settings),
        "images": [{"iteration": iteration, "position": position, **_image(job, iteration, position)} for iteration, position in places(job)],
    }


def _image(job: Job, iteration: int, position: int) -> dict:
    out, renewed = {}, job.renewed.get((iteration, position))
    watching, place = (job, position) if renewed is None else renewed.watched(job, position)
    for name, hires in (("first", False), ("hires", True)):
        verdict = job.verdict(iteration, position, hires)
        if verdict is not None:
            local, seen = job.map(iteration, position, hires), watching.evaluations(iteration, place, hires)
            out[name] = {**asdict(verdict), "trajectory": [one.to_json() for one in seen], "map": local and local.to_json()}
    if renewed is not None and renewed.said:
        out["replaced"] = renewed.said
    inner = job.inner_verdict(iteration, position)
    return {**out, "inner": {**asdict(inner), "trajectory": [], "map": None}} if inner else out
