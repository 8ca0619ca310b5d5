from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
import torch

from lib_stability.guard.damping import Marks
from lib_stability.guard.guard import Guard
from lib_stability.guard.release import CALM
from lib_stability.shell import bench, bench_cases, bench_flagged, bench_unet
from lib_stability.shell.counting import Dispatched

FIELDS = {"shape", "mode", "median_us", "clone_ratio", "operations", "synchronisations", "kept_bytes"}
LATENT = torch.arange(-3.0, 3.0)
MASK = LATENT > 0

WAITING = {
    "item": lambda: LATENT.sum().item(),
    "float": lambda: float(LATENT[0]),
    "bool": lambda: bool(LATENT[0] > 0),
    "if": lambda: 1 if MASK.any() else 0,
    "nonzero": lambda: LATENT.nonzero(),
    "where without values": lambda: torch.where(MASK),
    "masked_select": lambda: LATENT.masked_select(MASK),
    "mask as index": lambda: LATENT[MASK],
    "bytes as index": lambda: torch.ops.aten.index.Tensor(LATENT, [MASK.to(torch.uint8)]),
    "write by mask": lambda: LATENT.clone().__setitem__(MASK, torch.ones(2)),
    "equal": lambda: torch.equal(LATENT, LATENT),
    "allclose": lambda: torch.allclose(LATENT, LATENT),
    "unique": lambda: LATENT.unique(),
    "cpu": lambda: LATENT.cpu(),
    "numpy": lambda: LATENT.numpy(),
    "asarray": lambda: np.asarray(LATENT),
    "tolist": lambda: LATENT.tolist(),
    "to another device": lambda: LATENT.to("meta"),
    "copy to another device": lambda: torch.empty(6, device="meta").copy_(LATENT),
}
FREE = {
    "arithmetic": lambda: (LATENT * 2 + 1).clamp(0, 3).sqrt(),
    "where with values": lambda: torch.where(MASK, LATENT, LATENT * 0),
    "masked_fill": lambda: LATENT.masked_fill(MASK, 0.0),
    "gather": lambda: LATENT[torch.arange(3)],
    "another dtype": lambda: LATENT.half(),
    "same device": lambda: LATENT.to("cpu"),
    "copy": lambda: torch.empty(6).copy_(LATENT),
    "views": lambda: LATENT.view(2, 3)[0].unsqueeze(0).flatten(),
    "metadata": lambda: (len(LATENT), LATENT.shape, LATENT.numel(), LATENT.device, LATENT.dtype),
}


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
@pytest.mark.parametrize("name", WAITING)
def test_counter_sees_what_waits(name):
    with Dispatched() as counted:
        WAITING[name]()
    assert counted.synchronisations >= 1, counted.names


@pytest.mark.parametrize("name", FREE)
def test_counter_leaves_the_rest_alone(name):
    with Dispatched() as counted:
        FREE[name]()
    assert counted.synchronisations == 0, counted.waits


def test_counter_counts_operations_while_entered():
    counted = Dispatched()
    LATENT + 1
    with counted:
        LATENT + 1
        LATENT.view(2, 3) * LATENT.view(2, 3)
    LATENT.item if len(LATENT) == 1 else LATENT[0].item()
    assert dict(counted.names) == {"add": 1, "view": 2, "mul": 1}
    assert (counted.operations, counted.synchronisations) == (4, 0)


def test_counter_lets_errors_through_and_ends():
    counted = Dispatched()
    with pytest.raises(RuntimeError), counted:
        LATENT.view(5)
    LATENT + 1
    assert counted.operations <= 1


@pytest.mark.parametrize("accelerator", [False, True])
@pytest.mark.parametrize("mode", bench.MODES)
def test_a_step_stays_small(mode, accelerator, monkeypatch):
    """On an accelerator nobody sees that no image is flagged, and everything is computed."""
    if accelerator:
        monkeypatch.setattr(Marks, "surely_empty", False)
    stepping = bench_cases.steps(bench_cases.Case((1, 4, 64, 64), mode), bench_cases.made_up_region())
    next(stepping)
    counts = []
    for _ in range(3):
        with Dispatched() as counted:
            next(stepping)
        counts.append(counted.operations)
        assert counted.synchronisations == 0, counted.waits
    assert len(set(counts)) == 1, "an evaluation costs the same all along"
    # What an image was flagged by is kept beside what it was pulled to later: five operations where something is damped.
    assert counts[0] <= (68 if mode.startswith("damp") else 63), counted.names


def test_mapping_costs_operations_only_where_it_is_asked_for():
    counts = {}
    for mode in ("report", "report mapped"):
        stepping = bench_cases.steps(bench_cases.Case((1, 4, 64, 64), mode), bench_cases.made_up_region())
        next(stepping)
        with Dispatched() as counted:
            next(stepping)
        counts[mode] = counted.operations
    assert counts["report"] <= 34 < counts["report mapped"] <= 34 + 15, counts


@pytest.mark.parametrize("mode", bench.MODES)
def test_made_up_predictions_are_judged_as_the_mode_says(mode):
    case = bench_cases.Case((2, 4, 16, 16), mode)
    stepping = bench_cases.steps(case, bench_cases.made_up_region())
    for _ in range(bench_cases.PASS):
        guard = next(stepping)
    assert guard.error is None and guard.evaluations == bench_cases.PASS
    flagged, damped = zip(*((v.flagged, v.damped) for v in guard.report()))
    assert flagged == ((mode == "damp flagged"),) * 2
    assert set(damped) == {bench_cases.PASS if mode == "damp flagged" else 0}
    assert next(stepping) is not guard


def test_kept_bytes_counts_each_storage_once():
    guard = Guard(None)
    assert bench.kept_bytes(guard) == 0
    storage = torch.zeros(100)
    guard.readings = [(storage[:1], storage[5:], {"again": [storage.view(10, 10)]}), 3.0, None]
    assert bench.kept_bytes(guard) == 400
    guard.more = torch.zeros(3, dtype=torch.float16)
    assert bench.kept_bytes(guard) == 406


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("bench") / "bench.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "SHAPES", ((1, 4, 16, 16), (2, 4, 16, 16)))
        return bench.run(repeats=5, seconds=0.5, out=out), out


def test_results(results):
    rows = results[0]["rows"]
    assert [(row["shape"], row["mode"]) for row in rows] == [(shape, mode) for shape in ("1x4x16x16", "2x4x16x16") for mode in bench.MODES]
    for row in rows:
        assert set(row) == FIELDS
        assert row["median_us"] > 0 and row["clone_ratio"] > 0 and row["operations"] > 0
        assert row["synchronisations"] == 0
        # Latents of float32 that are remembered while damping: the first, the present one and what was handed on; two channels while mapping.
        channels = {"report": 0, "report mapped": 2, "damp": 0, "damp flagged": 3 * 4}[row["mode"]]
        batch, latent = int(row["shape"][0]), int(row["shape"][0]) * 16 * 16 * 4 * channels
        assert latent < row["kept_bytes"] <= latent + bench_cases.PASS * batch * 48


def test_results_are_written_as_json(results):
    assert json.loads(results[1].read_text()) == results[0]


def test_threads_are_given_back(monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", ())
    before = torch.get_num_threads()
    assert bench.run(repeats=1, seconds=0.1) == {"rows": []}
    assert torch.get_num_threads() == before


def test_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "SHAPES", ((1, 4, 8, 8),))
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    out = tmp_path / "bench.json"
    assert bench.main(parser.parse_args(["--repeats", "5", "--seconds", "0.2", "--out", str(out)])) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(bench.MODES) + 1
    assert "clones" in printed[0] and "0.01 s" in printed[-1]
    assert all(line.startswith("1x4x8x8") for line in printed[1:-1])
    assert len(json.loads(out.read_text())["rows"]) == len(bench.MODES)
    defaults = parser.parse_args([])
    assert defaults.out is None and defaults.repeats > 100 and defaults.seconds > 0


def test_an_unknown_device_is_one_line(capsys):
    from lib_stability.shell.cli import main

    assert main(["bench", "--device", "abacus"]) == 2
    error = capsys.readouterr().err
    assert "--device" in error and error.count("\n") == 1


SMALL = bench_unet.CONFIG | {"block_out_channels": (32, 32, 32, 32), "norm_num_groups": 8}


def test_the_unet_is_timed_with_and_without_the_guard():
    found = bench_unet.run("cpu", 1, 2, SMALL, ((1, 4, 16, 16),))
    assert [row["mode"] for row in found["rows"]] == list(bench_unet.MODES)
    assert min(row[name] for row in found["rows"] for name in ("plain_ms", "guarded_ms")) > 0
    assert "float32" in bench_unet.table(found) and bench_unet.table(found).count("1x4x16x16") == 3


def test_a_flagged_image_costs_its_versions_once_and_one_row_until_it_is_let_go():
    found = bench_flagged.run("cpu", 1, SMALL, ((1, 4, 8, 8), (1, 4, 16, 16)))
    plain = 2 * bench_flagged.EVALUATIONS
    first = bench_flagged.FLAGGED_AT
    for numbers in (256, 1024):
        rows = {row["case"]: row for row in found["rows"] if row["numbers"] == numbers}
        assert (rows["ordinary"]["network_rows"], rows["ordinary"]["damped"]) == (plain, 0)
        for case, calm in bench_flagged.LET_GO.items():
            acted = bench_flagged.EVALUATIONS - first if calm is None else calm + CALM - 1 - first
            assert rows[case]["damped"] == acted, case
            assert rows[case]["network_rows"] == plain + bench_flagged.VERSIONS + acted - 1, case
            assert rows[case]["seconds"] > 0
    assert bench_flagged.table(found).count("\n") == 1 + 2 * 3


def test_a_made_up_image_that_is_not_flagged_is_told(monkeypatch):
    monkeypatch.setattr(bench_flagged, "INFLATION", 1.0)
    with pytest.raises(RuntimeError, match="not judged as it should be"):
        bench_flagged.run("cpu", 1, SMALL, ((1, 4, 8, 8),))
