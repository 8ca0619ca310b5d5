"""What judges, in words: the line about the profile that serves, how much it can be trusted, and how unusual a score is by it."""

from __future__ import annotations

import html
from typing import NamedTuple

from ...guard.sensitivity import exceeded, thresholds
from ...profile import networks
from ...profile.profiles import Profile
from ...trail.infotext import Settings
from ..host import host, texts
from ..host.language import number, say
from ..job import pace
from ..job.library import Served
from ..tasks import calibrating, json_options

#: "How unusual" is held against what so few ordinary images exceed.
ONE_IN = 1000
#: Shares of ordinary images below which a number says nothing any more.
_RAREST = 10_000
#: Minutes from which on hours are told.
_LONG = 120


class Line(NamedTuple):
    """What is said of a profile: sentences, how far it can be trusted ("measured", "trial", "guess" or "nothing"), and the terms behind it."""

    said: list[str]
    trust: str
    terms: str


def describe(served: Served, settings: Settings) -> Line:
    """Which profile judges, whose it is, and how many ordinary images it flags at the chosen sensitivity."""
    profile = served.profile
    if profile is None:
        return Line([say(texts.NOTHING, reason=served.why)], "nothing", "")
    limits = thresholds(profile.watch, settings.sensitivity, settings.tau)
    said = [_judge(profile), share(limits.false_alarms, profile.kind == "calibrated")]
    if served.ignored:
        said.append(say(texts.IGNORED, networks=networks.describe(served.ignored)))
    trust = "guess" if profile.kind != "calibrated" else "trial" if profile.trial else "measured"
    why = served.why
    return Line(said, trust, say(texts.TERMS, name=profile.name, standing=profile.standing, reason=why, limits=limits.describe()))


def _judge(profile: Profile) -> str:
    if profile.kind != "calibrated":
        return say(texts.PRIOR, name=profile.name)
    if profile.trial:
        return say(texts.TRIAL, name=profile.name, runs=profile.runs)
    if profile.origin == "bundled":
        return say(texts.BUNDLED, name=profile.name, runs=profile.runs)
    known = {"name": profile.name, "date": date(str(profile.provenance.get("date") or "")), "runs": profile.runs}
    return say(texts.OWN if profile.origin == "own" else texts.IMPORTED, **known)


def date(iso: str) -> str:
    """A day as people write it; what is no day as it stands."""
    parts = iso[:10].split("-")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts) or not 1 <= int(parts[1]) <= 12:
        return iso[:10]
    return say(texts.DATE, day=int(parts[2]), month=say(texts.MONTHS[int(parts[1]) - 1]), year=int(parts[0]))


def share(rate: float, measured: bool) -> str:
    """How many ordinary images are flagged."""
    if rate > 0.5:
        return say(texts.SHARE_MOST)
    if rate * _RAREST < 1:
        return say(texts.SHARE_RARE, count=number(f"{_RAREST:,}"))
    count = 1 / rate
    return say(texts.SHARE if measured else texts.SHARE_GUESS, count=number(f"{round(count, -1 if count >= 100 else 0):,.0f}"))


def offer() -> str:
    """What a calibration would take here, as measured on what was generated."""
    model, usual = host.describe(host.loaded_model()), calibrating.Options()
    width, height = json_options.size(usual, model.family)
    pixels = width * height * usual.batch_size * calibrating.ASKED
    found = pace.minutes(model.checkpoint, calibrating.evaluations(usual, model), pixels)
    if found is None:
        return say(texts.OFFER_LATER, runs=usual.runs)
    long = found >= _LONG
    told = {"hours": round(found / 60)} if long else {"minutes": found}
    return say(texts.OFFER_HOURS if long else texts.OFFER, **told, runs=usual.runs, size=f"{width}x{height}")


def unusual(score: float, detector: str, judge: Profile) -> float:
    """A score in multiples of what the most unusual of :data:`ONE_IN` ordinary images shows."""
    region = judge.probe if detector == "probe" and judge.probe is not None else judge.watch
    return max(score, 0.0) / exceeded(region, 1 / ONE_IN)


def times(multiple: float) -> str:
    """A multiple as people read it."""
    return number(f"{multiple:,.0f}" if multiple >= 10 else f"{multiple:.1f}")


def button(text: str, kind: str, **data: str) -> str:
    """A button inside a line; the page's script knows what to do by its class."""
    told = "".join(f' data-{name}="{html.escape(value)}"' for name, value in data.items())
    return f"<button type='button' class='memorization-guard-button memorization-guard-{kind}'{told}>{html.escape(say(text))}</button>"
