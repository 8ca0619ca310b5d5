"""The table of SECURITY.md, walked: every role tries every action, and what comes of it is what the table says."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import pytest
from asking import Asker, basic
from conftest import FORGE
from PIL import Image
from test_calibrating import folder  # noqa: F401
from test_routes import GRADIO, SPOILED, command, started  # noqa: F401
from test_served import ROOT

from lib_stability.match import building, describing
from lib_stability.profile import older, storage
from lib_stability.trail.image_row import Item, examine
from lib_stability.webui.job import indexes, last_job, library
from lib_stability.webui.tasks import api_jobs, roles

ROLES = ("Visitor", "API client", "Administrator", "File on disk", "Other web page")
ELSEWHERE = {"origin": "https://evil.example", "sec_fetch_site": "cross-site"}
PRESSED = (20, 4, 64, 64, 4, "Several in turn", "", "a cat", "")
NAME = "Somebody's".replace("'", "")


def rows() -> list[tuple[str, dict[str, str]]]:
    """Actions, and what the table says of each role."""
    lines = [line for line in (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert head == ["Action", *ROLES]
    return [(cells[0], dict(zip(ROLES, cells[1:], strict=True))) for cells in body]


class Someone:
    """A role at a web UI that is open to others, whose administrator is anna."""

    def __init__(self, host, role: str, command, folder, tmp_path) -> None:  # noqa: F811
        self.role, self.folder, self.tmp_path = role, folder, tmp_path
        command(gradio_auth="anna:secret,bert:secret", **({"api_auth": "zoe:secret"} if role == "API client" else {}))
        self.asker, self.headers = Asker(host, GRADIO), {}
        if role == "API client":
            self.headers = basic("zoe:secret")
        else:  # another page sits in the administrator's browser
            self.asker.sign_in("bert" if role == "Visitor" else "anna", "secret")
        if role == "Other web page":
            self.headers = ELSEWHERE

    def ask(self, *request: object) -> tuple[int, object]:
        return self.asker(*request, **self.headers)

    def press(self, button: str, *values: object) -> str:
        """What the button says, "" where one does not get so far."""
        status, answer = self.asker.press(button, *values, **self.headers)
        return answer["data"][0] if status == 200 else ""

    def profile(self) -> str:
        """A profile's file of that name."""
        return json.dumps({**json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")), "name": NAME})


def read_verdicts(who: Someone) -> bool:
    return who.ask("GET", "profiles")[0] == who.ask("GET", "last")[0] == 200


def scan(who: Someone) -> bool:
    return who.ask("POST", "scan", {"captions": ["a cat"]})[0] == 202


def explain(who: Someone) -> bool:
    return who.ask("POST", "explain", {"captions": ["a cat"]})[0] == 202


def picture() -> str:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def index(who: Someone) -> None:
    """An index of the output folder, made by pixels on the disk."""
    (who.tmp_path / "host-outputs" / "x.png").write_bytes(base64.b64decode(picture()))
    building.build(indexes.home() / "mine", [who.tmp_path / "host-outputs"], describing.by_pixels())


def look_up(who: Someone) -> bool:
    index(who)
    status, answer = who.ask("POST", "match/find", {"picture": picture()})
    return status == 200 and answer["nearest"][0]["likeness"] > 0.99


def see(who: Someone) -> bool:
    index(who)
    return "x.png" in str(who.ask("POST", "match/find", {"picture": picture()})[1])


def make_index(who: Someone) -> bool:
    index(who)
    made = who.ask("POST", "match/index", {"index": "other", "folder": str(who.tmp_path / "host-outputs")})[0] == 202
    again = "open to others" not in (said := who.press("match", "mine", "", "", "")) and "another site" not in said and bool(said)
    who.ask("POST", "match/delete", {"index": "mine"})
    who.press("match_delete", "mine")
    assert made == (indexes.names() == []) and again <= made
    return made


def index_elsewhere(who: Someone) -> bool:
    asked = [who.ask("POST", "match/index", {"index": "other", "folder": one})[0] for one in ("/etc", str(who.tmp_path), "..")]
    return 202 in asked


def audit(who: Someone) -> bool:
    return who.ask("POST", "audit", {})[0] == 202


def audit_elsewhere(who: Someone) -> bool:
    (who.tmp_path / "private").mkdir()
    (who.tmp_path / "host-outputs" / "link").symlink_to(who.tmp_path / "private")
    asked = [
        who.ask("POST", "audit", {"folder": one})[0] for one in ("/etc", str(who.tmp_path / "private"), str(who.tmp_path / "host-outputs" / "link"))
    ]
    return 202 in asked


def export(who: Someone) -> bool:
    asked = who.ask("GET", "profiles/Testbed")[0], who.ask("GET", "export")[0]
    return "ready to be downloaded" in who.press("profile_export", "Testbed") or 200 in asked


def calibrate(who: Someone) -> bool:
    by_route = who.ask("POST", "calibrate", SPOILED)[0] == 202
    return "Nothing" in who.press("calibrate", *PRESSED) or by_route


def cancel(who: Someone) -> bool:
    api_jobs.start("calibrate", SPOILED)
    by_route = who.ask("DELETE", "calibrate")[0] == 200
    said = who.press("cancel_calibrate")
    return by_route or bool(said and "open to others" not in said and "another site" not in said)


def bring(who: Someone) -> bool:
    asked = [who.ask(method, "profiles", json.loads(who.profile()))[0] for method in ("POST", "PUT")]
    sent = who.asker.client.post(
        "/upload", files={"files": ("x.json", who.profile())}, headers={"origin": who.headers.get("origin", "http://127.0.0.1:7860")}
    )
    if sent.status_code == 200:
        (path,) = sent.json()
        upload = (
            {"path": path, "meta": {"_type": "gradio.FileData"}} if FORGE else {"name": path, "orig_name": "x.json", "is_file": True, "data": None}
        )
        who.press("profile_import", upload)
        who.press("profile_import_really", upload)  # it displaces another, so that is asked first
    return (who.folder.exists() and bool(list(who.folder.iterdir()))) or any(status < 400 for status in asked)


def go_back(who: Someone) -> bool:
    who.folder.mkdir()
    (who.folder / "x.json").write_text(who.profile(), encoding="utf-8")
    older.keep(who.folder / "x.json", NAME)
    by_route = who.ask("POST", "profiles/back", {"name": NAME})[0] == 200
    return "the version before again" in who.press("profile_back", NAME) or by_route


def delete(who: Someone) -> bool:
    who.folder.mkdir()
    (who.folder / "x.json").write_text(who.profile(), encoding="utf-8")
    who.ask("DELETE", "profiles")
    who.ask("DELETE", f"profiles/{NAME}")
    who.ask("POST", "profiles/delete", {"name": NAME})
    who.press("profile_delete", NAME)
    who.press("profile_really", None)
    return not (who.folder / "x.json").exists()


ACTIONS = {
    "Read the last job's verdicts, list the profiles": read_verdicts,
    "Scan captions": scan,
    "Explain a prompt": explain,
    "Look a picture up in an index of training pictures": look_up,
    "See which training picture it is": see,
    "Make, bring up to date or delete an index": make_index,
    "Make an index of any other folder": index_elsewhere,
    "Audit the output folders": audit,
    "Audit any other folder": audit_elsewhere,
    "Export a profile": export,
    "Calibrate": calibrate,
    "Cancel a calibration": cancel,
    "Go back to an older version of a profile": go_back,
    "Import a profile": bring,
    "Delete a profile": delete,
}


def test_the_table_is_whole():
    assert [action for action, _ in rows()] == list(ACTIONS)
    assert {cell for _, cells in rows() for cell in cells.values()} == {"yes", "no"}


@pytest.fixture
def outputs(host, options, tmp_path, monkeypatch):
    """An output folder that the host's command line opens."""
    (tmp_path / "host-outputs").mkdir()
    options.set("outdir_samples", str(tmp_path / "host-outputs"))
    monkeypatch.setattr(host.shared.cmd_opts, "gradio_allowed_path", [str(tmp_path / "host-outputs")])


@pytest.mark.parametrize("role", [role for role in ROLES if role != "File on disk"])
@pytest.mark.parametrize("action", list(ACTIONS))
def test_each_role_may_do_what_the_table_says(host, command, started, folder, outputs, tmp_path, monkeypatch, action, role):  # noqa: F811
    monkeypatch.setenv(roles.NAMED, "anna")
    monkeypatch.setattr(last_job, "last", lambda: {"images": []})
    monkeypatch.setattr(indexes, "home", lambda: tmp_path / "indexes")
    allowed = ACTIONS[action](Someone(host, role, command, folder, tmp_path))
    if action in ("Calibrate", "Scan captions", "Explain a prompt"):
        assert allowed == bool(started)
    if action == "Cancel a calibration":
        assert allowed == ("cancelled" in started)
    assert allowed == (dict(rows())[action][role] == "yes")


@pytest.mark.parametrize("action", list(ACTIONS))
def test_a_file_does_nothing_but_be_read(host, command, started, folder, outputs, tmp_path, action):  # noqa: F811
    assert dict(rows())[action]["File on disk"] == "no"
    document = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8"))
    folder.mkdir()
    route = f"/memorization-guard/v1/{action.split()[0].lower()}"
    for number, name in enumerate(("A file", "../../outside", "/etc/passwd", "<script>fetch('" + route + "')</script>")):
        (folder / f"{number}.json").write_text(
            json.dumps({**document, "name": name, "provenance": {"run": action, "route": route}}), encoding="utf-8"
        )
    text = tmp_path / "x.txt"
    text.write_text(f"a cat\nSteps: 1, Seed: 2, Size: 1x1, MG verdict: stable, MG {action.lower().replace(',', '')}: yes, MG profile: ../../outside")
    before = sorted(path for path in tmp_path.rglob("*"))
    assert {one.name for one in library.LIBRARY.profiles()} >= {"A file"} and len(library.LIBRARY.refused) == 3
    assert examine(Item(str(text), named=True))["profile"] in (None, "Auto")
    assert sorted(path for path in tmp_path.rglob("*")) == before and started == [] and api_jobs.latest("calibrate") is None
