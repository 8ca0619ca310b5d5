"""Shared by the tests: reproducible property tests, synthetic ordinary runs, and a small profile."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import settings

from lib_stability.guard.region import StabilityRegion, Trajectory
from lib_stability.profile.profiles import Model, Profile

#: These run inside a web UI in small, in the environments that `make test` makes for them.
collect_ignore = [] if os.environ.get("HOST_SHAPE") else ["in_host"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--webui-url", help="address of a running web UI with the extension, for the tests marked live")
    parser.addoption("--webui-size", type=int, default=64, help="edge of the pictures that it is asked for")
    parser.addoption("--webui-auth", help="user:password of its --api-auth")
    parser.addoption("--webui-runs", type=int, default=100, help="reference runs of the calibration that it is asked for")
    parser.addoption("--webui-patience", type=int, default=300, help="seconds that a calibration or a scan may take")


if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
settings.register_profile("fixed", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("fixed")


def sigmas(steps: int = 20, low: float = 0.05, high: float = 14.6) -> np.ndarray:
    """A falling schedule, evenly spaced in log sigma."""
    return np.geomspace(high, low, steps)


def quadratic(coefficients: tuple[float, float, float], guidance: np.ndarray | float) -> np.ndarray:
    """Norm whose square is ``a + b w + c w**2``."""
    a, b, c = coefficients
    return np.sqrt(a + b * guidance + c * np.square(guidance))


def ordinary_runs(
    count: int,
    spread: float = 0.1,
    seed: int = 0,
    rate: tuple[float, float, float] = (1.0, 0.1, 0.02),
    clean: tuple[float, float, float] = (0.5, 0.05, 0.04),
    schedule: np.ndarray | None = None,
) -> list[Trajectory]:
    """Runs whose norms scatter by `spread` around known curves, independently at each evaluation, guidance scales from 1 to 15."""
    random = np.random.default_rng(seed)
    schedule = sigmas() if schedule is None else schedule

    def scattered(coefficients: tuple[float, float, float], guidance: float) -> np.ndarray:
        return quadratic(coefficients, guidance) * np.maximum(1 + spread * random.standard_normal(len(schedule)), 0.05)

    return [Trajectory(schedule, w, scattered(rate, w), scattered(clean, w)) for w in np.linspace(1, 15, count)]


def with_scores(scores: np.ndarray) -> StabilityRegion:
    """A region with these reference scores and nothing else."""
    region = StabilityRegion()
    region.scores_ = np.sort(np.asarray(scores, dtype=np.float64))
    return region


@pytest.fixture(scope="session")
def region() -> StabilityRegion:
    return StabilityRegion(step=0.5).fit(ordinary_runs(30))


@pytest.fixture(scope="session")
def flow_region() -> StabilityRegion:
    return StabilityRegion("flow", step=0.5).fit(ordinary_runs(30, schedule=np.linspace(0.95, 0.05, 20)))


@pytest.fixture(scope="session")
def profile(region: StabilityRegion) -> Profile:
    return Profile(
        name="Test model 1.0",
        kind="calibrated",
        model=Model("sd1", "epsilon", "model.safetensors", "ab" * 32),
        watch=region,
        probe=region,
        provenance={"sampler": "Euler", "steps": 20, "guidance": [1.0, 15.0]},
    )


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)
