"""Whose profile judged: said in the verdict line, the infotext, the API and the ledger; and the routes about profiles."""

from __future__ import annotations

import json

import pytest
from test_calibrating import call, folder  # noqa: F401

from lib_stability.profile import own_profiles, profiles, storage
from lib_stability.trail.imagetext import read_text
from lib_stability.trail.infotext import parse_text
from lib_stability.webui.job import infotexts, library
from lib_stability.webui.page import panel


@pytest.fixture
def imported(folder, tmp_path):  # noqa: F811
    """Import the testbed's profile under another name; the name."""
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")) | {"name": "Somebody's".replace("'", " ")}
    (tmp_path / "x.json").write_text(json.dumps(data))
    return own_profiles.bring(tmp_path / "x.json", folder)[0]


def shown(done) -> str:
    """The page's line under the first image."""
    return panel.lines(done.infotexts[0])


@pytest.mark.parametrize("detail", infotexts.DETAILS)
def test_a_profile_that_is_not_bundled_is_named_whatever_the_detail(host, generate, options, imported, detail):
    options.set("memorization_guard_infotext", detail)
    done = generate({"profile": imported})
    assert parse_text(done.infotexts[0])[2]["MG region"] == f"{imported} (imported calibration)"
    assert f"Judged by {imported} (imported calibration)" in shown(done)
    last = generate.last()
    assert last["profile"] == f"{imported} (imported calibration)"
    assert last["judged_by"] == [{"name": imported, "origin": "imported", "kind": "calibrated", "runs": 1535, "trial": ""}]


def test_a_bundled_one_is_named_by_the_page_alone(host, generate):
    done = generate({"profile": "Testbed"})
    assert "MG region" not in done.infotexts[0] and "Judged by Testbed (bundled calibration)" in shown(done)


def test_a_long_name_does_not_hide_where_it_comes_from(host, generate, folder, tmp_path):  # noqa: F811
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")) | {"name": "x" * 100}
    (tmp_path / "x.json").write_text(json.dumps(data))
    own_profiles.bring(tmp_path / "x.json", folder)
    assert generate({"profile": "x" * 100}).infotexts[0].count("(imported calibration)") == 1


def test_a_file_put_there_by_hand_is_not_taken_for_bundled(host, generate, folder):  # noqa: F811
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")) | {"name": "Sneaked"}
    data["provenance"]["origin"] = "bundled"
    folder.mkdir()
    (folder / "testbed.json").write_text(json.dumps(data))
    assert "Sneaked (imported calibration)" in generate({"profile": "Sneaked"}).infotexts[0]


def test_audit_reads_it(host, generate, options, imported, tmp_path):
    from lib_stability.trail.image_row import Item, examine

    done = generate({"profile": imported})
    path = tmp_path / "picture.txt"
    path.write_text(done.infotexts[0], encoding="utf-8")
    assert read_text(str(path)) and examine(Item(str(path), named=True))["region"] == f"{imported} (imported calibration)"


def test_a_muzzle_put_there_by_hand_never_serves(host, generate, folder):  # noqa: F811
    data = json.loads((storage.BUNDLED / "testbed.json").read_text(encoding="utf-8")) | {"name": "Muzzle"}
    data["model"] |= {"family": "sd1", "sha256": ""}
    for curves in data["watch"]["statistics"].values():
        curves["spread"] = [3.0] * len(curves["spread"])
    folder.mkdir()
    (folder / "muzzle.json").write_text(json.dumps(data))
    assert library.LIBRARY.serve("Auto", profiles.Model("sd1", "epsilon")).profile.name == "SD 1.x prior"
    assert any("muzzle.json" in reason and "spread" in reason for reason in library.LIBRARY.refused)
    verdict = generate({"profile": "Muzzle"}).infotexts[0]
    assert "MG verdict: not judged" in verdict


def test_over_http(server, imported, folder, host):  # noqa: F811
    listed = {one["name"]: one for one in call(server, "GET", "profiles")[1]["profiles"]}
    assert (listed[imported]["origin"], listed[imported]["runs"], listed["Testbed"]["standing"]) == ("imported", 1535, "bundled calibration")
    status, answer = call(server, "GET", "profiles/outlook?runs=200")
    assert status == 200 and "in place of SD 1.x prior" in answer["changes"][0] and answer["calibrations"] == 0
    assert "It is a trial" in call(server, "GET", "profiles/outlook?runs=50")[1]["changes"][0]
    assert call(server, "GET", "profiles/outlook?runs=3")[0] == 422
    name = {"name": imported}
    query = f"profiles/versions?name={imported.replace(' ', '%20')}"
    assert call(server, "GET", query)[1] == {"versions": []} and call(server, "POST", "profiles/back", name)[0] == 404
    (file,) = folder.glob("*.json")
    data = json.loads(file.read_text())
    data["provenance"]["date"] = "2027-01-01"
    (folder.parent / "y.json").write_text(json.dumps(data))
    own_profiles.bring(folder.parent / "y.json", folder)
    assert len(call(server, "GET", query)[1]["versions"]) == 1
    assert "2026-11-28" in call(server, "POST", "profiles/back", name)[1]["said"]
    for wrong in ({}, {"name": 7}, {**name, "version": 0}, {**name, "folder": "/tmp"}):
        assert call(server, "POST", "profiles/back", wrong)[0] == 422
    host.shared.cmd_opts.disable_extension_access = True
    try:
        assert call(server, "POST", "profiles/delete", name)[0] == call(server, "POST", "profiles/back", name)[0] == 403
    finally:
        host.shared.cmd_opts.disable_extension_access = False
    assert call(server, "POST", "profiles/delete", {"name": "Testbed"})[0] == 404
    assert call(server, "POST", "profiles/delete", name)[1] == {"deleted": 1} and list(folder.iterdir()) == []
