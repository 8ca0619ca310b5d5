"""A client of the guard's routes in a running web UI, on the standard library alone."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

PREFIX = "/memorization-guard/v1"
#: Seconds: for one answer, between looks at the progress (at first and at most), and for a web UI that does not answer for a while.
TIMEOUT, FIRST_PAUSE, PAUSE, PATIENCE = 120.0, 0.1, 1.0, 60.0
_MOST = 64 * 1024 * 1024


class ClientError(ValueError):
    """The web UI did not do what it was asked to; one line for people."""


class Client:
    """Of one web UI.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:7860``.
    auth : str
        ``user:password`` of ``--api-auth``, or empty.
    patience : float
        For so many seconds a web UI may be unreachable once work has started.
    """

    def __init__(self, url: str, auth: str = "", patience: float = PATIENCE) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ClientError(f"{url!r} is not the address of a web UI, such as http://127.0.0.1:7860")
        self.url, self.patience = url.rstrip("/"), patience
        self._headers = {"Content-Type": "application/json"}
        if auth:
            self._headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"

    def request(self, method: str, path: str, body: dict | None = None) -> dict:
        """One request; the JSON answer.

        Raises
        ------
        ClientError
            The web UI refuses, in its own words.
        ConnectionError
            It does not answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{PREFIX}/{path}", data, self._headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return json.loads(answer.read(_MOST))
        except urllib.error.HTTPError as error:
            raise ClientError(self._said(error)) from None
        except ValueError:
            raise ClientError(f"{self.url} does not answer as a web UI with Memorization Guard does") from None
        except OSError as error:
            raise ConnectionError(f"{self.url} does not answer ({getattr(error, 'reason', error)})") from None

    def _said(self, error: urllib.error.HTTPError) -> str:
        if error.code == 401:
            return f"{self.url} wants --auth user:password"
        try:
            detail = json.loads(error.read(_MOST))["detail"]
        except (ValueError, KeyError, TypeError):
            detail = error.reason
        if error.code == 404 and detail == "Not Found":
            return f"{self.url} has no Memorization Guard; is the extension installed, and the web UI started with --api?"
        return "; ".join(one["msg"] for one in detail) if isinstance(detail, list) else str(detail)

    def follow(self, kind: str, body: dict, tick: Callable[[dict], None] = lambda progress: None) -> dict:
        """Start a calibration ("calibrate") or a scan ("scan"), wait for it, and return its result; Ctrl-C cancels it there, too."""
        ident = self.request("POST", kind, body)["id"]
        pause, heard = FIRST_PAUSE, time.monotonic()
        try:
            while True:
                time.sleep(pause)
                pause = min(pause * 1.3, PAUSE)
                try:
                    progress = self.request("GET", kind)
                except ConnectionError:
                    if time.monotonic() - heard > self.patience:
                        raise
                    continue
                heard = time.monotonic()
                if progress["id"] != ident:
                    raise ClientError("someone else started another one meanwhile")
                tick(progress)
                if progress["state"] == "done":
                    return progress["result"]
                if progress["state"] != "running":
                    raise ClientError(f"{progress['state']}: {progress['error']}")
        except KeyboardInterrupt:
            self.request("DELETE", kind)
            raise
