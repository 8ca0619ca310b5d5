"""A language that nobody speaks: the page's texts in Cyrillic letters, one for each Latin one. What is read in Latin ones was never translated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser

from lib_stability.webui.host import language, texts

#: Name of that language in the host's settings.
NAME = "made up"
_LETTERS = {ord(one): 0x430 + number for number, one in enumerate("abcdefghijklmnopqrstuvwxyz")}
_LETTERS |= {ord(one): 0x410 + number for number, one in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def translated(text: str) -> str:
    """A text in that language, its places for values as they are."""
    return "".join(part if part.startswith("{") else part.translate(_LETTERS) for part in re.split(r"(\{\w*\})", text))


def speak(monkeypatch, options) -> None:
    """Set the web UI to that language."""
    table = {text: translated(text) for text in texts.everything()}
    monkeypatch.setattr(language, "_table", lambda name: table if name == NAME else {})
    options.set("localization", NAME)


class _Read(HTMLParser):
    """What a person reads of a page's HTML: its texts, and those that show where the pointer rests or are read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self._style = tag == "style"
        self.found += [value for name, value in attributes if name in ("title", "alt", "aria-label", "placeholder") and value]

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.found.append(data)


def read(html: str) -> list[str]:
    reader = _Read()
    reader.feed(html)
    reader.close()
    return [text.strip() for text in reader.found if text.strip()]


def english(html: str, data: Iterable[str] = ()) -> list[str]:
    """Texts of some HTML that hold words which nobody has translated, beside names and other `data` of the user's own.

    A text that is one of ours as a whole is the host's to translate, in the browser.
    """
    known, left = set(texts.everything()), []
    for text in read(html):
        rest = text
        for one in sorted(filter(None, map(str, data)), key=len, reverse=True):
            rest = rest.replace(one, "·")
        if text not in known and re.search("[A-Za-z]{2}", rest):
            left.append(text)
    return left
