"""Timesteps, epsilon and masks to (x, denoised, sigma) and back."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lib_stability.guard.norms import measure
from lib_stability.webui.host.latents import View

ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0).float()


def view(timesteps: bool, free: torch.Tensor | None = None) -> View:
    # No host in this process: the kind of denoiser is said, not asked.
    one = View.__new__(View)
    one.timesteps, one._free, one.coverage = timesteps, free, 1.0
    if free is not None:
        one.coverage = float((free**2).mean())
        one._scale = one.coverage**0.5
        one._weight = free / one._scale
    return one


def call(x: torch.Tensor, out: torch.Tensor, sigma: torch.Tensor) -> SimpleNamespace:
    inner = SimpleNamespace(inner_model=SimpleNamespace(alphas_cumprod=ALPHAS))
    return SimpleNamespace(x=x, out=out, sigma=sigma, denoiser=SimpleNamespace(inner_model=inner))


def latents(batch: int = 2, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.randn(2, batch, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    return made[0].to(dtype), made[1].to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("timestep", [0, 1, 500, 999])
def test_timesteps_are_sigmas(timestep, dtype):
    clean, noise = latents(dtype=torch.float32)
    level = ALPHAS[timestep]
    sigma = ((1 - level) / level).sqrt()
    z = (level.sqrt() * clean + (1 - level).sqrt() * noise).to(dtype)
    x, denoised, read_sigma = view(True).read(call(z, noise.to(dtype), torch.full((2,), float(timestep))), noise.to(dtype))
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 0.05, "atol": 0.05 * (1 + float(sigma))}
    torch.testing.assert_close(read_sigma, sigma.expand(2))
    torch.testing.assert_close(x, clean + sigma * noise, **close)
    torch.testing.assert_close(denoised, clean, **close)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_writing_back_epsilon(dtype):
    z, eps = latents(3, dtype=dtype)
    asked = call(z, eps, torch.tensor([10.0, 500.0, 999.0]))
    read = view(True).read(asked, eps)
    result = read[1].clone()
    result[1] *= 0.5
    written = view(True).write(asked, read, result)
    assert written.dtype == dtype
    assert torch.equal(written[[0, 2]], eps[[0, 2]])
    again = view(True).read(call(z, written, asked.sigma), written)[1]
    torch.testing.assert_close(again[1], result[1], rtol=0.02, atol=0.02 if dtype is torch.float16 else 1e-4)


@pytest.mark.parametrize("timesteps", [False, True])
def test_a_mask_weighs_the_freed_part_only(timesteps):
    free = torch.zeros(4, 8, 8)
    free[:, 2:6, :] = 1.0
    x, out = latents()
    sigma = torch.full((2,), 300.0 if timesteps else 2.0)
    asked = call(x, out, sigma)
    plain = view(timesteps).read(asked, out)
    masked = view(timesteps, free).read(asked, out)
    part = measure(plain[0][:, :, 2:6], plain[1][:, :, 2:6], plain[2])
    for one, other in zip(measure(*masked), part):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    result = masked[1].clone()
    result[0] = 0.0
    written = view(timesteps, free).write(asked, masked, result)
    assert torch.equal(written[1], out[1])
    kept = free == 0
    assert torch.equal(written[0][kept], out[0][kept])
    after = view(timesteps).read(call(x, written, sigma), written)[1]
    torch.testing.assert_close(after[0][free == 1], torch.zeros_like(after[0][free == 1]), rtol=0, atol=2e-4)


def test_a_soft_mask_blends():
    free = torch.full((4, 8, 8), 0.5)
    x, out = latents()
    asked = call(x, out, torch.ones(2))
    read = view(False, free).read(asked, out)
    torch.testing.assert_close(read[1], out)  # an even mask weighs nothing
    written = view(False, free).write(asked, read, torch.zeros_like(out))
    torch.testing.assert_close(written, 0.5 * out)
