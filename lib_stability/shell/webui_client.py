"""A client of the guard's routes in a running web UI, which need not be a friendly one: its answers are bounded, and checked by whoever asks."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from ..trail.audit import plain
from . import webui_answers
from .webui_answers import ClientError, Failed

PREFIX = "/memorization-guard/v1"
#: Seconds: for one whole answer, between looks at the progress (at first and at most), and for a web UI that does not answer for a while.
TIMEOUT, FIRST_PAUSE, PAUSE, PATIENCE = 120.0, 0.1, 1.0, 60.0
#: Bytes of an answer, characters of what is shown of one, and redirects within the web UI that are followed.
_MOST, _SHOWN, _TURNS = 64 * 1024 * 1024, 300, 3


def address(text: str) -> tuple[str, tuple[str, str] | None]:
    """Base address and, where it holds them, name and password, of an address as a browser shows or copies it.

    Raises
    ------
    ClientError
        It is none; without any password that it may hold.
    """
    whole = text.strip() if "://" in text else f"http://{text.strip()}"
    try:
        parts = urlsplit(whole)
        parts.port  # noqa: B018 - raises where it is no number
        place = parts.netloc.rpartition("@")[2]
        if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch(r"[\w.:\[\]%-]+", place):
            raise ValueError(whole)
    except ValueError:
        shown = plain(text.strip().rpartition("@")[2])[:_SHOWN]
        raise ClientError(f"{shown!r} is not the address of a web UI, such as http://127.0.0.1:7860") from None
    account = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return f"{parts.scheme}://{place}{parts.path.rstrip('/')}", account


class Client:
    """Of one web UI.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:7860``, or as copied from a browser.
    auth : str
        ``user:password`` of the web UI's ``--api-auth`` or ``--gradio-auth``; empty for what the address holds.
    patience : float
        For so many seconds a web UI may be unreachable once work has started.
    timeout : float
        Seconds for one whole answer.
    """

    def __init__(self, url: str, auth: str = "", patience: float = PATIENCE, timeout: float = TIMEOUT) -> None:
        self.url, account = address(url)
        if auth:
            name, _, password = auth.partition(":")
            account = name, password
        self.patience, self.timeout = patience, timeout
        # A function that adds nothing keeps requests from looking for passwords of its own.
        self._auth = tuple(one.encode() for one in account) if account else lambda request: request
        try:
            import requests
        except ModuleNotFoundError:
            raise ClientError("talking to a web UI needs the library requests: pip install requests") from None

        class Session(requests.Session):
            def get_redirect_target(self, response: object) -> None:
                """None: where to go on is decided here."""

        self._requests, self._session = requests, Session

    def request(self, method: str, path: str, body: dict | None = None) -> dict:
        """One request; the JSON answer. `path` is one of the guard's routes, or one of the web UI's own where it begins with a slash.

        Raises
        ------
        ClientError
            The web UI refuses, in its own words, or sends to another address.
        ConnectionError
            It does not answer, or not in time.
        """
        data = None if body is None else json.dumps(body).encode()
        try:
            status, reason, content = self._in_time(
                lambda: self._exchange(method, f"{self.url}{path if path.startswith('/') else f'{PREFIX}/{path}'}", data)
            )
        except self._requests.RequestException as error:
            raise ConnectionError(f"{self.url} does not answer ({self._why(error)})") from None
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        if status >= 400:
            raise ClientError(self._said(status, reason, answer))
        if not isinstance(answer, (dict, list) if path.startswith("/") else dict):
            raise ClientError(f"{self.url} does not answer as a web UI with Memorization Guard does")
        return answer

    def _in_time(self, work: Callable[[], tuple]) -> tuple:
        """In a thread that is left behind when time is up: a server that sends a byte now and then outlasts any time limit of a socket."""
        found: queue.SimpleQueue = queue.SimpleQueue()

        def run() -> None:
            try:
                found.put((work(), None))
            except BaseException as error:
                found.put((None, error))

        threading.Thread(target=run, daemon=True).start()
        try:
            result, error = found.get(timeout=self.timeout)
        except queue.Empty:
            raise ConnectionError(f"{self.url} does not answer (nothing whole in {self.timeout:g} seconds)") from None
        if error is not None:
            raise error
        return result

    def _exchange(self, method: str, url: str, data: bytes | None) -> tuple[int, str, bytes]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        options = {"auth": self._auth, "timeout": self.timeout, "stream": True}
        for _ in range(_TURNS + 1):
            with self._session() as session, session.request(method, url, data=data, headers=headers, **options) as answer:
                if answer.status_code not in (301, 302, 303, 307, 308):
                    return answer.status_code, answer.reason or "", self._whole(answer)
                target = urljoin(url, answer.headers.get("Location", ""))
                if not _is_same(urlsplit(url), urlsplit(target)):
                    raise ClientError(f"{self.url} sends elsewhere, to {_place(target)}; give that address if it is the web UI's")
                url = target
        raise ClientError(f"{self.url} sends in circles")

    def _whole(self, answer: object) -> bytes:
        content = bytearray()
        for part in answer.iter_content(65536):
            content += part
            if len(content) > _MOST:
                raise ClientError(f"{self.url} answers with more than {_MOST} bytes")
        return bytes(content)

    def _why(self, error: Exception) -> str:
        kinds = self._requests.exceptions
        if isinstance(error, kinds.Timeout):
            return f"nothing in {self.timeout:g} seconds"
        if isinstance(error, kinds.SSLError):
            return "its certificate is not accepted"
        said = plain(str(error).rpartition(": ")[2].strip("'\")"))[:_SHOWN] or type(error).__name__
        return said + ")" * (said.count("(") - said.count(")"))

    def _said(self, status: int, reason: str, answer: object) -> str:
        if status == 401:
            return f"{self.url} wants --auth user:password"
        detail = answer.get("detail") if isinstance(answer, dict) else None
        if status == 404 and detail == "Not Found":
            return f"{self.url} has no Memorization Guard; is the extension installed, and the web UI started with --api?"
        if isinstance(detail, list):
            detail = "; ".join(str(one.get("msg", "")) for one in detail if isinstance(one, dict))
        return plain(detail or reason or f"status {status}")[:_SHOWN]

    def follow(self, kind: str, body: dict, tick: Callable[[dict], None] = lambda progress: None) -> dict:
        """Start a calibration ("calibrate") or a scan ("scan"), wait for it, and return its result; Ctrl-C cancels it there, too."""
        ident = webui_answers.ident(self.request("POST", kind, body))
        pause, heard = FIRST_PAUSE, time.monotonic()
        try:
            while True:
                time.sleep(pause)
                pause = min(pause * 1.3, PAUSE)
                try:
                    progress = webui_answers.progress(self.request("GET", kind))
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
                if progress["state"] == "failed":
                    raise Failed(progress["error"])
                if progress["state"] != "running":
                    raise ClientError(f"{progress['state']}: {progress['error']}")
        except KeyboardInterrupt:
            with suppress(ClientError, OSError):
                self.request("DELETE", kind)
            raise


def _is_same(old: SplitResult, new: SplitResult) -> bool:
    """Whether a redirect stays at the web UI: the same place, or the same name by https instead of http."""
    try:
        ports = [one.port or {"http": 80, "https": 443}.get(one.scheme) for one in (old, new)]
    except ValueError:
        return False
    if new.hostname != old.hostname:
        return False
    return (old.scheme, ports[0]) == (new.scheme, ports[1]) or (old.scheme, new.scheme, ports[0], ports[1]) == ("http", "https", 80, 443)


def _place(url: str) -> str:
    """Scheme and host of an address, for people."""
    parts = urlsplit(url)
    return plain(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")[:_SHOWN]
