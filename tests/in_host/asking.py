"""Asks a host's application for things, as whoever the headers say."""

from __future__ import annotations

import base64
import json

import launch
from starlette.testclient import TestClient

PREFIX = "/memorization-guard/v1"
JSON = {"content-type": "application/json"}


def basic(account: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(account.encode()).decode()}


class Asker:
    """A client of an application of its own; what the page is asked for goes to the handler of a button."""

    def __init__(self, host, accounts: list[tuple[str, str]] | None = None) -> None:
        self.host = host
        self.client = TestClient(launch.application(host, accounts), base_url="http://127.0.0.1:7860", raise_server_exceptions=True)

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, object]:
        """Status and answer; a body that is no bytes is sent as JSON."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {}
        if body is not None:
            sent["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
            if not isinstance(body, bytes):
                headers = JSON | headers
        answer = self.client.request(method, path if path.startswith("/") else f"{PREFIX}/{path}", headers=headers, **sent)
        return answer.status_code, answer.json() if answer.content else None

    def sign_in(self, name: str, password: str) -> None:
        """On the page's own form; the session's cookie stays with the client."""
        assert self.client.post("/login", data={"username": name, "password": password}).status_code == 200

    def press(self, button: str, *values: object, request: dict | None = None, **headers: str) -> tuple[int, object]:
        """What a handler outside of the queue answers to the button of the tab with this name."""
        config = self.host.demo.config
        ident = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == f"memorization_guard_tab_{button}")
        for number, one in enumerate(config["dependencies"]):
            targets = [(target if isinstance(target, int) else target[0]) for target in one["targets"]]
            if ident in targets:
                body = {"fn_index": one.get("id", number), "data": list(values), "session_hash": "here", "request": request}
                return self("POST", "/run/predict", {key: value for key, value in body.items() if value is not None}, **headers)
        raise KeyError(button)
