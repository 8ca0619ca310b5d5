"""What a profile may say to others: an export leaves out what it need not, and a check finds what looks private in a file that somebody offers."""

from __future__ import annotations

import re
from dataclasses import replace

from .profiles import Profile

#: What a calibration says of itself that others need; all else stays at home, such as names of other checkpoints (`judged_by`).
KEPT = (
    *("prompts_sha256", "prompts", "own_prompts", "runs", "samplers", "schedulers", "networks", "steps", "size", "guidance", "distilled"),
    *("distilled_scale", "seed", "left_out", "left_out_as_copies", "left_out_rule", "not_finite", "flagged_by_it", "trial"),
    *("date", "software", "measured_by", "hardware"),
)
#: Characters of a text that could be a prompt or a path rather than a name.
LONGEST = 200
_PATH = re.compile(r"(?:[A-Za-z]:)?[\\/]\S+[\\/]|^~|\.\.[\\/]|file:|\b(?:home|Users)[\\/]", re.IGNORECASE)
_MAIL = re.compile(r"\S+@\S+\.\w+")


def public(profile: Profile, measured_by: str = "", hardware: str = "") -> Profile:
    """A calibration as others may see it, with who measured it and on what where they say so; a prior, which is made of stated numbers, as it is."""
    found = {key: value for key, value in profile.provenance.items() if key != "origin" and (profile.kind != "calibrated" or key in KEPT)}
    found |= {key: value for key, value in (("measured_by", measured_by), ("hardware", hardware)) if value}
    # The folders that a checkpoint lies in are nobody's business.
    checkpoint = re.split(r"[\\/]", profile.model.checkpoint)[-1]
    return replace(profile, provenance=found, model=replace(profile.model, checkpoint=checkpoint))


def suspicions(profile: Profile) -> list[str]:
    """What in a profile looks private, in words: other keys than an export has, paths, mail addresses, long texts."""
    said = []
    if profile.kind == "calibrated":
        said += [f"provenance.{key} is not for others: export the profile again" for key in profile.provenance if key not in (*KEPT, "origin")]
    texts = [("model.checkpoint", profile.model.checkpoint), *_texts(profile.provenance, "provenance")]
    for where, text in texts:
        if _PATH.search(text) or (where == "model.checkpoint" and re.search(r"[\\/]", text)):
            said.append(f"{where} looks like a path")
        elif _MAIL.search(text):
            said.append(f"{where} looks like a mail address")
        elif len(text) > LONGEST and profile.kind == "calibrated":
            said.append(f"{where} is longer than {LONGEST} characters")
    return said


def _texts(value: object, where: str) -> list[tuple[str, str]]:
    """All texts in plain JSON values, keys too, with where they stand."""
    if isinstance(value, dict):
        named = [pair for key, one in value.items() for pair in _texts(one, f"{where}.{key}")]
        return [*((f"a key of {where}", key) for key in value), *named]
    if isinstance(value, list):
        return [pair for number, one in enumerate(value) for pair in _texts(one, f"{where}[{number}]")]
    return [(where, value)] if isinstance(value, str) else []
