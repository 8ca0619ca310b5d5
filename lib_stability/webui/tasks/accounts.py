"""Who asks, behind whatever sign-in the host has: ``--api-auth`` where that is set, else the accounts of its page (``--gradio-auth``).

Extensions' routes are covered by neither, so ours look for themselves, at each request.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from ..host import host


@dataclass(frozen=True)
class Caller:
    """Somebody who may talk to the routes: the name signed in with ("" where the host asks for none), and whether that is an account of its API."""

    name: str = ""
    of_api: bool = False


def caller(request: object) -> Caller | None:
    """Who sends a request (of starlette), None where the host has accounts and this is none of them."""
    given, known = _basic(request), api_accounts()
    if known:
        return Caller(given[0], True) if given and _matches(known, *given) else None
    page = _page(request.app)
    accepted = getattr(page, "auth", None) or page_accounts() or None
    if accepted is None and getattr(page, "auth_dependency", None) is None:
        return Caller()
    user = _signed_in(page, request)
    if not user and given and accepted is not None and _accepts(accepted, *given):
        user = given[0]
    return Caller(user) if user else None


def api_accounts() -> dict[str, str]:
    """Names and passwords of ``--api-auth``."""
    return _pairs(getattr(host.command_line(), "api_auth", None) or "")


def page_accounts() -> dict[str, str]:
    """Names and passwords of ``--gradio-auth`` and ``--gradio-auth-path``, for a host that runs without its page."""
    text, path = getattr(host.command_line(), "gradio_auth", None) or "", getattr(host.command_line(), "gradio_auth_path", None)
    if path:
        with open(path, encoding="utf-8") as file:
            text = ",".join([text, *file])
    return _pairs(text)


def _pairs(text: str) -> dict[str, str]:
    found = (pair.strip().partition(":") for pair in text.split(","))
    return {name: password for name, colon, password in found if colon}


def _matches(known: dict[str, str], name: str, password: str) -> bool:
    expected = known.get(name)
    return expected is not None and secrets.compare_digest(password.encode("utf-8", "replace"), str(expected).encode("utf-8", "replace"))


def _accepts(accepted: dict | Callable, name: str, password: str) -> bool:
    """As gradio asks: accounts, or a function that knows."""
    return bool(accepted(name, password)) if callable(accepted) else _matches(accepted, name, password)


def _basic(request: object) -> tuple[str, str] | None:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        decoded = raw.decode("latin-1")
    name, colon, password = decoded.partition(":")
    return (name, password) if colon else None


def _page(app: object) -> object | None:
    """gradio's application: the host's own on every host, or mounted into it."""
    for one in (app, *(getattr(route, "app", None) for route in getattr(app, "routes", ()))):
        if hasattr(one, "tokens") and hasattr(one, "auth"):
            return one
    return None


def _signed_in(page: object | None, request: object) -> str:
    """The user of the page's session cookie, "" without one; asked of gradio's own route, since every version names its cookies anew."""
    ask = next((route.endpoint for route in getattr(page, "routes", ()) if getattr(route, "path", "") == "/user"), None)
    found = ask(request) if ask is not None else None
    return found if isinstance(found, str) else ""
