"""Who may change what the guard judges by: a page of another site never; where the web UI is open to others its administrator alone.

Administrator is whoever reaches a web UI that is not open to others; elsewhere an account of ``--api-auth``, which the host lets change
everything anyway, and who the environment variable :data:`NAMED` names. That is set where the web UI is started, out of reach of its page.
"""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import SplitResult, urlsplit

from ...sentences import Sentence
from ..host import host, texts
from . import folders

#: Names of accounts of the page, separated by commas; :data:`LOCAL` stands for whoever sits at the web UI's own machine.
NAMED, LOCAL = "MEMORIZATION_GUARD_ADMINISTRATORS", "@local"
NOT_YOURS = Sentence(texts.ROLES["not yours"], variable=NAMED, command="python -m lib_stability profiles --help", file="SECURITY.md")
FROM_ELSEWHERE = Sentence(texts.ROLES["elsewhere"], option="--cors-allow-origins")
#: What tells that somebody stands between the web UI and who asks.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip")
_NAMES = ("localhost", "127.0.0.1", "::1")


def is_administrator(name: str, of_api: bool, request: object | None) -> bool:
    """Whether the account `name` ("" for none), asking by `request` (of starlette, None for nobody's), may calibrate, import and delete."""
    if not folders.shared() or of_api:
        return True
    named = {one.strip() for one in os.environ.get(NAMED, "").split(",")} - {""}
    return (bool(name) and name in named - {LOCAL}) or (LOCAL in named and request is not None and is_local(request))


def is_local(request: object) -> bool:
    """Whether a request comes from the web UI's own machine, as far as that can be told: not through a tunnel or a proxy that says so."""
    options, client = host.command_line(), getattr(request.client, "host", "")
    if any(getattr(options, name, None) for name in ("share", "ngrok")) or any(name in request.headers for name in _FORWARDED):
        return False
    return _is_loopback(client) and _address(f"//{request.headers.get('host', '')}").hostname in _NAMES


def _address(text: str) -> SplitResult:
    """The parts of an address; empty ones of what is none."""
    try:
        return urlsplit(text)
    except ValueError:
        return urlsplit("")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_foreign(headers: object) -> bool:
    """Whether a browser says that a page of another site sends these headers. What sends neither header is no browser."""
    origin, fetched = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and _is_named(origin):
        return False
    if fetched is not None:  # no page can forge it, and a proxy may have changed the host
        return fetched not in ("same-origin", "none")
    return origin is not None and (_address(origin).netloc.lower() or None) != headers.get("host", "").lower()


def _is_named(origin: str) -> bool:
    options = host.command_line()
    pattern = getattr(options, "cors_allow_origins_regex", None)
    named = {one.strip() for one in (getattr(options, "cors_allow_origins", None) or "").split(",")} - {"", "*", "null"}
    return origin in named or bool(pattern and re.fullmatch(pattern, origin))


def strange(asked: object | None) -> str:
    """Why a button of the page was not pressed there, "" where it was.

    `asked` is gradio's request, None where no page asks. In old versions a client may make one up, headers, address and all; only one that holds
    the web server's own request says where it comes from.
    """
    real = getattr(asked, "request", None)
    return FROM_ELSEWHERE if asked is not None and (real is None or isinstance(real, dict) or is_foreign(real.headers)) else ""


def refusal(asked: object | None) -> str:
    """Why who pressed a button of the page may not change profiles, "" where they may."""
    if strange(asked):
        return strange(asked)
    name = (getattr(asked, "username", None) if asked is not None else None) or ""
    return "" if is_administrator(name, False, getattr(asked, "request", None)) else NOT_YOURS
