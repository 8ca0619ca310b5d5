"""The client of a running web UI: what it makes of answers, silence and Ctrl-C."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lib_stability.shell.webui_client import Client, ClientError


@pytest.fixture
def served():
    """A server that gives out prepared answers in turn, the last one for ever: its address, the list of answers, and what was asked."""
    answers, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, self.headers.get("Authorization"), self.rfile.read(length)))
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers, asked
    server.shutdown()
    server.server_close()
    thread.join()


def progress(state: str, **more) -> tuple[int, dict]:
    return 200, {"id": "1", "state": state, "done": 1, "total": 2, "error": "", "result": None, **more}


def test_following_to_the_end(served):
    url, answers, asked = served
    answers += [(202, {"id": "1"}), progress("running"), progress("done", result={"a": 1})]
    seen = []
    assert Client(url, "anna:s:cret").follow("scan", {"captions": ["é"]}, lambda now: seen.append(now["state"])) == {"a": 1}
    assert seen == ["running", "done"] and [one[0] for one in asked] == ["POST", "GET", "GET"]
    assert asked[0][2] == "Basic YW5uYTpzOmNyZXQ=" and json.loads(asked[0][3]) == {"captions": ["é"]}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"detail": "no"}), "wants --auth"),
        ((404, {"detail": "Not Found"}), "no Memorization Guard"),
        ((409, {"detail": "a scan is running"}), "a scan is running"),
        ((422, {"detail": [{"msg": "runs: has to be a whole number"}]}), "runs: has to be"),
        ((500, b"<html>"), "Internal Server Error"),
        ((200, b"<html>"), "does not answer as a web UI"),
    ],
)
def test_refusals_in_one_line(served, answer, said):
    url, answers, _ = served
    answers.append(answer)
    with pytest.raises(ClientError, match=said):
        Client(url).follow("calibrate", {})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (progress("failed", error="out of memory"), "failed: out of memory"),
        (progress("cancelled", error="interrupted in the web UI"), "cancelled: interrupted"),
        (progress("running", id="2"), "someone else"),
    ],
)
def test_work_that_comes_to_nothing(served, answer, said):
    url, answers, _ = served
    answers += [(202, {"id": "1"}), answer]
    with pytest.raises(ClientError, match=said):
        Client(url).follow("calibrate", {})


def test_interrupting_cancels_there_too(served):
    url, answers, asked = served
    answers += [(202, {"id": "1"}), progress("running")]

    def interrupt(now: dict) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Client(url).follow("calibrate", {}, interrupt)
    assert asked[-1][0] == "DELETE"


def test_silence_ends_after_a_while(served, monkeypatch):
    url, answers, _ = served
    answers += [(202, {"id": "1"}), progress("running")]
    client = Client(url, patience=0.3)
    real = client.request

    def request(method: str, *rest) -> dict:
        if method == "GET":
            raise ConnectionError("gone")
        return real(method, *rest)

    monkeypatch.setattr(client, "request", request)
    with pytest.raises(ConnectionError):
        client.follow("calibrate", {})
