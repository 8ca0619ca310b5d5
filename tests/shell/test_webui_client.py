"""The client of a running web UI: what it makes of answers, silence and Ctrl-C."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib_stability.shell import cli, webui_client
from lib_stability.shell.webui_client import Client, ClientError, address


@contextmanager
def serving(name: str = "127.0.0.1"):
    """A server that gives out prepared answers in turn, the last one for ever: its address, the list of answers, and what was asked."""
    answers, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.command, self.path, self.headers.get("Authorization"), self.rfile.read(length)))
            status, body, *headers = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(body):
                body(self)
                return
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://{name}:{server.server_port}", answers, asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def served():
    with serving() as found:
        yield found


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


# -- addresses ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "base", "account"),
    [
        ("http://127.0.0.1:7860", "http://127.0.0.1:7860", None),
        ("http://127.0.0.1:7860/?__theme=dark", "http://127.0.0.1:7860", None),
        ("http://127.0.0.1:7860/#tab_memorization_guard", "http://127.0.0.1:7860", None),
        ("  http://127.0.0.1:7860//\n", "http://127.0.0.1:7860", None),
        ("http://web.example/sd/?__theme=light", "http://web.example/sd", None),
        ("https://anna:s%40cret@web.example", "https://web.example", ("anna", "s@cret")),
        ("https://anna:a:b@web.example:8443/?x=1", "https://web.example:8443", ("anna", "a:b")),
        ("https://anna@web.example", "https://web.example", ("anna", "")),
        ("http://[::1]:7860/", "http://[::1]:7860", None),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", None),
        ("localhost:7860/?__theme=dark", "http://localhost:7860", None),
    ],
)
def test_addresses_as_a_browser_copies_them(text, base, account):
    assert address(text) == (base, account)


NO_ADDRESSES = """
http://
ftp://anna:secret@x
http://anna:secret@
http://anna:secret@x:port
http://anna:sec/ret@x
http://anna:sec?ret@x y
//anna:secret@x y
http://anna:secret@x\x1b[31m
anna:secret@x:99999999
http://anna:secret@[::1
"""


@pytest.mark.parametrize("text", NO_ADDRESSES.split("\n")[1:])
def test_what_is_no_address_is_said_without_its_password(text):
    with pytest.raises(ClientError) as error:
        address(text)
    assert "is not the address of a web UI" in str(error.value) and "sec" not in str(error.value) and "\x1b" not in str(error.value)


def test_an_address_with_query_and_account_is_asked_rightly(served):
    url, answers, asked = served
    answers.append((200, {"ok": 1}))
    assert Client(url.replace("//", "//anna:s%3Acret@") + "/?__theme=dark").request("GET", "profiles") == {"ok": 1}
    assert asked[0][1:3] == ("/memorization-guard/v1/profiles", "Basic YW5uYTpzOmNyZXQ=")
    Client(url.replace("//", "//eve:x@"), "anna:s:cret").request("GET", "profiles")
    assert asked[1][2] == "Basic YW5uYTpzOmNyZXQ="


def test_a_password_is_in_no_error(served, tmp_path, capsys):
    url, answers, _ = served
    captions = tmp_path / "captions.txt"
    captions.write_text("a cat")
    secret = url.replace("//", "//anna:secret@")
    closed = "http://anna:secret@127.0.0.1:9"
    for status, body in ((401, {}), (403, {"detail": "no"}), (404, {"detail": "Not Found"}), (500, b"<html>"), (200, b"<html>"), (302, b"")):
        answers[:] = [(status, body)]
        assert cli.main(["scan", str(captions), "--out", str(tmp_path / "out"), "--webui-url", secret]) == 2
    assert cli.main(["scan", str(captions), "--out", str(tmp_path / "out"), "--webui-url", closed]) == 2
    said = capsys.readouterr()
    assert said.err.count("127.0.0.1") >= 5 and "secret" not in said.out + said.err


def test_no_password_is_looked_for_elsewhere(served, tmp_path, monkeypatch):
    url, answers, asked = served
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password other")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    answers.append((200, {}))
    Client(url).request("GET", "profiles")
    assert asked[0][2] is None


# -- redirects ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_to_another_host_is_refused(served, status, method):
    """With the password on the request; both are named."""
    url, answers, _ = served
    with serving("localhost") as (other, theirs, heard):
        theirs.append((200, {"id": "1"}))
        answers.append((status, b"", ("Location", f"{other.replace('//', '//eve:hidden@')}/memorization-guard/v1/scan")))
        with pytest.raises(ClientError) as error:
            Client(url, "anna:secret").request(method, "scan", {} if method == "POST" else None)
        assert url in str(error.value) and other in str(error.value) and "hidden" not in str(error.value) and heard == []


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:1/", "https://127.0.0.1/", "//web.example/x", "ftp://127.0.0.1/", "http://127.0.0.1:port/", "file:///etc/passwd"]
)
def test_another_port_or_scheme_is_another_place(served, location):
    url, answers, asked = served
    answers.append((307, b"", ("Location", location)))
    with pytest.raises(ClientError, match="sends elsewhere"):
        Client(url, "anna:secret").request("GET", "profiles")
    assert len(asked) == 1


def test_a_redirect_within_the_web_ui_is_followed_a_few_times(served):
    url, answers, asked = served
    answers += [(307, b"", ("Location", "/sub/memorization-guard/v1/scan")), (202, {"id": "1"})]
    assert Client(url, "anna:secret").request("POST", "scan", {"a": 1}) == {"id": "1"}
    assert [(one[0], one[1], json.loads(one[3])) for one in asked] == [
        ("POST", f"{part}/memorization-guard/v1/scan", {"a": 1}) for part in ("", "/sub")
    ]
    answers[:] = [(307, b"", ("Location", "/again"))]
    with pytest.raises(ClientError, match="in circles"):
        Client(url).request("GET", "profiles")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("http://web.example/x", "https://web.example/x", True),
        ("http://web.example:7860/x", "https://web.example/x", False),
        ("https://web.example/x", "http://web.example/x", False),
        ("https://web.example/x", "https://web.example:443/y", True),
        ("https://web.example/x", "https://web.example.evil/x", False),
        ("https://web.example/x", "https://WEB.example/x", True),
    ],
)
def test_what_is_the_same_place(old, new, same):
    assert webui_client._is_same(webui_client.urlsplit(old), webui_client.urlsplit(new)) is same


# -- hostile answers ---------------------------------------------------------------------------------------------------------------------


def dripping(handler) -> None:
    """A byte now and then, with no end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(100):
        try:
            handler.wfile.write(b" ")
        except OSError:
            return
        time.sleep(0.1)


def endless(handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(b" " * 65536)


def test_an_answer_is_bounded_in_time_and_size(served, monkeypatch):
    url, answers, _ = served
    answers.append((200, dripping))
    began = time.monotonic()
    with pytest.raises(ConnectionError, match="nothing whole in"):
        Client(url, timeout=0.5).request("GET", "profiles")
    assert time.monotonic() - began < 3
    monkeypatch.setattr(webui_client, "_MOST", 1_000_000)
    answers[:] = [(200, endless)]
    with pytest.raises(ClientError, match="more than"):
        Client(url).request("GET", "profiles")


def test_a_packed_answer_is_not_asked_for_and_bounded(served, monkeypatch):
    url, answers, _ = served
    monkeypatch.setattr(webui_client, "_MOST", 1_000_000)
    answers.append((200, gzip.compress(b" " * 50_000_000), ("Content-Encoding", "gzip")))
    with pytest.raises(ClientError, match="more than"):
        Client(url).request("GET", "profiles")


ESCAPE = "\x1b]0;x\x07\x1b[2J\u202egnp\r\n\ud800"


@pytest.mark.parametrize(
    "first",
    [
        (422, {"detail": [{"msg": ESCAPE}, 7, {"msg": [ESCAPE]}]}),
        (409, {"detail": ESCAPE}),
        (500, {"detail": {"a": ESCAPE}}),
        (202, {"id": 7}),
        (202, {"id": ["x"]}),
        (202, {}),
        (202, [1]),
        (202, b"[" * 200_000),
        (202, b'{"id": NaN'),
        (202, "x"),
        (202, b"\xff\xfe\xfa"),
    ],
)
def test_nonsense_is_refused_in_one_line_without_control_characters(served, first):
    url, answers, _ = served
    answers.append(first)
    with pytest.raises(ClientError) as error:
        Client(url).follow("scan", {})
    assert str(error.value) and str(error.value).isprintable() and len(str(error.value)) < 500


@pytest.mark.parametrize(
    "second",
    [
        {"done": "9"},
        {"total": 1e400},
        {"state": 7},
        {"note": ["x"]},
        {"seconds_left": "soon"},
        {"state": ESCAPE, "error": ESCAPE},
        {"done": True},
        {"total": -1},
    ],
)
def test_progress_that_is_none(served, second):
    url, answers, _ = served
    body = {**progress("running")[1], **second}
    answers += [(202, {"id": "1"}), (200, json.dumps(body).encode())]
    with pytest.raises(ClientError) as error:
        Client(url).follow("scan", {})
    assert str(error.value).isprintable()


GOOD = {"caption": "a cat", "scores": [0.5, None], "median": 0.5, "max": 0.5, "above": 0, "verdict": "stable"}
ABOUT = {"profile": "P", "checkpoint": "c", "sensitivity": "medium", "threshold": 2.5, "seeds": 2, "size": "64x64"}


def scanned(served, tmp_path, rows: object, **about) -> int:
    url, answers, _ = served
    (tmp_path / "captions.txt").write_text("a cat", encoding="utf-8")
    result = {**ABOUT, **about, "rows": rows}
    answers += [(202, {"id": "1"}), (200, json.dumps({**progress("done")[1], "result": result}).encode())]
    return cli.main(["scan", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out"), "--webui-url", url])


SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    "spoiled",
    [
        {"above": SCRIPT},
        {"verdict": SCRIPT},
        {"caption": SCRIPT},
        {"scores": [SCRIPT]},
        {"scores": SCRIPT},
        {"median": SCRIPT},
        {"max": SCRIPT},
        {"median": 1e300},
        {"scores": [0.0] * 1000},
        {"above": -1},
        {"caption": "another cat"},
    ],
)
def test_rows_that_are_none_write_nothing(served, tmp_path, capsys, spoiled):
    assert scanned(served, tmp_path, [{**GOOD, **spoiled}]) == 2
    said = capsys.readouterr()
    assert "makes no sense" in said.err and len(said.err.strip().splitlines()) == 1 and not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("rows", [None, [], [GOOD, GOOD], {}, [7], "x"])
def test_rows_have_to_be_those_asked_for(served, tmp_path, rows):
    assert scanned(served, tmp_path, rows) == 2 and not list((tmp_path / "out").glob("*"))


def test_texts_of_a_scan_are_shown_as_texts(served, tmp_path, capsys):
    assert scanned(served, tmp_path, [GOOD], profile=ESCAPE + SCRIPT, checkpoint=ESCAPE) == 0
    said, page = capsys.readouterr(), (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert all(line.isprintable() for line in said.out.splitlines()) and "<script" not in page and "\x1b" not in page + said.err


def test_a_spoiled_file_of_results_is_gone_on_from_without_what_makes_no_sense(served, tmp_path):
    asked = {"seeds": 4, "width": 0, "height": 0, "sensitivity": "", "profile": ""}
    bad = [{"asked": asked, "about": ABOUT, "row": {**GOOD, "above": SCRIPT}}, {"asked": asked, "about": {**ABOUT, "threshold": SCRIPT}, "row": GOOD}]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scan.jsonl").write_text("\n".join(["[" * 100_000, *map(json.dumps, bad)]))
    assert scanned(served, tmp_path, [GOOD]) == 0
    assert "<script" not in (tmp_path / "out" / "scan.html").read_text()


CALIBRATED = {
    "profile": "P",
    "runs": 20,
    "left_out": ["a copy"],
    "warning": "Only 20",
    "levels": {"watch": {"low": {"threshold": 3.0, "measured": 0.01}}, "probe": {}},
}


@pytest.mark.parametrize(
    ("spoiled", "status"),
    [
        ({}, 0),
        ({"profile": ESCAPE, "left_out": [ESCAPE], "warning": ESCAPE, "levels": {ESCAPE: {ESCAPE: {"threshold": 1, "measured": 0}}}}, 0),
        ({"levels": {"watch": {"low": {"threshold": SCRIPT, "measured": 0}}}}, 2),
        ({"levels": 7}, 2),
        ({"left_out": "x"}, 2),
        ({"runs": "x"}, 2),
    ],
)
def test_what_a_calibration_says_is_checked(served, capsys, spoiled, status):
    url, answers, _ = served
    done = json.dumps({**progress("done")[1], "result": {**CALIBRATED, **spoiled}}).encode()
    answers += [(404, {"detail": "Not Found"}), (202, {"id": "1"}), (200, done)]  # no outlook: an older extension
    assert cli.main(["calibrate", "--webui-url", url, "--runs", "20"]) == status
    said = capsys.readouterr()
    assert all(line.isprintable() for line in (said.out + said.err).splitlines())


@pytest.mark.parametrize(
    "spoiled", [{"changes": "\x1b[2J"}, {"changes": None}, {"calibrations": "many"}, {"changes": [{}]}], ids=lambda one: str(one)[:20]
)
def test_what_a_calibration_would_displace_is_checked_too(served, capsys, spoiled):
    url, answers, _ = served
    answers += [(200, {"changes": ["nothing"], "calibrations": 0, **spoiled})]
    assert cli.main(["calibrate", "--webui-url", url, "--runs", "20"]) == 2
    said = capsys.readouterr().err
    assert "makes no sense" in said and all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_a_console_cannot_show_ends_no_scan(served, tmp_path, encoding):
    url, answers, _ = served
    (tmp_path / "captions.txt").write_text("猫 の 写真", encoding="utf-8")
    result = {**ABOUT, "rows": [{**GOOD, "caption": "猫 の 写真"}], "profile": "Prüfung → ✓"}
    answers += [(202, {"id": "1"}), (200, {**progress("done")[1], "result": result})]
    command = [sys.executable, "-m", "lib_stability", "scan", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out"), "--webui-url", url]
    done = subprocess.run(command, capture_output=True, timeout=120, env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"Written to" in done.stdout and "猫 の 写真" in (tmp_path / "out" / "scan.csv").read_text(encoding="utf-8")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(ClientError, match="pip install requests"):
        Client("http://127.0.0.1:7860")
