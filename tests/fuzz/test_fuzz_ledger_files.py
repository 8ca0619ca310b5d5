"""Spoiled ledgers: verified to the end, and never called sound where something before the newest line was changed."""

from __future__ import annotations

import pytest
from fuzzing import cases, spoiled_bytes

from lib_stability.trail import ledger, ledger_check


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[str, bytes]:
    """Name and content of a ledger of one day."""
    folder = tmp_path_factory.mktemp("whole")
    for number in range(8):
        ledger.append(folder, [{"image": number, "verdict": "stable", "prompt": "é"}])
    (file,) = ledger.files(folder)
    assert ledger_check.verify(folder) == []
    return file.name, file.read_bytes()


def test_spoiled_bytes(whole, tmp_path):
    name, data = whole
    newest = data.rstrip(b"\n").rfind(b"\n") + 1
    path = tmp_path / name
    for draw in cases("ledger", 1500):
        spoiled = spoiled_bytes(draw, data[:newest]) + data[newest:]
        path.write_bytes(spoiled)
        found = ledger_check.verify(tmp_path)
        assert found or spoiled == data
        assert all(isinstance(one, dict) for one in ledger.read(tmp_path)) and all("\n" not in one for one in found)


def test_it_goes_on_after_anything(whole, tmp_path):
    """Whatever stands in the file, the next line is written and read."""
    name, data = whole
    path = tmp_path / name
    for number, draw in enumerate(cases("ledger appended", 300)):
        path.write_bytes(spoiled_bytes(draw, data))
        ledger.append(tmp_path, [{"image": f"new {number}"}])
        assert list(ledger.read(tmp_path))[-1]["image"] == f"new {number}"
        ledger_check.verify(tmp_path)
