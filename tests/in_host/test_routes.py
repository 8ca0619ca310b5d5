"""The routes against whom they are not for: pages of other sites, visitors, bodies that are made to break them."""

from __future__ import annotations

import json

import pytest
from asking import JSON, Asker, basic
from test_calibrating import SMALL, folder  # noqa: F401

from lib_stability.webui.job import last_job
from lib_stability.webui.tasks import api_jobs, roles

GRADIO = [("anna", "secret"), ("bert", "secret")]
SPOILED = {"runs": 40, "steps": 6, "prompts": ["a memorized caption"]}
CALIBRATE, T2I = "calibrate", "/sdapi/v1/txt2img"


@pytest.fixture
def command(host, monkeypatch):
    """Sets options of the command line for a test."""
    monkeypatch.delenv(roles.NAMED, raising=False)

    def command(**options: object) -> None:
        for name, value in options.items():
            monkeypatch.setattr(host.shared.cmd_opts, name, value, raising=False)

    return command


@pytest.fixture
def started(monkeypatch):
    """What is started, without any of it running."""
    seen = []

    class Task:
        id, state, waits = "1", "running", 0

        def start(self):
            return self

        def cancel(self):
            seen.append("cancelled")

        def wait(self, seconds=None):
            return False

        def to_json(self):
            return {"id": self.id, "state": self.state}

    for kind, (options, _) in list(api_jobs._KINDS.items()):
        monkeypatch.setitem(api_jobs._KINDS, kind, (options, lambda chosen: seen.append(chosen) or Task()))
    monkeypatch.setattr(api_jobs, "_latest", {})
    return seen


# -- another site ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["calibrate", "scan", "audit", "profiles/back", "profiles/delete"])
@pytest.mark.parametrize("headers", [{}, {"content_type": "text/plain"}, {"content_type": "application/x-www-form-urlencoded"}])
def test_a_body_that_is_not_declared_as_json_starts_nothing(host, command, started, folder, kind, headers):  # noqa: F811
    """A browser sends such ones across sites without asking."""
    body = json.dumps({"captions": ["x"]} if kind == "scan" else {} if kind == "audit" else SPOILED).encode()
    status, answer = Asker(host)("POST", kind, body, **headers)
    assert status == 415 and "application/json" in answer["detail"] and started == []


ELSEWHERE = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:7860.evil.example"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:3000"},
    {"origin": "http://["},
    {"origin": "null", "host": ""},
]


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_a_page_of_another_site_changes_nothing(host, command, started, folder, headers):  # noqa: F811
    ask = Asker(host)
    for kind, body in ((CALIBRATE, SPOILED), ("scan", {"captions": ["x"]})):
        assert ask("POST", kind, body, **headers)[0] == 403 and started == []
        assert ask("POST", kind, body)[0] == 202 and len(started) == 1
        assert ask("DELETE", kind, **headers)[0] == 403 and started.pop() != "cancelled"
    assert ask("GET", "profiles", **headers)[0] == ask("GET", "scan", **headers)[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:7860"},
        {"origin": "http://127.0.0.1:7860", "sec_fetch_site": "same-origin"},
        {"origin": "https://behind.a.proxy", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": "https://front.example", "sec_fetch_site": "cross-site"},
        {"origin": "https://one.front.example"},
        {"content_type": "Application/JSON; charset=utf-8"},
    ],
)
def test_the_own_page_clients_and_named_origins_do(host, command, started, folder, headers):  # noqa: F811
    command(cors_allow_origins="https://front.example,*", cors_allow_origins_regex=r"https://\w+\.front\.example")
    assert Asker(host)("POST", CALIBRATE, SPOILED, **headers)[0] == 202 and len(started) == 1


def test_any_origin_is_none_that_is_named(host, command, started):
    command(cors_allow_origins="*")
    assert Asker(host)("POST", CALIBRATE, SPOILED, origin="https://evil.example")[0] == 403


@pytest.mark.parametrize("headers", ELSEWHERE[:5])
def test_a_page_of_another_site_presses_no_button(host, command, started, folder, headers):  # noqa: F811
    """gradio takes a body without a type for JSON, and an old one the word of who asks for where they are."""
    ask, pressed = Asker(host), (20, 4, 64, 64, 4, "Several in turn", "", "a cat", "")
    assert "another site" in ask.press("calibrate", *pressed, **headers)[1]["data"][0] and started == []
    assert "another site" in ask.press("profile_delete", "Testbed", **headers)[1]["data"][0]
    status, answer = ask.press("calibrate", *pressed, request={"headers": {"host": "x"}, "client": {"host": "127.0.0.1"}}, **headers)
    assert (status != 200 or "another site" in answer["data"][0]) and started == []
    assert "Calibration" in str(ask.press("calibrate", *pressed)) or len(started) == 1


# -- accounts ----------------------------------------------------------------------------------------------------------------------------

ROUTES = [
    ("GET", "profiles"),
    ("GET", "last"),
    ("GET", "profiles/outlook"),
    ("GET", "profiles/versions"),
    ("POST", "profiles/back"),
    ("POST", "profiles/delete"),
    ("GET", "audit/folders"),
    ("GET", "audit/rows"),
    ("GET", "match"),
    ("POST", "match/find"),
    ("POST", "match/describe"),
    ("POST", "match/delete"),
    *[(method, kind) for kind in api_jobs._KINDS for method in ("GET", "POST", "DELETE")],
]


def test_these_are_all_routes(host, command):
    found = [
        (method, route.path)
        for route in Asker(host).client.app.router.routes
        if "/memorization-guard/" in getattr(route, "path", "")
        for method in route.methods
    ]
    assert sorted(found) == sorted((method, f"/memorization-guard/v1/{path}") for method, path in ROUTES)


def statuses(ask: Asker, **headers: str) -> set[int]:
    bodies = (None, b"{", {"runs": "many"}, {"captions": 7})
    return {ask(method, path, body if method == "POST" else None, **headers)[0] for method, path in ROUTES for body in bodies}


@pytest.mark.parametrize(
    "headers", [{}, basic("anna:wrong"), basic("eve:secret"), basic("anna"), {"authorization": "Basic ???"}, {"authorization": "Bearer x"}]
)
def test_every_route_is_behind_the_accounts_of_the_api(host, command, started, headers):
    """Bad values get no other answer than good ones before somebody has signed in."""
    command(api_auth="anna:secret,bert:pass:word")
    assert statuses(Asker(host), **headers) == {401} and started == []


@pytest.mark.parametrize("headers", [{}, basic("anna:wrong"), {"cookie": "access-token=x; access-token-unsecure=x"}])
@pytest.mark.parametrize("page", [True, False])
def test_every_route_is_behind_the_accounts_of_the_page(host, command, started, headers, page):
    """Also where the host runs without its page."""
    command(gradio_auth="anna:secret,bert:secret")
    assert statuses(Asker(host, GRADIO if page else None), **headers) == {401} and started == []


def test_who_signs_in_gets_in(host, command, started, tmp_path, monkeypatch):
    monkeypatch.setattr(last_job, "last", lambda: {"images": []})
    command(api_auth="anna:secret,bert:pass:wörd")
    ask = Asker(host, GRADIO)
    assert {ask("GET", path, **basic(one))[0] for path in ("profiles", "last") for one in ("anna:secret", "bert:pass:wörd")} == {200}
    ask.sign_in("anna", "secret")  # the page's session is none of the API's accounts, as for the host's own routes
    assert ask("GET", "profiles")[0] == 401
    command(api_auth=None, gradio_auth="anna:secret")
    assert ask("GET", "profiles")[0] == 200
    other = Asker(host, GRADIO)
    assert other("GET", "profiles", **basic("bert:secret"))[0] == 200
    (tmp_path / "accounts").write_text("carl:c\n dora:d, emil:e\n")
    command(gradio_auth=None, gradio_auth_path=str(tmp_path / "accounts"))
    alone = Asker(host)
    assert [alone("GET", "profiles", **basic(one))[0] for one in ("carl:c", "dora:d", "emil:e", "carl:d")] == [200, 200, 200, 401]


def test_a_page_mounted_into_the_hosts_application_counts(host, command):
    import gradio as gr
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    app = FastAPI()
    host.api.create_api(app)
    host.demo.auth = GRADIO
    try:
        app.mount("/page", gr.routes.App.create_app(host.demo))
    finally:
        host.demo.auth = None
    client = TestClient(app)
    assert client.get("/memorization-guard/v1/profiles").status_code == 401
    assert client.get("/memorization-guard/v1/profiles", headers=basic("anna:secret")).status_code == 200


# -- the administrator -------------------------------------------------------------------------------------------------------------------

OPEN = [{"disable_extension_access": True}, {"hide_ui_dir_config": True}, {"gradio_auth": "anna:secret"}, {"gradio_auth_path": "/dev/null"}]


@pytest.mark.parametrize("options", OPEN)
def test_where_the_page_is_open_to_others_a_visitor_changes_no_profile(host, command, started, folder, options):  # noqa: F811
    command(**options)
    ask = Asker(host, GRADIO if "gradio_auth" in options else None)
    if "gradio_auth" in options:
        ask.sign_in("anna", "secret")
    for method in ("POST", "DELETE"):
        status, answer = ask(method, CALIBRATE, SPOILED if method == "POST" else None)
        assert status == 403 and roles.NAMED in answer["detail"]
    pressed = {
        "calibrate": (20, 4, 64, 64, 4, "Several in turn", "", "", ""),
        "cancel_calibrate": (),
        "profile_delete": ("Testbed",),
        "profile_really": ("",),
    }
    for button, values in pressed.items():
        assert "open to others" in ask.press(button, *values)[1]["data"][0], button
    assert started == [] and not folder.exists()
    # What changes nothing stays open.
    assert ask("POST", "scan", {"captions": ["a cat"]})[0] == 202
    assert "Testbed" in ask.press("profile", "Testbed")[1]["data"][0]


def test_the_administrator_is_named_where_the_web_ui_is_started(host, command, started, monkeypatch):
    command(gradio_auth="anna:secret,bert:secret")
    monkeypatch.setenv(roles.NAMED, "carl, anna")
    found = {}
    for name in ("anna", "bert"):
        by_page, by_header = Asker(host, GRADIO), Asker(host, GRADIO)
        by_page.sign_in(name, "secret")
        said = by_page.press("cancel_calibrate")[1]["data"][0]
        found[name] = (
            by_page("POST", CALIBRATE, SPOILED)[0],
            by_header("POST", CALIBRATE, SPOILED, **basic(f"{name}:secret"))[0],
            "open to others" in said,
        )
    assert found == {"anna": (202, 202, False), "bert": (403, 403, True)}
    # An account of the API may change every setting of the host, too.
    command(api_auth="zoe:secret")
    assert Asker(host, GRADIO)("POST", CALIBRATE, SPOILED, **basic("zoe:secret"))[0] == 202


def test_trusting_everybody_is_the_hosts_own_option(host, command, started):
    command(gradio_auth="anna:secret", enable_insecure_extension_access=True)
    assert Asker(host, GRADIO)("POST", CALIBRATE, SPOILED, **basic("anna:secret"))[0] == 202


@pytest.mark.parametrize(
    ("client", "headers", "options", "local"),
    [
        ("127.0.0.1", {"host": "localhost:7860"}, {}, True),
        ("::1", {"host": "[::1]:7860"}, {}, True),
        ("192.168.0.7", {"host": "localhost:7860"}, {}, False),
        ("127.0.0.1", {"host": "web.example"}, {}, False),
        ("127.0.0.1", {"host": "localhost.evil.example"}, {}, False),
        ("127.0.0.1", {"host": "localhost:7860", "x-forwarded-for": "1.2.3.4"}, {}, False),
        ("127.0.0.1", {"host": "localhost:7860", "via": "1.1 proxy"}, {}, False),
        ("127.0.0.1", {"host": "localhost:7860"}, {"share": True}, False),
        ("127.0.0.1", {"host": "localhost:7860"}, {"ngrok": "token"}, False),
        ("", {"host": "localhost:7860"}, {}, False),
        ("127.0.0.1", {}, {}, False),
    ],
)
def test_who_sits_at_the_machine_may_be_named_too(host, command, monkeypatch, client, headers, options, local):
    from starlette.requests import Request

    command(disable_extension_access=True, **options)
    scope = {
        "type": "http",
        "client": (client, 1) if client else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    request = Request(scope)
    assert not roles.is_administrator("", False, request)
    monkeypatch.setenv(roles.NAMED, "anna,@local")
    assert roles.is_administrator("", False, request) is local and not roles.is_administrator("@local", False, None)


def test_an_old_gradios_made_up_request_is_nobody_at_the_machine(host, command, started, monkeypatch):
    command(disable_extension_access=True)
    monkeypatch.setenv(roles.NAMED, "@local")
    made_up = {"client": {"host": "127.0.0.1", "port": 1}, "headers": {"host": "localhost:7860"}}
    status, answer = Asker(host).press("calibrate", 20, 4, 64, 64, 4, "Several in turn", "", "", request=made_up)
    assert (status != 200 or "Calibration" not in answer["data"][0]) and started == []


# -- bodies ------------------------------------------------------------------------------------------------------------------------------

DEEP = b"[" * 100_000
BAD = {
    "no json": b"{",
    "latin-1": '{"prompts": ["é"]}'.encode("latin-1"),
    "utf-16": json.dumps(SPOILED).encode("utf-16"),
    "nan": b'{"runs": NaN}',
    "deep": DEEP,
    "deep object": b'{"a":' * 100_000,
    "deep and closed": b'{"prompts": ' + b"[" * 60 + b"]" * 60 + b"}",
    "surrogate key": b'{"\\ud800": 1}',
    "surrogate value": b'{"negative_prompt": "\\udfff"}',
    "surrogate in a list": b'{"prompts": ["\\ud83d"]}',
    "surrogate alone": b'"\\ud800"',
    "raw surrogate": b'{"prompts": ["\xed\xa0\x80"]}',
    "nothing": b"",
    "null": b"null",
    "list": b"[1]",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_sound_body_is_refused_in_words(host, command, started, name):
    for kind in api_jobs._KINDS:
        status, answer = Asker(host)("POST", kind, BAD[name], **JSON)
        assert status == 422 and answer["detail"][0]["loc"][0] == "body" and answer["detail"][0]["msg"], (kind, answer)
    assert started == []


def test_whole_characters_beyond_the_first_plane_are_fine(host, command, started):
    assert Asker(host)("POST", "scan", b'{"captions": ["\\ud83d\\ude00"]}', **JSON)[0] == 202
    assert started[0].captions == ("\U0001f600",)


def test_a_body_has_a_greatest_size(host, command, started, monkeypatch):
    from lib_stability.webui.tasks import bodies

    monkeypatch.setattr(bodies, "MOST_BYTES", 1000)
    assert Asker(host)("POST", CALIBRATE, {"prompts": ["x" * 2000]})[0] == 413 and started == []


# -- in front of the host's own routes ----------------------------------------------------------------------------------------------------


def generation(args: object, name: str = "Memorization Guard", **more) -> dict:
    return {"prompt": "big red circle", "steps": 1, "seed": 3, "alwayson_scripts": {name: {"args": args}}, **more}


def test_who_has_not_signed_in_learns_nothing_of_bad_arguments(host, command, options):
    command(api_auth="anna:secret")
    ask = Asker(host)
    for body in (generation([{"mode": 7}]), generation([{"mode": "damp"}]), generation([{"\ud800": 1}])):
        assert ask("POST", T2I, body)[0] == 401
    assert ask("POST", T2I, generation([{"mode": 7}]), **basic("anna:secret"))[0] == 422


BYPASSES = {
    "escaped space": json.dumps(generation([{"mode": "explode"}])).replace("Memorization Guard", "Memorization\\u0020Guard").encode(),
    "escaped letter": json.dumps(generation([{"mode": "explode"}])).replace("Guard", "\\u0047uard").encode(),
    "utf-16": json.dumps(generation([{"mode": "explode"}])).encode("utf-16"),
    "utf-32": json.dumps(generation([{"mode": "explode"}])).encode("utf-32-le"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(generation([{"mode": "explode"}])).encode(),
    "other case": json.dumps(generation([{"mode": "explode"}], "mEMORIZATION gUARD")).encode(),
    "second of two": json.dumps(
        {"prompt": "x", "steps": 1, "alwayson_scripts": {"Memorization Guard": {"args": [{}]}, "memorization guard": {"args": [{"mode": "explode"}]}}}
    ).encode(),
}


@pytest.mark.parametrize("name", BYPASSES)
@pytest.mark.parametrize("headers", [JSON, {}, {"content-type": "application/vnd.x+json"}])
def test_no_way_of_writing_it_goes_past_the_check(host, command, options, name, headers):
    from lib_stability.webui.job import last_job

    before = last_job.last()
    status, _ = Asker(host)("POST", T2I, BYPASSES[name], **headers)
    assert status == 422 and last_job.last() is before


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ([{"\ud800": 1}], "args"),
        ([True, *[None] * 9, "\ud800"], "args"),
        ([True, *[None] * 9, float("nan")], "args"),
        ([True, *[None] * 9, 10**400], "args"),
        ([True, *[None] * 9, [[[[[[[[[[]]]]]]]]]]], "args"),
        ([{"profile": "\udfff"}], "args"),
        ([{"mode": "\ud83d"}], "args"),
        ([{"mode": [[[[[]]]]]}], "mode"),
        ("on", "args"),
        ({"mode": "damp"}, "args"),
        (None, "args"),
    ],
)
def test_bad_arguments_are_named(host, command, options, args, field):
    for route in (T2I, "/sdapi/v1/img2img"):
        status, answer = Asker(host)("POST", route, generation(args))
        assert status == 422 and answer["detail"][0]["loc"][-1] == field and "\n" not in answer["detail"][0]["msg"]


@pytest.mark.parametrize("body", [DEEP, b'{"alwayson_scripts":' * 50_000, b'{"alwayson_scripts": {"Memorization Guard": {"args": ' + DEEP])
def test_deep_values_get_the_hosts_own_answer(host, command, options, body):
    status, _ = Asker(host)("POST", T2I, body, **JSON)
    assert status in (400, 422)


@pytest.mark.parametrize("script", [7, None, [], "args"])
def test_a_script_that_is_no_object_is_refused(host, command, options, script):
    status, answer = Asker(host)("POST", T2I, {"prompt": "x", "alwayson_scripts": {"Memorization Guard": script}})
    assert status == 422 and answer["detail"][0]["loc"][-1] == "script"


@pytest.mark.parametrize("script", [{}, {"args": []}, {"args": [{}]}, {"args": [True]}, {"args": [{"enabled": "true"}]}, {"args": ["True"]}])
def test_who_names_the_guard_is_guarded(host, command, options, script):
    status, answer = Asker(host)("POST", T2I, {"prompt": "big red circle", "steps": 2, "seed": 3, "alwayson_scripts": {"Memorization Guard": script}})
    assert status == 200 and "MG verdict" in json.loads(answer["info"])["infotexts"][0]


@pytest.mark.parametrize("script", [{"args": [False]}, {"args": [{"enabled": False}]}, {"args": [{"enabled": "false"}]}])
def test_who_says_no_is_not(host, command, options, script):
    status, answer = Asker(host)("POST", T2I, {"prompt": "big red circle", "steps": 2, "seed": 3, "alwayson_scripts": {"Memorization Guard": script}})
    assert status == 200 and "MG " not in json.loads(answer["info"])["infotexts"][0]


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("true", True),
        ("True", True),
        (1, True),
        ("on", True),
        ("nonsense", True),
        ([], True),
        ("false", False),
        (0, False),
        ("", False),
        (None, False),
    ],
)
def test_the_setting_is_never_silently_off(host, options, value, on):
    from lib_stability.webui.job import settings

    options.set("memorization_guard_enabled", value)
    options.set("memorization_guard_mode", "Damp")
    assert (settings.defaults().enabled, settings.defaults().mode) == (on, "damp")


def test_buttons_look_at_nothing_for_a_visitor(host, command, monkeypatch):
    from lib_stability.webui.page import tab_calibrate, tab_profiles

    command(disable_extension_access=True)
    monkeypatch.setattr(tab_profiles.own_profiles, "offered", lambda *_: pytest.fail("a file was read"))
    monkeypatch.setattr(tab_calibrate.calibrating, "outlook", lambda *_: pytest.fail("a checkpoint was hashed"))
    assert "open to others" in tab_profiles.ask_import("/etc/hostname")[0]
    assert "open to others" in tab_calibrate.start(100, 20, 0, 0, 4, tab_calibrate.IN_TURN, "", "")[0]


def asked(host, **body: object) -> str:
    status, answer = Asker(host)("POST", T2I, {"prompt": "big red circle", "steps": 2, "seed": 3, **body})
    assert status == 200
    return json.loads(answer["info"])["infotexts"][0]


@pytest.mark.parametrize("body", [{}, {"alwayson_scripts": {}}, {"alwayson_scripts": None}, {"infotext": "x\nSteps: 2, Sampler: Euler, Seed: 3"}])
def test_who_does_not_name_the_guard_is_guarded_where_settings_say_so(host, command, options, body):
    """The host itself goes by the page's defaults of its first request, and here by those of when the page was built."""
    assert "MG " not in asked(host, **body)
    options.set("memorization_guard_enabled", True)
    assert "MG verdict" in asked(host, **body)
    assert "MG " not in asked(host, alwayson_scripts={"Memorization Guard": {"args": [False]}})


@pytest.mark.parametrize("script", [None, {}, {"args": []}, {"args": [{}]}, {"args": [True]}, {"args": [True, None]}])
def test_what_is_left_out_is_as_in_settings_by_now(host, command, options, script):
    options.set("memorization_guard_enabled", True)
    options.set("memorization_guard_mode", "Damp")
    options.set("memorization_guard_sensitivity", "High")
    text = asked(host, **({"alwayson_scripts": {"memorization guard": script}} if script is not None else {}))
    assert "MG mode: damp, MG sensitivity: high" in text


def test_an_infotext_counts_before_settings(host, command, options):
    options.set("memorization_guard_enabled", True)
    options.set("memorization_guard_mode", "Damp")
    pasted = "x\nSteps: 2, Sampler: Euler, Seed: 3, MG sensitivity: high, MG version: 0.1.0"
    assert "MG sensitivity: high" in asked(host, infotext=pasted) and "MG mode" not in asked(host, infotext=pasted)
