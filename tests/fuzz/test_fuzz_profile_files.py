"""Spoiled profile files: read as what they say, or refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from fuzzing import cases, dumped, spoiled_bytes, spoiled_json

from lib_stability.guard.norms import Norms
from lib_stability.guard.sensitivity import LEVELS, thresholds
from lib_stability.profile import profiles, storage
from lib_stability.validation import ValidationError

FILE = (storage.BUNDLED / "testbed.json").read_bytes()
DOCUMENT = json.loads(FILE)


def judge(path) -> bool:
    """Read, and if that works use it in every way."""
    try:
        found = storage.read(path)
    except ValidationError as error:
        assert str(error).startswith(path.name)
        return False
    assert profiles.Profile.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))).to_json() == found.to_json()
    for region in (found.watch, found.probe):
        for level in LEVELS if region is not None else ():
            assert 0 < thresholds(region, level, 3.0).mild <= thresholds(region, level, 3.0).strong
        if region is not None:
            scores = region.z_scores(Norms(torch.ones(3), torch.ones(3)), torch.tensor([14.0, 1.0, 0.1]), 7.5)
            assert not torch.isnan(scores.score[scores.inside]).any()
    return True


def test_spoiled_values(tmp_path):
    read = []
    for draw in cases("profile values", 300):
        path = tmp_path / "spoiled.json"
        path.write_bytes(dumped(spoiled_json(draw, DOCUMENT)))
        read.append(judge(path))
    assert not all(read)


def test_spoiled_bytes(tmp_path):
    for draw in cases("profile bytes", 300):
        path = tmp_path / "spoiled.json"
        path.write_bytes(spoiled_bytes(draw, FILE))
        judge(path)


@pytest.mark.parametrize(
    "data", [b"", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}", b"null", b'{"format": NaN}', b"{" + b" " * 1000]
)
def test_what_is_no_profile_at_all(tmp_path, data):
    path = tmp_path / "spoiled.json"
    path.write_bytes(data)
    assert not judge(path)
