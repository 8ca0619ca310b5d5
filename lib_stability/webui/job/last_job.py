"""The last job that the guard finished, as plain values, for the API and the page."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ...guard.history import Point
from ...guard.locality import LocalMap
from ...guard.verdict import Verdict
from ...pictures import overlay
from ...profile.profiles import Profile
from ...trail.infotext import REGION_KEY, clean, read, result_key, write
from . import plainly
from .job import Job
from .library import LIBRARY, Served

_last: dict | None = None
#: Small pictures of the last job's images that have a map, by batch and position.
_pictures: dict[tuple[int, int], Image.Image] = {}


def remember(job: Job, seeds: Sequence[int] = (), batch: int = 1) -> None:
    """Keep the results of a job that is over, each image's seed with it; the job before is forgotten."""
    global _last
    found = plainly.of(job)
    for image in found["images"]:
        index = image["iteration"] * max(batch, 1) + image["position"]
        image["seed"] = int(seeds[index]) if index < len(seeds) else None
    _last = found
    _pictures.clear()
    for where, picture in job.pictures.items():
        _pictures[where] = picture.copy()
        _pictures[where].thumbnail((overlay.SIDE, overlay.SIDE))


def remember_whole(jobs: Sequence[Job], verdict: Verdict | None, seeds: Sequence[int] = ()) -> None:
    """Keep the one of several jobs that made one picture whose verdict is theirs, and how many there were."""
    gravest = next((one for one in jobs if one.gravest() == verdict), jobs[-1])
    remember(gravest, seeds)
    _last["jobs"] = len(jobs)


def last() -> dict | None:
    """The last job's results, None before the first."""
    return _last


def _find(params: dict[str, str], hires: bool) -> tuple[dict, dict, Verdict] | None:
    """The image of the last job that an infotext's parameters are about (same seed, same results), its pass, and what that said."""
    settings, *verdicts = read(params)
    asked = verdicts[hires]
    for image in (_last or {"images": []})["images"]:
        found = image.get("hires" if hires else "first")
        if asked is None or found is None or str(image["seed"]) != params.get("Seed"):
            continue
        told = Verdict(**{key: value for key, value in found.items() if key not in ("trajectory", "map")})
        texts = write(settings, told)
        if all(params.get(result_key(name, hires)) == texts.get(result_key(name)) for name in ("verdict", "score")):
            return image, found, told
    return None


def judged_by(params: dict[str, str], hires: bool = False) -> str:
    """The profiles that judged the image that an infotext's parameters are about: what these say, else the last job if it is one of that."""
    return params.get(REGION_KEY) or (_last["profile"] if _find(params, hires) else "")


def verdict(params: dict[str, str], hires: bool = False) -> Verdict | None:
    """The whole verdict of an image of the last job: an infotext names the detector of flagged ones alone."""
    found = _find(params, hires)
    return found and found[2]


def judge(params: dict[str, str], hires: bool = False) -> Profile | None:
    """The one profile that judged that image, if it is still here; None where several did, or nobody knows."""
    named = [one for one in LIBRARY.profiles() if clean(Served(one, "").label, 200) == params.get(REGION_KEY)]
    if not named and REGION_KEY not in params and _find(params, hires) and len(_last["judged_by"]) == 1:
        named = [one for one in LIBRARY.profiles() if one.name == _last["judged_by"][0]["name"]]
    return named[-1] if named else None


def trajectory(params: dict[str, str], hires: bool = False) -> tuple[list[Point], float] | None:
    """Evaluations and threshold of the image that an infotext's parameters are about, if it is one of the last job."""
    found = _find(params, hires)
    if found is None or not found[1]["trajectory"]:
        return None
    return [Point(**one) for one in found[1]["trajectory"]], found[2].threshold or 0.0


def local_map(params: dict[str, str], hires: bool = False) -> tuple[LocalMap, Image.Image | None] | None:
    """Map and small picture of the same image, where it has a map."""
    found = _find(params, hires)
    if found is None or not found[1]["map"]:
        return None
    return LocalMap.from_json(found[1]["map"]), _pictures.get((found[0]["iteration"], found[0]["position"]))
