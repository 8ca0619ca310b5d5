"""What audit and ledger say about one image, under names that both share; and the row of one file in an audit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ..guard.outcome import AGAIN, STEERED, STILL
from ..guard.verdict import Verdict
from .containers import Unreadable
from .imagetext import OTHERS, PICTURES, TEXTS, read_texts
from .infotext import GRID_KEY, REGION_KEY, REPLACED_KEY, VERSION_KEY
from .reading import verdicts_of_all

NO_VERDICT, UNREADABLE = "no verdict", "unreadable"
#: Name of a value, and the attribute of a verdict that it comes from.
_VALUES = {
    "verdict": "verdict",
    "reason": "reason",
    "score": "score",
    "flagged_at": "flagged_at",
    "evaluations": "evaluations",
    "flag": "flag",
    "flagged_by": "detector",
    "damped": "damped",
    "stopped_at": "stopped_at",
    "score_after": "score_after",
    "outcome": "outcome",
    "watch": "unwatched",
}
HIRES, INNER = "hires_", "inner_"
#: What the names about each pass begin with.
PASSES = ("", HIRES, INNER)
#: Parameters of an image that are the host's or ours, and kept as they are.
_PARAMETERS = {
    "region": REGION_KEY,
    "grid": GRID_KEY,
    "replaced": REPLACED_KEY,
    "model": "Model",
    "model_hash": "Model hash",
    "seed": "Seed",
    "version": VERSION_KEY,
}
COLUMNS = (
    "file",
    *(prefix + name for prefix in PASSES for name in _VALUES),
    *("mode", "sensitivity", "profile", "region", "grid", "replaced", "prompt_hash", "model", "model_hash", "seed", "version", "problem"),
)
#: What may be wrong with a file, here and in the modules that read it.
PROBLEMS = (
    *("no infotext", "guard off", "guard on, no verdict in it", "cannot be read ({kind})", "pictures of this kind are not read: {kind}"),
    *("is empty", "ends early", "its structure makes no sense", "is no PNG, JPEG, WebP, AVIF, HEIF, JPEG XL or GIF"),
    *("holds a text or header of more than {count} bytes", "is not text in UTF-8", "its text is not UTF-8", "its text cannot be decompressed"),
    *("the checksum of its text is wrong", "its EXIF makes no sense", "its EXIF ends early", "keeps its EXIF compressed, which cannot be read here"),
    *("keeps its EXIF in a way that cannot be read here", "holds no metadata box", "holds too many boxes", "holds too many chunks"),
    *("holds too many segments", "holds too many blocks", "the text says more than one verdict, the graver counts"),
    "the text holds so many parameters that only a flag in them is believed",
)
#: No name or number of a host is longer.
_LONGEST = 300


class Item(NamedTuple):
    """One file of an audit, the text file of the same name beside it, and whether the user named it rather than its folder."""

    path: str
    beside: str = ""
    named: bool = False


def prompt_hash(prompt: str) -> str:
    """SHA-256 of a prompt, the same for every way of spacing it. It hides a prompt from the eye, not from somebody who guesses it."""
    return hashlib.sha256(" ".join(prompt.split()).encode("utf-8", "backslashreplace")).hexdigest()


def describe(verdict: Verdict | None, prefix: str = "") -> dict:
    """A verdict as plain values; None where there is nothing to say."""
    values = {name: getattr(verdict, attribute, None) for name, attribute in _VALUES.items()}
    return {prefix + name: value if value or name in ("score", "score_after") else None for name, value in values.items()}


def became(damped: int | None, outcome: str | None) -> str:
    """What a damped image has become, in one word; empty where it was not damped."""
    if not damped:
        return ""
    outcome = outcome or ""
    if outcome.endswith(STILL):
        return "copy"
    return "again" if outcome.startswith(AGAIN) else "steered" if outcome == STEERED else "damped"


def examine(item: Item, prompts: bool = False) -> dict | None:
    """The row of one file under the names of :data:`COLUMNS`; "prompt" and "carriers", words of it, where asked for. Never raises.

    None for a text file that nobody named and that holds no infotext: a folder of pictures may hold any text.
    """
    texts, problem = [], ""
    try:
        if item.path.lower().endswith(OTHERS):
            raise Unreadable(f"pictures of this kind are not read: {os.path.splitext(item.path)[1].lower()}")
        texts = read_texts(item.path)
    except (Unreadable, OSError) as error:
        problem = (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
    except Exception as error:  # whatever the file did, the audit goes on
        problem = f"cannot be read ({type(error).__name__})"
    broken = bool(problem) and not item.path.lower().endswith(OTHERS)
    if not texts and item.beside:
        with suppress(Unreadable, OSError):
            texts = read_texts(item.beside)
    is_text = item.path.lower().endswith(TEXTS)
    if not texts:
        return _row(item, verdict=UNREADABLE if problem else NO_VERDICT, problem=problem or "no infotext")
    found = verdicts_of_all(texts)
    params, settings, first = found.params, found.settings, found.first
    if is_text and not params and not found.problems and not item.named:
        return None
    malformed = [*([problem] if problem else []), *found.problems]
    if first is None and not malformed:
        malformed.append("guard on, no verdict in it" if settings.enabled else "guard off" if params else "no infotext")
    values = {**describe(first), **describe(found.hires, HIRES), **describe(found.inner, INNER), "verdict": first.verdict if first else NO_VERDICT}
    if broken and not any(one.flagged for one in found.passes):
        values["verdict"] = UNREADABLE  # what the picture itself would say is not known, so nothing beside it makes it stable
    if settings.enabled:
        values |= {name: getattr(settings, name) for name in ("mode", "sensitivity", "profile")}
    values |= {name: params[key][:_LONGEST] for name, key in _PARAMETERS.items() if isinstance(params.get(key), str)}
    return _row(item, **values, prompt_hash=prompt_hash(found.prompt), problem="; ".join(malformed), **(_told(found) if prompts else {}))


def shown_beside(rows: Sequence[dict]) -> list[bool]:
    """Which rows are grids whose images are among the rows, too: those count already. The grid carries prompt and seed of its first image."""
    images = {(row["seed"], row["prompt_hash"]) for row in rows if not row["grid"]}
    return [bool(row["grid"]) and (row["seed"], row["prompt_hash"]) in images for row in rows]


def _told(found: object) -> dict:
    """What names words of the prompt."""
    carriers = [one.carriers for one in found.passes if one.carriers]
    return {"prompt": found.prompt, "carriers": "; ".join(carriers) or None}


def _row(item: Item, **values: object) -> dict:
    return {**dict.fromkeys(COLUMNS), "file": item.path, **values}


def examine_all(items: list[Item], prompts: bool = False) -> list[dict | None]:
    """Rows of several files: what a worker process is handed."""
    return [examine(item, prompts) for item in items]


def is_picture(name: str) -> bool:
    """Whether a file's name says that it is a picture, of a kind that is read here or not."""
    return name.lower().endswith(PICTURES + OTHERS)
