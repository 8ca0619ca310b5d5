"""The guard's share of a sampling step: a guided evaluation of a U-Net of Stable Diffusion 1.5's size, plain and with the guard behind it.

Weights are random, which costs the same as trained ones. Both are timed in turns, so that a machine that slows down slows both.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch

from ..testbed.evidence.tables import markdown
from .bench_cases import GUIDANCE, Case, made_up_region, steps, wait

#: Stable Diffusion 1.5's own configuration, where it differs from diffusers' defaults.
CONFIG = dict(
    sample_size=64,
    cross_attention_dim=768,
    attention_head_dim=8,
    block_out_channels=(320, 640, 1280, 1280),
    layers_per_block=2,
)
TOKENS = 77
SHAPES = ((1, 4, 64, 64), (8, 4, 64, 64), (8, 4, 128, 128))
MODES = ("report", "report mapped", "damp flagged")


def _evaluation(unet: torch.nn.Module, shape: tuple[int, ...], dtype: torch.dtype, device: str):
    """A function that evaluates conditional and unconditional prediction of a batch and guides."""
    x = torch.randn(2 * shape[0], *shape[1:], device=device, dtype=dtype)
    context = torch.randn(2 * shape[0], TOKENS, CONFIG["cross_attention_dim"], device=device, dtype=dtype)

    def evaluate() -> torch.Tensor:
        conditional, unconditional = unet(x, 500, context).sample.chunk(2)
        return unconditional + GUIDANCE * (conditional - unconditional)

    return evaluate


def network(device: str, config: dict | None = None) -> tuple[torch.nn.Module, torch.dtype]:
    """A U-Net with random weights, and what it computes in: half precision on an accelerator."""
    from diffusers import UNet2DConditionModel

    dtype = torch.float32 if device == "cpu" else torch.float16
    with torch.device(device):
        return UNet2DConditionModel(**(config or CONFIG)).eval().requires_grad_(False).to(dtype), dtype


def measured(device: str, dtype: torch.dtype, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Rows, and what they were measured on."""
    name = "CPU" if device == "cpu" else torch.cuda.get_device_name(device)
    return {"device": name, "dtype": str(dtype).removeprefix("torch."), "torch": torch.__version__.split("+")[0], "rows": rows}


@torch.inference_mode()
def measure(evaluate, case: Case, evaluations: int, rounds: int) -> tuple[float, float]:
    """Milliseconds of one evaluation without and with the guard: medians over rounds of `evaluations` each, in turns."""
    stepping, times = steps(case, made_up_region()), ([], [])
    for _ in range(rounds + 1):  # the first round warms up
        for guarded, found in enumerate(times):
            start = time.perf_counter()
            for _ in range(evaluations):
                evaluate()
                if guarded:
                    next(stepping)
            wait(case.device)
            found.append((time.perf_counter() - start) / evaluations)
    return tuple(1e3 * median(found[1:]) for found in times)


def run(device: str = "cpu", evaluations: int | None = None, rounds: int = 5, config: dict | None = None, shapes=SHAPES) -> dict[str, Any]:
    """Measure every shape and mode; half precision on an accelerator. ``{"device", "rows": [{"shape", "mode", "plain_ms", "guarded_ms"}]}``."""
    cpu, rows = device == "cpu", []
    unet, dtype = network(device, config)
    for shape in shapes[:1] if cpu and config is None else shapes:
        evaluate = _evaluation(unet, shape, dtype, device)
        for mode in MODES:
            plain, guarded = measure(evaluate, Case(shape, mode, device), evaluations or (1 if cpu else max(2, 40 // shape[0])), rounds)
            rows.append({"shape": "x".join(map(str, shape)), "mode": mode, "plain_ms": round(plain, 3), "guarded_ms": round(guarded, 3)})
    return measured(device, dtype, rows)


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        [row["shape"], row["mode"], f"{row['plain_ms']:.2f}", f"{row['guarded_ms']:.2f}", f"{100 * (row['guarded_ms'] / row['plain_ms'] - 1):+.1f} %"]
        for row in results["rows"]
    ]
    head = f"A guided evaluation of a U-Net of Stable Diffusion 1.5's size, {results['dtype']}, {results['device']}, torch {results['torch']}:"
    return f"{head}\n\n{markdown(['latent', 'mode', 'ms without', 'ms with the guard', 'difference'], lines)}"
