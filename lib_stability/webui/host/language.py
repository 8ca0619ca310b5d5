"""The language that the web UI is set to, and texts in it.

The hosts translate a page by an exact match of whole texts, from ``localizations/<name>.json`` of every extension, in the browser. That serves
labels and choices. What carries numbers or names is put together here, by the same file: its keys are the English texts of :mod:`.texts`, places for
values included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ...sentences import Figure, Sentence, reason
from . import host

log = logging.getLogger(__name__)
FOLDER = Path(__file__).resolve().parents[3] / "localizations"


#: How a language writes the marks of an English number, by the first two letters of its name; those that are not here write them as English does.
_MARKS = {"de": str.maketrans(",.", ".,")}


def say(text: str, /, **values: object) -> str:
    """One of :mod:`.texts`, or a sentence of another room's, in the page's language, the values put in; English where that language is not there."""
    if isinstance(text, Sentence):
        text, values = text.text, {**text.values, **values}
    found = _table(_chosen()).get(text, text)
    return found.format(**{name: _value(one) for name, one in values.items()}) if values else found


def _value(value: object) -> object:
    """What stands in a sentence: another one, a number, or what is the same in every language."""
    return say(value) if isinstance(value, Sentence) else number(value) if isinstance(value, Figure) else value


def told(error: BaseException) -> str:
    """What an error says, in the page's language where it was raised with a sentence."""
    return say(reason(error))


def number(text: str) -> str:
    """A number, written in English, as the page's language writes it."""
    return text.translate(_MARKS.get(_short(_chosen()), {})) if _table(_chosen()) else text


def joined(sentences: Iterable[str]) -> str:
    """Sentences one after the other; after a full stop as wide as a letter, as Chinese has it, no space follows."""
    said = ""
    for one in filter(None, sentences):
        said += (" " if said and not said.endswith(("。", "！", "？")) else "") + one
    return said


def _chosen() -> str:
    return str(getattr(host.opts(), "localization", None) or "")


def files() -> list[Path]:
    """The translations that come with the extension."""
    return sorted(FOLDER.glob("*.json"))


@lru_cache(maxsize=32)
def _table(name: str) -> dict[str, str]:
    """The translation of this name, else one of the same language: other extensions call theirs ``zh-Hans (Stable)``."""
    found = files()
    same = [one for one in found if one.stem == name] or [one for one in found if name and _short(one.stem) == _short(name)]
    try:
        return json.loads(same[0].read_text(encoding="utf-8")) if same else {}
    except (OSError, ValueError):
        log.warning("Memorization Guard: %s cannot be read, the page stays English", same[0].name)
        return {}


def _short(name: str) -> str:
    return name[:2].lower() if name[2:3] in ("", "_", "-", " ") else name.lower()
