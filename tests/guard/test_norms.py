"""Norms of one evaluation, against float64 formulas written out from the definitions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard.norms import axis, measure, noise, rms

SIGMAS = [0.002, 0.0292, 0.1, 0.7, 1.0, 3.0, 14.6146, 80.0, 4518.0, 1e5]


def latents(sigma: float, seed: int = 0, scale: float = 1.0, shape: tuple[int, ...] = (2, 4, 16, 16)) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy latent and a prediction of its clean part that is off by a fifth of the noise, or of the image where noise is stronger."""
    random = torch.Generator().manual_seed(seed)
    clean, noise, error = (torch.randn(shape, generator=random) for _ in range(3))
    return scale * clean + sigma * noise, scale * clean + 0.2 * min(sigma, scale) * error


def direct_rate(x: torch.Tensor, denoised: torch.Tensor, sigma: float) -> torch.Tensor:
    """RMS of ``alpha * (x - D)/sigma - s * D``, literally and in float64."""
    x, denoised = x.double(), denoised.double()
    alpha = 1 / math.sqrt(1 + sigma**2)
    v = alpha * (x - denoised) / sigma - sigma * alpha * denoised
    return v.square().flatten(1).mean(1).sqrt()


def measured(x: torch.Tensor, denoised: torch.Tensor, sigma: float, parameterisation: str = "sigma"):
    return measure(x, denoised, torch.full((len(x),), sigma), parameterisation)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_rate_is_the_velocity_at_any_noise_level(sigma: float) -> None:
    x, denoised = latents(sigma)
    # float32 cancellation at the smallest sigma: 6e-8 of an element of size 1 against a noise of 0.002.
    torch.testing.assert_close(measured(x, denoised, sigma).rate.double(), direct_rate(x, denoised, sigma), rtol=1e-4, atol=0)


@given(log_sigma=st.floats(math.log(0.002), math.log(1e5)), scale=st.floats(0.01, 30), seed=st.integers(0, 10_000))
def test_rate_within_rounding_of_the_direct_formula(log_sigma: float, scale: float, seed: int) -> None:
    sigma = float(torch.tensor(math.exp(log_sigma)))
    x, denoised = latents(sigma, seed, scale)
    expected = direct_rate(x, denoised, sigma)
    operands = x.double().abs().amax((1, 2, 3)) / (1 + sigma**2) + denoised.double().abs().amax((1, 2, 3))
    rounding = 4 * 2**-24 * operands * math.sqrt(1 + sigma**2) / sigma
    error = (measured(x, denoised, sigma).rate.double() - expected).abs()
    assert (error <= rounding + 1e-5 * expected).all()


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 5.0, 50.0])
def test_rate_is_the_update_of_a_tiny_euler_step(sigma: float) -> None:
    x, denoised = latents(sigma)
    step = 1e-6
    x64, smaller = x.double(), sigma * (1 - step)
    stepped = x64 + (x64 - denoised.double()) / sigma * (smaller - sigma)
    update = stepped / math.sqrt(1 + smaller**2) - x64 / math.sqrt(1 + sigma**2)
    norm = update.square().flatten(1).mean(1).sqrt()
    rate = measured(x, denoised, sigma).rate.double()
    # Per unit of lambda = -ln sigma the variance-preserving latent moves by alpha * s * rate ...
    per_log_snr = norm / (math.log(sigma) - math.log(smaller))
    torch.testing.assert_close(per_log_snr, sigma / (1 + sigma**2) * rate, rtol=1e-4, atol=0)
    # ... which is the rate itself per radian of the angle atan(sigma) between image and noise.
    torch.testing.assert_close(norm / (math.atan(sigma) - math.atan(smaller)), rate, rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
def test_half_precision_does_not_overflow(dtype: torch.dtype, parameterisation: str, generator: torch.Generator) -> None:
    signs = torch.randn(2, 4, 128, 128, generator=generator).sign()
    x, denoised = (1e4 * signs).to(dtype), (-1e4 * signs).to(dtype)
    found = measured(x, denoised, 0.5, parameterisation)
    value = denoised.double().abs().max()
    expected = direct_rate(x, denoised, 0.5) if parameterisation == "sigma" else torch.full((2,), float(2 * value / 0.5)).double()
    assert found.rate.dtype == found.clean.dtype == torch.float32
    # Sums of 65536 equal squares round by up to some 1e-5.
    torch.testing.assert_close(found.rate.double(), expected, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.clean.double(), value.expand(2), rtol=1e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_equals_its_own_values_in_float32(dtype: torch.dtype) -> None:
    x, denoised = (t.to(dtype) for t in latents(3.0))
    for found, expected in zip(measured(x, denoised, 3.0), measured(x.float(), denoised.float(), 3.0)):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
def test_size_drops_out(parameterisation: str) -> None:
    x, denoised = latents(0.6)
    small = measured(x, denoised, 0.6, parameterisation)
    large = measured(x.repeat(1, 1, 2, 3), denoised.repeat(1, 1, 2, 3), 0.6, parameterisation)
    torch.testing.assert_close(large, small, rtol=1e-5, atol=0)


def test_rms_of_white_noise_is_its_deviation_at_any_size(generator: torch.Generator) -> None:
    for shape in ((1, 4, 64, 64), (1, 16, 128, 96), (1, 16, 5, 32, 32), (1, 20_000)):
        found = rms(3 * torch.randn(shape, generator=generator))
        assert found.shape == (1,)
        assert found.item() == pytest.approx(3, rel=0.03)


@given(sigma=st.floats(0.01, 1.0), seed=st.integers(0, 10_000))
def test_flow_rate_is_the_velocity(sigma: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    image, noise = torch.randn(2, 16, 8, 8, generator=random), torch.randn(2, 16, 8, 8, generator=random)
    x = (1 - sigma) * image + sigma * noise
    found = measured(x, image, sigma, "flow")
    velocity = (noise.double() - image.double()).square().flatten(1).mean(1).sqrt()
    torch.testing.assert_close(found.rate.double(), velocity, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.clean.double(), image.double().square().flatten(1).mean(1).sqrt(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("parameterisation", ["sigma", "flow"])
def test_a_batch_is_its_images(parameterisation: str, generator: torch.Generator) -> None:
    x, denoised = torch.randn(5, 4, 24, 16, generator=generator), torch.randn(5, 4, 24, 16, generator=generator)
    sigma = torch.tensor([0.9, 0.5, 0.1, 0.02, 0.3])
    together = measure(x, denoised, sigma, parameterisation)
    assert together.rate.shape == together.clean.shape == (5,)
    for i in range(5):
        alone = measure(x[i : i + 1], denoised[i : i + 1], sigma[i : i + 1], parameterisation)
        torch.testing.assert_close(alone.rate[0], together.rate[i], rtol=1e-6, atol=0)
        torch.testing.assert_close(alone.clean[0], together.clean[i], rtol=1e-6, atol=0)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_poisoned_image_leaves_the_others_alone(poison: float) -> None:
    x, denoised = latents(1.0, shape=(3, 4, 16, 16))
    before = measured(x, denoised, 1.0)
    x[1, 0, 0, 0] = poison
    denoised[1, 2, 3, 4] = poison
    after = measured(x, denoised, 1.0)
    assert not torch.isfinite(after.rate[1]) and not torch.isfinite(after.clean[1])
    for i in (0, 2):
        assert torch.equal(after.rate[i], before.rate[i]) and torch.equal(after.clean[i], before.clean[i])


def test_measuring_changes_nothing() -> None:
    x, denoised = latents(1.0)
    kept = x.clone(), denoised.clone()
    measured(x, denoised, 1.0)
    assert torch.equal(x, kept[0]) and torch.equal(denoised, kept[1])


def test_latents_need_not_be_contiguous() -> None:
    x, denoised = latents(1.0)
    for layout in (lambda t: t.transpose(2, 3), lambda t: t.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(measured(layout(x), layout(denoised), 1.0), measured(x, denoised, 1.0), rtol=1e-6, atol=0)


def test_axis_positions() -> None:
    torch.testing.assert_close(axis(torch.tensor([1.0, math.e, 100.0]), "sigma"), torch.tensor([0.0, 1.0, 2 * math.log(10)]))
    level = torch.tensor([0.1, 0.25, 0.5, 0.8])
    torch.testing.assert_close(axis(level, "flow"), -axis(1 - level, "flow"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(axis(torch.tensor([0.8]), "flow"), torch.tensor([math.log(4)]))
    torch.testing.assert_close(noise(level, "flow").log(), axis(level, "flow"))
    assert noise(level, "sigma") is level and noise(torch.tensor([1.0]), "flow").isfinite().all()
    assert torch.isfinite(axis(torch.tensor([1.0]), "flow")).all(), "a flow run starts at pure noise"
