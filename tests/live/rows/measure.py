"""Rows of the network, texts encoded and seconds of jobs on a running web UI: ``python tests/live/rows/measure.py http://127.0.0.1:7860 Testbed 3``.

The folder beside this file has to lie among the web UI's extensions, and the testbed's checkpoint to be loaded (`testbed export`). Names the profile
to judge by, and how often each job runs, for the median of its seconds. Rows are those of one image; the negative prompt's are among them. With
``--pid`` seconds are those of the processor that this process of the web UI takes, which other work on the machine hardly moves (Linux).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from client import WebUI

from lib_stability.testbed.world.kinds import memorized, ordinary_samples

SIZE = 128
COPY, ORDINARY = memorized()[0].caption, "small blue square"
PROBED = {"probe": "always"}
#: Name, settings of the guard, fields of the job.
JOBS = [
    ("no guard", None, {}),
    ("no guard, negative prompt", None, {"negative_prompt": "green star"}),
    ("report, watch alone", {"probe": "never"}, {}),
    ("report, flagged", {}, {"prompt": COPY}),
    ("probe, no negative prompt", PROBED, {}),
    ("probe, negative prompt", {}, {"negative_prompt": "green star"}),
    ("no guard, CFG 1", None, {"cfg_scale": 1.0}),
    ("probe, CFG 1", {}, {"cfg_scale": 1.0}),
    ("probe, CFG 1, negative prompt", {}, {"cfg_scale": 1.0, "negative_prompt": "green star"}),
    ("damp, nothing flagged", {"mode": "damp"}, {}),
    ("damp, nothing flagged, negative prompt", {"mode": "damp"}, {"negative_prompt": "green star"}),
    ("damp, flagged", {"mode": "damp"}, {"prompt": COPY}),
    ("damp, flagged, negative prompt", {"mode": "damp"}, {"prompt": COPY, "negative_prompt": "green star"}),
]


def calibrate(webui: WebUI, runs: int = 20, steps: int = 6) -> dict:
    """One calibration by API, with a sampler of the first order: rows of one image's generation."""
    prompts = [caption for caption, _ in ordinary_samples(runs, 1_000_000, "calibration")]
    body = {"runs": runs, "steps": steps, "batch_size": 4, "prompts": prompts, "width": SIZE, "height": SIZE, "sampler": "Euler"}
    began = time.perf_counter()
    webui.get("/count-rows")
    webui.call("/memorization-guard/v1/calibrate", body)
    while (state := webui.get("/memorization-guard/v1/calibrate"))["state"] == "running":
        time.sleep(0.5)
    if state["state"] != "done":
        raise RuntimeError(state)
    seen = webui.get("/count-rows")
    return {"rows": seen["rows"] / runs, "evaluations": steps, "seconds": round((time.perf_counter() - began) / runs, 3)}


def clock(pid: int) -> float:
    """Seconds: of the wall, or of the processor that a process and its threads have taken so far."""
    if not pid:
        return time.perf_counter()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, see proc(5)


def main(url: str, profile: str, times: int, steps: int, only: str, calibrating: bool, pid: int) -> None:
    webui, table = WebUI(url, SIZE, None), {}
    webui.txt2img(prompt=ORDINARY, steps=1)
    webui.get("/count-rows")
    for name, guard, fields in (one for one in JOBS if only in one[0]):
        taken = []
        for _ in range(times):
            webui.get("/count-rows")
            began = clock(pid)
            given = None if guard is None else {"profile": profile, **guard}
            webui.txt2img(given, **{"prompt": ORDINARY, "steps": steps, "cfg_scale": 7.5, **fields})
            taken.append(clock(pid) - began)
            # What is kept for the next job is another matter: the first and the last are shown.
            table[name] = {**table.get(name, {}), ("first" if "first" not in table.get(name, {}) else "last"): webui.get("/count-rows")}
        table[name]["seconds"] = round(statistics.median(taken), 2)
        print(name, table[name], flush=True)
    if calibrating:
        table["calibration"] = calibrate(webui)
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("profile")
    parser.add_argument("times", type=int, nargs="?", default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--only", default="", metavar="WORDS", help="jobs whose name has these words in it")
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--no-calibration", dest="calibrating", action="store_false")
    main(**vars(parser.parse_args()))
