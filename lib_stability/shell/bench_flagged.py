"""What a flagged image costs in all, with a network of Stable Diffusion 1.5's size: plain, and damped by rewording with and without letting go.

The network has random weights and is evaluated for its time alone. What the guard judges is made up, so that the image is flagged at an evaluation
that is told, its versions are ordinary, and its own prompt calms down where it shall be let go.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from ..guard.guard import Guard
from ..guard.options import Options
from ..guard.rewording import Rewording, Version
from ..testbed.evidence.tables import markdown
from .bench_cases import GUIDANCE, INFLATION, clean_norm, made_up_region, wait
from .bench_unet import CONFIG, TOKENS, measured, network

#: Latents of 1,024, 4,096 and 16,384 numbers: pictures of 128, 256 and 512 pixels.
SHAPES = ((1, 4, 16, 16), (1, 4, 32, 32), (1, 4, 64, 64))
EVALUATIONS = 20
#: Evaluation, from 0, at which the image is flagged, and versions of its prompt: as many as are tried at most.
FLAGGED_AT, VERSIONS = 2, 12
#: By name the evaluation from which the image's own prompt is ordinary again; None where it never is.
LET_GO = {"flagged, let go": 10, "flagged, never let go": None}


class Image:
    """One image's evaluations: the network for its time, made-up predictions for the guard."""

    def __init__(self, evaluate: Callable[[int], object], shape: tuple[int, ...], device: str) -> None:
        self.evaluate, self.device, self.rows = evaluate, device, 0
        draw = torch.Generator().manual_seed(1)
        count = int(np.prod(shape))
        apart = torch.linalg.qr(torch.randn(count, 4, generator=draw)).Q * count**0.5
        #: Unrelated directions of RMS 1: the noise, what is memorized, what versions point at, what the prompt points at once it is led away.
        self.noise, self.memory, self.version, self.away = (one.reshape(shape).to(device) for one in apart.T)

    def network(self, rows: int) -> None:
        """Evaluate the network for `rows` rows."""
        self.evaluate(rows)
        self.rows += rows

    @staticmethod
    def predicted(direction: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        """A prediction of `scale` times the ordinary norm; an ordinary one is uncorrelated with the noise."""
        return direction * (scale * clean_norm(GUIDANCE))

    def versions(self, x: torch.Tensor, sigma: torch.Tensor, numbers: list[int | None], virtual: bool) -> Version:
        """An ordinary prediction for one version of the prompt: one row of the network."""
        self.network(sum(number is not None for number in numbers))
        return Version(self.predicted(self.version), None)

    def run(self, guard: Guard | None, calm: int | None) -> float:
        """Seconds of the whole image, on a CPU the processor's, which other work does not change; `calm` as in :data:`LET_GO`."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        start = clock()
        for number, level in enumerate(np.geomspace(14.6, 0.03, EVALUATIONS)):
            sigma = torch.full(self.noise.shape[:1], float(level), device=self.device)
            self.network(2)
            if guard is None:
                continue
            x = self.noise * float(1 + level**2) ** 0.5
            caught = number >= FLAGGED_AT and (calm is None or number < calm)
            direction = self.memory if caught or number < FLAGGED_AT else self.away
            guard.step(x, self.predicted(direction, INFLATION if caught else 1.0), sigma, GUIDANCE)
        wait(self.device)
        return clock() - start


@torch.inference_mode()
def run(device: str = "cpu", rounds: int = 1, config: dict | None = None, shapes=SHAPES) -> dict[str, Any]:
    """Measure every size: ``{"device", "dtype", "torch", "rows": [{"numbers", "case", "seconds", "network_rows", "damped"}]}``; half precision on an
    accelerator, the median of `rounds`.

    Raises
    ------
    RuntimeError
        If the made-up image is not judged as it shall be.
    """
    unet, dtype = network(device, config)
    region, rows = made_up_region(), []
    for shape in shapes:

        def evaluate(count: int, shape=shape) -> None:
            x = torch.zeros(count, *shape[1:], device=device, dtype=dtype)
            unet(x, 500, torch.zeros(count, TOKENS, CONFIG["cross_attention_dim"], device=device, dtype=dtype))

        for count in (1, 2):  # the first evaluation of each batch chooses how it is computed
            evaluate(count)
        for case, calm in {"ordinary": None, **LET_GO}.items():
            times = []
            for _ in range(rounds):
                image = Image(evaluate, shape, device)
                guard = None
                if case != "ordinary":
                    guard = Guard(region, Options(mode="damp", sensitivity="paper"), rewording=Rewording([VERSIONS], image.versions))
                times.append(image.run(guard, calm))
            verdict = guard.report()[0] if guard else None
            if verdict is not None and (verdict.flagged_at != FLAGGED_AT + 1 or not verdict.damped):
                raise RuntimeError(f"{case}: the made-up image is not judged as it should be")
            row = {"numbers": int(np.prod(shape)), "case": case, "seconds": round(median(times), 3), "network_rows": image.rows}
            rows.append(row | {"damped": verdict.damped if verdict else 0})
    return measured(device, dtype, rows)


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    plain = {row["numbers"]: row for row in results["rows"] if row["case"] == "ordinary"}
    lines = []
    for row in results["rows"]:
        ratio = row["seconds"] / plain[row["numbers"]]["seconds"]
        counts = (f"{row['numbers']:,}", row["case"], str(row["damped"]), str(row["network_rows"]))
        lines.append([*counts, f"{row['seconds']:.2f}", f"{ratio:.2f}"])
    return markdown(["numbers in the latent", "image", "evaluations damped", "rows of the network", "seconds", "times the ordinary"], lines)
