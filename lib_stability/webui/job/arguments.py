"""From what the page or an API client hands over to Settings: positions as in the page, one dict, a bare bool, fewer or more of them."""

from __future__ import annotations

from dataclasses import asdict, fields

from ...profile.profiles import AUTO
from ...trail.infotext import Settings
from ...validation import Field

#: The page's controls in the order of their positional arguments.
POSITIONS = ("enabled", "mode", "sensitivity", "tau", "damping", "strength", "profile", "probe", "probe_evaluations", "again", "tries")
FIELDS = tuple(field.name for field in fields(Settings))
_TRUTHS = {"true": True, "false": False}
_SWITCHES = ("enabled", "again")
_WORDS = ("mode", "sensitivity", "damping", "probe")


def _tidy(name: str, value: object) -> object:
    """Words in any case, as labels of the page are; a truth value may be written as a text, as some clients do."""
    if isinstance(value, str):
        if name in _SWITCHES:
            return _TRUTHS.get(value.strip().lower(), value)
        if name in _WORDS:
            return value.strip().lower()
        if name == "profile" and value.strip().lower() == AUTO.lower():
            return AUTO
    return value


def parse(args: tuple | list, base: Settings = Settings()) -> Settings:
    """Settings from positional arguments.

    The first may be a dict of fields instead (which turns the guard on unless it says otherwise), or a bool alone; missing ones and None take
    the value of `base`, those beyond the known positions are another version's and ignored.

    Raises
    ------
    ValidationError
        Naming the field.
    """
    values = asdict(base)
    positional = dict(zip(POSITIONS, args))
    given = positional.get("enabled")
    if isinstance(given, dict):
        del positional["enabled"]
    values |= {name: _tidy(name, value) for name, value in positional.items() if value is not None}
    if isinstance(given, dict):
        unknown = [key for key in given if key not in FIELDS]
        if unknown:
            Field(None, repr(unknown[0])[:60]).fail(f"is not a setting; there are {', '.join(FIELDS)}")
        values |= {"enabled": True, **{name: _tidy(name, value) for name, value in given.items()}}
    return Settings(**values)
