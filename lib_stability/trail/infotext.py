"""Settings and verdicts as infotext, through one table of keys that writing, pasting, the API and the audit share.

Infotext is the web UI's text of an image: prompt, negative prompt and one line ``key: value, key: value``. The host quotes values that hold a comma,
colon or newline, so ours hold none, see :func:`clean`. The second half reads and writes such text without the web UI.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ..guard.damping import MARGIN_RANGE, STRENGTH_RANGE, Damping
from ..guard.damping import POLICIES as DAMPINGS
from ..guard.detectors import NAMES as DETECTORS
from ..guard.options import MODES, TRIES_RANGE, Options
from ..guard.outcome import OUTCOMES
from ..guard.probe import MAX_EVALUATIONS, Probe
from ..guard.probe import POLICIES as PROBES
from ..guard.sensitivity import LEVELS, TAU_RANGE
from ..guard.verdict import EARLY_FLAG, LATE_FLAG, MILD, NOT_JUDGED, STABLE, STRONG, Verdict
from ..profile.profiles import AUTO
from ..validation import Field
from ..version import __version__

PREFIX, VERSION_KEY, REGION_KEY = "MG ", "MG version", "MG region"
#: Of a picture that shows several images of its job, or of several jobs.
GRID_KEY = "MG grid"
#: Of an image in the place of a flagged one: the seed of that one and its verdict, and how many others were tried; or why there is none.
REPLACED_KEY = "MG replaced"
#: Which training picture a flagged image is nearest to, and how near.
MATCH_KEY = "MG match"
#: Beginnings of the keys about the first pass, the hires pass, and what other tools have sampled inside the job to finish the image.
PASS_PREFIXES = ("MG ", "MG hires ", "MG inner ")
#: Letters of the carriers that an infotext has room for.
MOST_CARRIERS = 150
#: What a value may hold beside letters and digits.
_PUNCTUATION = frozenset(" ._+-/%=()[]")


class Stored(NamedTuple):
    """One setting in the infotext: its key, how its text becomes a value, and the check that names the field at fault."""

    key: str
    parse: Callable[[str], object]
    check: Callable[[Field], object]


class Result(NamedTuple):
    """One result in the infotext: the end of its key, and its text with groups named after attributes of :class:`.verdict.Verdict`."""

    end: str
    pattern: str


def _whole(low: int, high: int) -> Callable[[Field], int]:
    def check(field: Field) -> int:
        # The web UI's sliders deliver floats.
        value = int(field.value) if isinstance(field.value, float) and field.value.is_integer() else field.value
        return Field(value, field.path).integer(low, high)

    return check


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _truth(field: Field) -> bool:
    return field.value if isinstance(field.value, bool) else field.fail("has to be true or false")


#: Attributes of :class:`Settings` in the order of their keys. `enabled` has none: any key at all says so.
SETTINGS = {
    "mode": Stored("MG mode", str.lower, lambda field: field.choice(MODES)),
    "sensitivity": Stored("MG sensitivity", str.lower, lambda field: field.choice(LEVELS)),
    "tau": Stored("MG threshold", float, lambda field: field.number(*TAU_RANGE)),
    "damping": Stored("MG damping", str.lower, lambda field: field.choice(DAMPINGS)),
    "strength": Stored("MG strength", float, lambda field: field.number(*STRENGTH_RANGE)),
    "margin": Stored("MG margin", float, lambda field: None if field.value is None else field.number(*MARGIN_RANGE)),
    "profile": Stored("MG profile", str, Field.name),
    "probe": Stored("MG probe", str.lower, lambda field: field.choice(PROBES)),
    "probe_evaluations": Stored("MG probe evaluations", float, _whole(1, MAX_EVALUATIONS)),
    "again": Stored("MG sample again", _switch, _truth),
    "tries": Stored("MG tries", float, _whole(*TRIES_RANGE)),
}

#: Attributes of a verdict that have a key. The number of `evaluations` stands behind a slash, the `reason` in brackets behind the verdict (beside a
#: flag: what it was left without); `threshold` is not kept: it follows from sensitivity and profile.
RESULTS = {
    "verdict": Result("verdict", rf"(?P<verdict>{STABLE}$|{MILD}|{STRONG}|{NOT_JUDGED})(?: \((?P<reason>.*)\))?"),
    "score": Result("score", r"(?P<score>-?\d{1,15}(?:\.\d{1,20})?(?:e[+-]\d\d)?)"),
    "flagged_at": Result("flagged at", r"(?P<flagged_at>[1-9]\d{0,5})/(?P<evaluations>\d{1,6})"),
    "flag": Result("flag", rf"(?P<flag>{EARLY_FLAG}|{LATE_FLAG})"),
    "damped": Result("damped", r"(?P<damped>[1-9]\d{0,5})/(?P<evaluations>\d{1,6})"),
    "stopped_at": Result("stopped at", r"(?P<stopped_at>[1-9]\d{0,5})/(?P<evaluations>\d{1,6})"),
    "score_after": Result("score after", r"(?P<score_after>-?\d{1,15}(?:\.\d{1,20})?(?:e[+-]\d\d)?)"),
    "outcome": Result("outcome", rf"(?P<outcome>{'|'.join(OUTCOMES)})"),
    "carriers": Result("carriers", r"(?P<carriers>.+)"),
    "detector": Result("flagged by", rf"(?P<detector>{'|'.join(DETECTORS)})"),
    "unwatched": Result("watch", r"(?P<unwatched>(?:off|\d{1,6}/\d{1,6}) - .+)"),
}


def result_key(attribute: str, which: int = 0) -> str:
    """Key of an attribute of a verdict, one of :data:`RESULTS`, of a pass by its number in :data:`PASS_PREFIXES`."""
    return PASS_PREFIXES[which] + RESULTS[attribute].end


#: Every key that :func:`write` may use, in its order.
KEYS = (
    *(one.key for one in SETTINGS.values()),
    *(result_key(name, which) for which in range(len(PASS_PREFIXES)) for name in RESULTS),
    REGION_KEY,
    GRID_KEY,
    REPLACED_KEY,
    VERSION_KEY,
)


@dataclass(frozen=True)
class Settings:
    """What a user chooses; the defaults are the core's, and the guard is off until asked for.

    Attributes
    ----------
    enabled : bool
    mode, sensitivity, tau, damping, strength, margin
        See :class:`.guard.Options` and :class:`.damping.Damping`; `tau` (in relative spreads, 0.1 to 1000) counts at the sensitivity "custom" only.
    profile, probe, probe_evaluations
        Name of a profile or "Auto"; policy and number of evaluations of :class:`.probe.Probe`.
    again : bool
        Whether a damped image that is a copy all the same is sampled once more, damped from the first evaluation on.
    tries : int
        How often an image is made anew at most in the mode "replace", each time with another seed.

    Raises
    ------
    ValidationError
        Naming the field whose value is of the wrong type or out of range.
    """

    enabled: bool = False
    mode: str = Options.mode
    sensitivity: str = Options.sensitivity
    tau: float = Options.tau
    damping: str = Damping.policy
    strength: float = Damping.strength
    margin: float | None = Damping.margin
    profile: str = AUTO
    probe: str = Probe.policy
    probe_evaluations: int = Probe.evaluations
    again: bool = True
    tries: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.enabled, bool):
            Field(self.enabled, "enabled").fail("has to be true or false")
        for name, stored in SETTINGS.items():
            object.__setattr__(self, name, stored.check(Field(getattr(self, name), name)))

    def to_options(self) -> Options:
        """The part that concerns :class:`.guard.Guard`."""
        return Options(self.mode, self.sensitivity, self.tau, Damping(self.damping, self.strength, self.margin))


def clean(text: str, longest: int = 100) -> str:
    """`text` as a value that no host quotes or splits: letters, digits, spaces and ``._+-/%=()[]``, on one line, at most `longest` characters."""
    kept = "".join(c if c.isalnum() or c in _PUNCTUATION else "" if c in "\"'`" else " " for c in text)
    return " ".join(kept.split())[:longest].rstrip()


def replaced(params: dict[str, str]) -> str:
    """The seed of the flagged image in whose place an image stands; empty where it stands for none."""
    found = re.match(r"seed (\d{1,20}) ", params.get(REPLACED_KEY) or "")
    return found[1] if found else ""


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _score(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else _show(round(float(f"{value:.3g}"), 3))


def _whole_parts(carriers: str) -> str:
    """As many of the parts as there is room for."""
    text = clean(carriers, MOST_CARRIERS + 1)
    return text if len(text) <= MOST_CARRIERS else text.rpartition(" + ")[0]


def _results(verdict: Verdict, which: int) -> dict[str, str]:
    reason = clean(verdict.reason, 80) if verdict.verdict != STABLE else ""
    texts = {
        "verdict": f"{verdict.verdict} ({reason})" if reason else verdict.verdict,
        "score": _score(verdict.score),
        "flagged_at": f"{verdict.flagged_at}/{verdict.evaluations}" if verdict.flagged_at else "",
        "flag": verdict.flag,
        "damped": f"{verdict.damped}/{verdict.evaluations}" if verdict.damped else "",
        "stopped_at": f"{verdict.stopped_at}/{verdict.evaluations}" if verdict.stopped_at else "",
        "score_after": _score(verdict.score_after),
        "outcome": verdict.outcome,
        "carriers": _whole_parts(verdict.carriers),
        "detector": verdict.detector if verdict.flagged else "",
        "unwatched": verdict.unwatched,
    }
    return {result_key(name, which): clean(text, MOST_CARRIERS) for name, text in texts.items() if text}


def write(
    settings: Settings,
    verdict: Verdict | None,
    hires: Verdict | None = None,
    region: str = "",
    inner: Verdict | None = None,
    grid: str = "",
    replaced: str = "",
) -> dict[str, str]:
    """The guard's infotext of one image: settings where they differ from the default, then results; nothing while disabled. A threshold that
    did not count, of another sensitivity than "custom", is left out.

    `verdict` is that of the first, `hires` that of the hires pass, `inner` that of what other tools have sampled inside the job, None where there
    is none (yet). Scores keep three digits and decimals.
    `region` names the profile that served and says where it comes from, where that is to be kept; `grid` says of a picture that shows several
    images how many; `replaced` what an image stands for that was made in the place of another.
    """
    if not settings.enabled:
        return {}
    values = {name: getattr(settings, name) for name in SETTINGS if name != "tau" or settings.sensitivity == "custom"}
    lines = {SETTINGS[name].key: clean(_show(value)) for name, value in values.items() if value != getattr(Settings, name)}
    for which, one in enumerate((verdict, hires, inner)):
        lines |= _results(one, which) if one else {}
    beside = {REGION_KEY: clean(region, 200), GRID_KEY: clean(grid), REPLACED_KEY: clean(replaced)}
    return {**lines, **{key: text for key, text in beside.items() if text}, VERSION_KEY: clean(__version__)}


def _read_setting(name: str, text: str) -> dict:
    return {name: SETTINGS[name].check(Field(SETTINGS[name].parse(text), name))}


def _read_result(name: str, text: str) -> dict:
    found = re.fullmatch(RESULTS[name].pattern, text, re.ASCII)
    convert = {"score": float, "score_after": float, "flagged_at": int, "damped": int, "stopped_at": int, "evaluations": int, "reason": clean}
    new = {group: convert.get(group, str)(value) for group, value in (found.groupdict() if found else {}).items() if value}
    if not found or ("evaluations" in new and new[name] > new["evaluations"]):
        raise ValueError(text)
    return new


def _read_all(params: dict[str, str], table: dict[str, Callable[[str], dict]], malformed: list[str]) -> dict:
    found: dict = {}
    for key, parse in table.items():
        # The host splits a value like 512x768, which a profile may be called, into two parameters.
        halves = params.get(key + "-1"), params.get(key + "-2")
        text = params.get(key, None if None in halves else "{}x{}".format(*halves))
        if text is None:
            continue
        try:
            new = parse(text.strip())
            if any(found.get(name, value) != value for name, value in new.items()):
                raise ValueError("contradicts a value read before")
            found |= new
        except (ValueError, TypeError, AttributeError):
            malformed.append(f"{key}: {text[:40] if isinstance(text, str) else type(text)!r} makes no sense and is ignored")
    return found


def read(params: dict[str, str], malformed: list[str] | None = None) -> tuple[Settings, Verdict | None, Verdict | None]:
    """Settings and the verdicts of first and hires pass from the parameters of an image: the inverse of :func:`write`, never raises.

    Absent keys mean defaults, no key of ours at all that the guard was off. Values that make no sense are skipped, and described in `malformed`.
    """
    return read_passes(params, malformed)[:3]


def read_passes(params: dict[str, str], malformed: list[str] | None = None) -> tuple[Settings, Verdict | None, Verdict | None, Verdict | None]:
    """As :func:`read`, and the verdict of what other tools have sampled inside the job."""
    if not any(isinstance(key, str) and key.startswith(PREFIX) for key in params):
        return Settings(), None, None, None
    malformed = [] if malformed is None else malformed
    settings = _read_all(params, {one.key: partial(_read_setting, name) for name, one in SETTINGS.items()}, malformed)
    tables = [{result_key(name, which): partial(_read_result, name) for name in RESULTS} for which in range(len(PASS_PREFIXES))]
    first, hires, inner = (Verdict(**found) if "verdict" in found else None for found in (_read_all(params, one, malformed) for one in tables))
    return Settings(enabled=True, **settings), first, hires, inner


KEY_PATTERN = r"\w[\w \-/]+"
_PARAMETER = re.compile(rf'(?:\A|,)\s*({KEY_PATTERN}):\s*("(?:\\.|[^\\"])*"(?=\s*(?:,|\Z))|[^,]*)', re.DOTALL)
NEGATIVE = "Negative prompt:"
#: Less parameters than these make no line of parameters.
FEWEST = 3


def format_line(params: dict[str, str]) -> str:
    """The parameter line ``key: value, key: value``; a value that would not survive bare is quoted as JSON. ValueError for an impossible key."""
    parts = []
    for key, value in params.items():
        if not re.fullmatch(KEY_PATTERN, key) or key != key.strip():
            raise ValueError(f"{key!r} cannot be the key of a parameter")
        bare = value and value == value.strip() and not value.startswith('"') and not set(value) & set(",:\n\r")
        parts.append(f"{key}: {value if bare else json.dumps(value, ensure_ascii=False)}")
    return ", ".join(parts)


def parse_line(text: str) -> dict[str, str]:
    """The inverse of :func:`format_line`; what is not ``key: value`` is passed over."""
    found = {}
    for key, value in _PARAMETER.findall(text):
        found[key.strip()] = value.strip()
        if value.startswith('"'):
            with suppress(ValueError):  # not JSON: it stays as it stands
                found[key.strip()] = json.loads(value)
    return found


def format_text(prompt: str, negative: str, params: dict[str, str]) -> str:
    """The whole infotext: prompt, negative prompt if there is one, parameter line."""
    return "\n".join(part for part in (prompt, negative and f"{NEGATIVE} {negative}", format_line(params)) if part)


def parse_text(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and parameters of an infotext; like the host, it takes a last line of less than three parameters for prompt.

    What stands behind the parameters hides them from the host; :func:`.reading.verdicts_of` finds them all the same.
    """
    *lines, last = text.strip().split("\n")
    params = parse_line(last)
    if len(params) < FEWEST:
        lines, params = [*lines, last], {}
    return *split_prompts("\n".join(lines)), params


def split_prompts(text: str) -> tuple[str, str]:
    """Prompt and negative prompt, from what stands before the parameters."""
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if line.lstrip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).lstrip().removeprefix(NEGATIVE)
    return "\n".join(lines[:start]).strip(), negative.strip()
