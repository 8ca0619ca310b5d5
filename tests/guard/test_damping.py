"""Damping: what it may change, and what it must leave as it is to the last bit."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard import damping
from lib_stability.guard.damping import POLICIES, Damping, Remembered
from lib_stability.guard.norms import rms

SHAPE = (3, 4, 8, 8)


def predictions(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a.double() * b.double()).flatten(1).sum(1)


def root_mean_square(x: torch.Tensor) -> torch.Tensor:
    return x.double().square().flatten(1).mean(1).sqrt()


def along(direction: torch.Tensor, amounts: tuple[float, ...], seed: int = 9) -> torch.Tensor:
    """Predictions with exactly these components along `direction`."""
    rest = predictions(seed)
    rest = rest - (dot(rest, direction)[:, None, None, None] * direction).float()
    return rest + torch.tensor(amounts)[:, None, None, None] * direction


def unit(x: torch.Tensor) -> torch.Tensor:
    return x.float() / dot(x, x).sqrt().float()[:, None, None, None]


def radial(denoised: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    return damping.radial(denoised, limit, torch.ones(len(denoised), dtype=torch.bool))[0]


def directional(denoised: torch.Tensor, direction: torch.Tensor | None, strength: float, limit: float = math.inf) -> torch.Tensor:
    """Damping along a remembered direction, which may have any length."""
    everywhere, held = torch.ones(len(denoised), dtype=torch.bool), Remembered(denoised)
    if direction is not None:
        held.update(everywhere, ~everywhere, direction, rms(direction), torch.empty_like(held.latent))
    component, buffer = held.along(denoised.float())
    limits = torch.full((len(denoised),), limit)
    return damping.directional(denoised, rms(denoised), component, limits, everywhere, strength, held, buffer)[0]


@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 1000), limits=st.lists(st.floats(0, 2000), min_size=3, max_size=3))
def test_radial_scales_down_to_the_limit_and_never_up(seed: int, scale: float, limits: list[float]) -> None:
    denoised, limit = predictions(seed, scale), torch.tensor(limits)
    damped = radial(denoised, limit)
    before, after = root_mean_square(denoised), root_mean_square(damped)
    torch.testing.assert_close(after, torch.minimum(before, limit.double()), rtol=2e-6, atol=1e-12)
    assert (damped.abs() <= denoised.abs()).all() and (damped * denoised >= 0).all()
    for i in range(3):
        if limit[i] > before[i] * (1 + 1e-6):
            assert torch.equal(damped[i], denoised[i])


def test_radial_keeps_the_direction() -> None:
    denoised = predictions(0)
    damped = radial(denoised, torch.full((3,), 0.3))
    cosine = dot(damped, denoised) / (root_mean_square(damped) * root_mean_square(denoised) * denoised[0].numel())
    torch.testing.assert_close(cosine, torch.ones(3).double(), rtol=1e-6, atol=0)


def test_radial_of_zero_is_zero() -> None:
    assert (radial(torch.zeros(SHAPE), torch.tensor([0.0, 1.0, 5.0])) == 0).all()


def test_radial_of_half_precision_does_not_overflow() -> None:
    damped = radial(torch.full((2, 4, 64, 64), 6e4, dtype=torch.float16), torch.tensor([1.0, 1e9]))
    assert damped.dtype == torch.float16
    torch.testing.assert_close(root_mean_square(damped), torch.tensor([1.0, 6e4]).double(), rtol=1e-4, atol=0)


@given(seed=st.integers(0, 10_000))
def test_strength_one_leaves_nothing_along_the_direction(seed: int) -> None:
    m = unit(predictions(seed))
    damped = directional(along(m, (5.0, 30.0, 0.2)), m, 1.0)
    assert (dot(damped, m).abs() < 1e-5).all()


@given(seed=st.integers(0, 10_000), strength=st.floats(0, 4))
def test_directional_changes_the_component_along_the_direction_and_no_other(seed: int, strength: float) -> None:
    m, amounts = unit(predictions(seed)), (5.0, 30.0, 0.2)
    denoised = along(m, amounts)
    damped = directional(denoised, m, strength)
    torch.testing.assert_close(dot(damped, m), (1 - strength) * torch.tensor(amounts).double(), rtol=1e-5, atol=3e-5)
    before = denoised.double() - dot(denoised, m)[:, None, None, None] * m.double()
    after = damped.double() - dot(damped, m)[:, None, None, None] * m.double()
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("length", [1e-3, 1.0, 250.0])
def test_the_length_of_what_is_remembered_does_not_matter(length: float) -> None:
    m = unit(predictions(1))
    denoised = along(m, (3.0, 4.0, 0.5))
    torch.testing.assert_close(directional(denoised, length * m, 1.5), directional(denoised, m, 1.5), rtol=1e-5, atol=1e-5)


@given(seed=st.integers(0, 10_000), strength=st.floats(0, 4), limit=st.floats(0.01, 50))
def test_directional_limits_what_is_left(seed: int, strength: float, limit: float) -> None:
    m = unit(predictions(seed))
    denoised = along(m, (5.0, 30.0, 0.2))
    left = root_mean_square(directional(denoised, m, strength))
    # What is left is told from two sums instead of measured: near strength 1 only to a thousandth of the whole.
    near = dict(rtol=1e-4, atol=2e-3 * float(root_mean_square(denoised).max())) if abs(strength - 1) < 0.05 else dict(rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(root_mean_square(directional(denoised, m, strength, limit)), left.clamp(max=limit), **near)


@pytest.mark.parametrize("strength", [0.97, 1.0, 1.03])
def test_a_prediction_that_lies_wholly_along_the_direction_leaves_numbers(strength: float) -> None:
    denoised = torch.full((1, 4, 128, 128), 300.0)
    damped = directional(denoised, denoised, strength, limit=10.0)
    assert torch.isfinite(damped).all() and damped.abs().max() < 10.1


def test_images_outside_the_gate_keep_every_bit() -> None:
    denoised = predictions(8)
    denoised[0, 0, 0, 0], denoised[0, 0, 0, 1] = -0.0, float("inf")
    damped, acted = damping.radial(denoised, torch.full((3,), 0.1), torch.tensor([False, True, False]))
    assert torch.equal(damped[[0, 2]].view(torch.int32), denoised[[0, 2]].view(torch.int32))
    assert acted.changed().tolist() == [False, True, False]


def test_strength_zero_is_the_identity() -> None:
    m = unit(predictions(1))
    denoised = along(m, (3.0, 4.0, -0.5))
    assert torch.equal(directional(denoised, m, 0.0), denoised)


def test_no_direction_is_the_identity() -> None:
    denoised = predictions(2)
    assert torch.equal(directional(denoised, None, 1.5), denoised)


def test_strength_two_is_a_mirror() -> None:
    m = unit(predictions(3))
    denoised = along(m, (3.0, 4.0, 5.0))
    damped = directional(denoised, m, 2.0)
    torch.testing.assert_close(root_mean_square(damped), root_mean_square(denoised), rtol=1e-5, atol=0)
    torch.testing.assert_close(dot(damped, m), -dot(denoised, m), rtol=1e-4, atol=0)


def test_directional_is_per_image() -> None:
    m, denoised = unit(predictions(4)), predictions(5)
    for i in range(3):
        torch.testing.assert_close(directional(denoised[i : i + 1], m[i : i + 1], 1.5)[0], directional(denoised, m, 1.5)[i], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_directional_of_half_precision_sums_in_float32(dtype: torch.dtype) -> None:
    denoised = torch.full((1, 4, 128, 128), 300.0, dtype=dtype)
    damped = directional(denoised, unit(denoised), 1.0)
    assert damped.dtype == dtype
    assert damped.abs().max() < 0.1


def test_a_poisoned_image_leaves_the_others_alone() -> None:
    m, denoised = unit(predictions(6)), predictions(7)
    before = directional(denoised, m, 1.5, limit=0.5)
    denoised[1, 0, 0, 0] = float("nan")
    after = directional(denoised, m, 1.5, limit=0.5)
    assert torch.equal(after[[0, 2]], before[[0, 2]])


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("damping", {"policy": "soft"}),
        ("damping", {"policy": ""}),
        ("damping", {"policy": None}),
        ("strength", {"strength": -0.1}),
        ("strength", {"strength": 4.1}),
        ("strength", {"strength": math.nan}),
        ("strength", {"strength": math.inf}),
        ("margin", {"margin": -3.1}),
        ("margin", {"margin": 5.1}),
        ("margin", {"margin": math.nan}),
        ("margin", {"margin": -math.inf}),
    ],
)
def test_values_out_of_range_are_refused_by_name(field: str, values: dict) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        Damping(**values)


def test_limits_of_the_range_and_the_margin_in_force() -> None:
    for strength in (0, 4):
        assert Damping(strength=strength).strength == strength
    for policy in POLICIES:
        assert Damping(policy, margin=-3).limit == -3 and Damping(policy, margin=5).limit == 5
        assert Damping(policy, margin=0.0).limit == 0.0, "an explicit 0 is no default"
    assert Damping("directional").limit > Damping("radial").limit == 0
