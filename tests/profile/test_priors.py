"""The bundled priors: reproducible, readable, and in line with the numbers they are made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib_stability.guard.guard import Guard
from lib_stability.guard.norms import Norms, measure
from lib_stability.guard.options import Options
from lib_stability.guard.probe import REFERENCE_GUIDANCE
from lib_stability.guard.sensitivity import thresholds
from lib_stability.guard.verdict import STABLE
from lib_stability.profile import priors, profiles, storage
from lib_stability.profile.profiles import Profile

NAMES = ("sd1-prior.json", "generic-prior.json", "generic-prior-v.json")
#: What turns ||eps_c - eps_u|| into the guided part of RMS(D) at sigma 13 and w 7.5: sigma w / sqrt(N).
FACTOR = 13.0 * 7.5 / 128


@pytest.fixture(scope="module")
def bundled() -> dict[str, Profile]:
    return {name: storage.read(storage.BUNDLED / name) for name in NAMES}


@pytest.fixture(scope="module")
def sd1(bundled: dict[str, Profile]) -> Profile:
    return bundled["sd1-prior.json"]


def test_files_are_what_the_module_writes(tmp_path) -> None:
    paths = priors.write_all(tmp_path)
    assert [path.name for path in paths] == list(NAMES)
    assert sorted(path.name for path in storage.BUNDLED.glob("*prior*.json")) == sorted(NAMES)
    for path in paths:
        assert path.read_text(encoding="utf-8") == (storage.BUNDLED / path.name).read_text(encoding="utf-8")


def test_they_load_and_are_chosen(bundled: dict[str, Profile]) -> None:
    found, refused = storage.load_all([storage.BUNDLED])
    assert refused == [] and {profile.name for profile in bundled.values()} <= {profile.name for profile in found}
    priors_only = list(bundled.values())
    assert profiles.choose(priors_only, family="sd1")[0] is bundled["sd1-prior.json"]
    assert profiles.choose(priors_only, family="sdxl")[0] is bundled["generic-prior.json"]
    assert profiles.choose(priors_only, family="sd2", prediction="v")[0] is bundled["generic-prior-v.json"]
    assert profiles.choose(priors_only, family="flux", prediction="flow")[0] is None


@pytest.mark.parametrize("name", NAMES)
def test_shape(bundled: dict[str, Profile], name: str) -> None:
    profile = bundled[name]
    assert profile.kind == "prior" and profile.negative == "" and profile.probe_guidance == REFERENCE_GUIDANCE
    assert profile.probe.guidance_ == (REFERENCE_GUIDANCE, REFERENCE_GUIDANCE)
    assert "not a calibration" in profile.provenance["what"] and {"guided", "unguided", "spread", "extension", "limits"} <= set(profile.provenance)
    for region in (profile.watch, profile.probe):
        np.testing.assert_allclose(np.exp(region.knots_[[0, -1]]), [0.002, 5000], rtol=1e-5)
        limits = thresholds(region)
        assert len(region.scores_) == 0 and not limits.measured
        for curves in region.curves_.values():
            assert np.isfinite(curves.coefficients).all() and (curves.coefficients[:, 1] == 0).all() and (curves.spread >= 0.35).all()
    np.testing.assert_array_equal(profile.watch.tables("cpu"), profile.probe.tables("cpu"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sigma", [0.002, 0.0292, 14.6146, 157.0, 4500.0, 5000.0])
def test_reach(bundled: dict[str, Profile], name: str, sigma: float) -> None:
    mean, spread, inside = bundled[name].watch.look_up(torch.tensor([sigma]), 7.5)
    assert inside.all() and torch.isfinite(mean).all() and torch.isfinite(spread).all() and (mean < 2).all()


@pytest.mark.parametrize("name", NAMES)
def test_flat_beyond_the_numbers(bundled: dict[str, Profile], name: str) -> None:
    mean, spread, _ = bundled[name].watch.look_up(torch.tensor([30.0, 300.0, 5000.0]), 7.5)
    torch.testing.assert_close(mean, mean[:1].expand(3, 2), rtol=2e-3, atol=0)
    torch.testing.assert_close(spread, spread[:1].expand(3, 2))


# -- theory ------------------------------------------------------------------------------------------------------------------------------------


def test_schedule() -> None:
    np.testing.assert_allclose(priors.sd1_sigma(np.array([0, 999, 1000])), [0.02917, 14.6146, 14.6146], rtol=1e-4)
    assert priors.sd1_sigma(980) == pytest.approx(13, abs=0.1)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 4.0, 13.0])
def test_unguided_parts_follow_from_one_mean_square_error(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priors, "LEAST_UNGUIDED", 0.0)
    rate, clean, mmse = (float(value[0]) for value in priors.unguided(np.array([sigma]), 64))
    assert clean == pytest.approx(1 - mmse)
    assert rate == pytest.approx(1 - mmse * (1 + sigma**2) / sigma**2)
    # Between white data, the hardest to predict, and a predictor that knows the picture.
    assert 1 / (1 + sigma**2) < clean < 1 and 0 < rate < 1


@pytest.mark.parametrize("sigma", [0.3, 2.0, 10.0])
def test_unguided_parts_against_samples(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priors, "LEAST_UNGUIDED", 0.0)
    side, count = 16, 400
    axis = np.fft.fftfreq(side, 1 / side)
    square = axis[:, None] ** 2 + axis**2
    square[0, 0] = 1
    power = 1 / square / np.mean(1 / square)
    random = np.random.default_rng(0)

    def coloured(gain: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.fft.ifft2(gain * np.fft.fft2(x)).real

    data = coloured(np.sqrt(power), random.standard_normal((count, side, side)))
    x = data + sigma * random.standard_normal(data.shape)
    denoised = coloured(power / (power + sigma**2), x)
    measured = measure(torch.from_numpy(x).float(), torch.from_numpy(denoised).float(), torch.full((count,), sigma))
    rate, clean, mmse = priors.unguided(np.array([sigma]), side)
    assert np.mean((denoised - data) ** 2) == pytest.approx(mmse[0], rel=0.05)
    assert float(measured.clean.square().mean()) == pytest.approx(clean[0], rel=0.05)
    assert float(measured.rate.square().mean()) == pytest.approx(rate[0], rel=0.05)


def test_guided_parts_as_measured() -> None:
    """A difference of the predicted noises of norm g sqrt(N) adds (sigma w g)^2 to the clean norm and (1 + sigma^2)(w g)^2 to the rate."""
    sigma, w, g = 3.0, 7.5, 0.02
    random = torch.Generator().manual_seed(0)
    x, direction = (torch.randn(1, 4, 32, 32, generator=random) for _ in range(2))
    unguided = x / (1 + sigma**2)  # white data: a rate of 0
    direction -= unguided * (direction * unguided).sum() / unguided.square().sum()
    direction *= g / direction.square().mean().sqrt()
    before = measure(x, unguided, torch.tensor([sigma]))
    after = measure(x, unguided - sigma * w * direction, torch.tensor([sigma]))
    assert float(after.clean**2 - before.clean**2) == pytest.approx((sigma * w * g) ** 2, rel=1e-3)
    assert float(after.rate**2 - before.rate**2) == pytest.approx((1 + sigma**2) * (w * g) ** 2, rel=1e-3)


# -- numbers -----------------------------------------------------------------------------------------------------------------------------------


def norms_of(difference: float, sigma: float, guidance: float, unguided: tuple[float, float] | None = None) -> Norms:
    """Norms of a run whose ||eps_c - eps_u|| is `difference` on SD 1.x; the unguided part is the model's unless given as RMS (rate, clean)."""
    rate, clean = (np.square(unguided)) if unguided else (float(v[0]) for v in priors.unguided(np.array([sigma]), 64)[:2])
    guided = (guidance * difference) ** 2 / priors.SD1_ELEMENTS
    return Norms(torch.tensor([np.sqrt(rate + (1 + sigma**2) * guided)]).float(), torch.tensor([np.sqrt(clean + sigma**2 * guided)]).float())


def score(profile: Profile, measured: Norms, sigma: float, guidance: float) -> float:
    return float(profile.watch.z_scores(measured, torch.tensor([sigma]).float(), guidance).score[0])


def test_guided_part_at_the_first_evaluation() -> None:
    ordinary, _ = priors.SD1_DIFFERENCE[980]
    assert FACTOR * ordinary[0] == pytest.approx(0.38, abs=0.01)
    assert FACTOR * np.sqrt(priors.SD1_FIRST_SQUARED["ordinary"]) == pytest.approx(0.79, abs=0.01)
    assert FACTOR * np.sqrt(priors.SD1_FIRST_SQUARED["memorized"]) == pytest.approx(2.8, abs=0.1)
    assert FACTOR * np.mean(priors.SD1_DIFFERENCE[1000][1]) == pytest.approx(3.8, abs=0.05)


def test_region_holds_the_ordinary_guided_part(sd1: Profile) -> None:
    sigma = torch.tensor([13.0])
    mean, _, _ = sd1.watch.look_up(sigma, 7.5)
    unguided, _, _ = sd1.watch.look_up(sigma, 0.0)
    guided = (mean.square() - unguided.square()).sqrt()
    assert ((guided > 0.38) & (guided < 0.79)).all()
    assert (unguided < 1).all()


@pytest.mark.parametrize("guidance", [5.0, 7.5, 12.0])
def test_memorized_prompts_stand_out_at_the_first_evaluation(sd1: Profile, guidance: float) -> None:
    limit, sigma = thresholds(sd1.watch, "medium").mild, float(priors.sd1_sigma(1000))
    for difference in priors.SD1_DIFFERENCE[1000][1]:
        assert score(sd1, norms_of(difference, sigma, guidance), sigma, guidance) > limit


def test_memorized_prompts_stand_out_at_the_reference_scale(sd1: Profile) -> None:
    limit, sigma = thresholds(sd1.watch, "medium").mild, float(priors.sd1_sigma(980))
    for difference in (*priors.SD1_DIFFERENCE[980][1], np.sqrt(priors.SD1_FIRST_SQUARED["memorized"])):
        assert score(sd1, norms_of(difference, sigma, 7.5), sigma, 7.5) > limit


@pytest.mark.parametrize("guidance", [1.0, 2.0, 5.0, 7.5, 12.0, 20.0])
@pytest.mark.parametrize("timestep", list(priors.SD1_DIFFERENCE))
def test_ordinary_prompts_stay_below(bundled: dict[str, Profile], timestep: int, guidance: float) -> None:
    sigma = float(priors.sd1_sigma(timestep))
    ordinary, _ = priors.SD1_DIFFERENCE[timestep]
    for name in ("sd1-prior.json", "generic-prior.json"):
        limit = thresholds(bundled[name].watch, "high").mild
        for difference in ordinary:
            # Also where the unguided part is as large as that of a predictor that knows the picture.
            for unguided in (None, (1.0, 1.0)):
                assert score(bundled[name], norms_of(difference, sigma, guidance, unguided), sigma, guidance) < limit


def test_prompts_scatter_within_the_spread(sd1: Profile) -> None:
    """SD 1.5's squared norms, 1.06 +- 0.70: three deviations more stay below the Medium threshold."""
    sigma = float(priors.sd1_sigma(980))
    assert score(sd1, norms_of(np.sqrt(1.06 + 3 * 0.70), sigma, 7.5), sigma, 7.5) < thresholds(sd1.watch, "medium").mild


def test_generic_prior_sees_a_prompt_that_determines_the_picture(bundled: dict[str, Profile]) -> None:
    for name in ("generic-prior.json", "generic-prior-v.json"):
        for sigma in (7.0, 14.6, 80.0, 4500.0):
            rate, clean, mmse = (float(v[0]) for v in priors.unguided(np.array([sigma]), 128))
            guided = 5.0**2 * mmse
            measured = Norms(
                torch.tensor([np.sqrt(rate + guided * (1 + sigma**2) / sigma**2)]).float(), torch.tensor([np.sqrt(clean + guided)]).float()
            )
            assert score(bundled[name], measured, sigma, 5.0) > thresholds(bundled[name].watch, "medium").mild


def test_generic_is_wider_than_sd1_between_prompts() -> None:
    assert priors.GENERIC_SPREAD > priors.SD1_PROMPTS
    # The ordinary share lies above SD 1.x's own at its first step.
    sigma = float(priors.sd1_sigma(980))
    mmse = float(priors.unguided(np.array([sigma]), 64)[2][0])
    shares = [(sigma * g) ** 2 / priors.SD1_ELEMENTS / mmse for g in (0.5, np.sqrt(1.06), 2.6, 6.0)]
    assert shares == pytest.approx([0.003, 0.013, 0.082, 0.44], abs=0.003)
    assert shares[1] < priors.GENERIC_SHARE < shares[2]


def test_a_guard_runs_on_a_prior(sd1: Profile, generator: torch.Generator) -> None:
    guard = Guard(sd1.watch, Options())
    for sigma in np.geomspace(14.6, 0.03, 10):
        picture = 0.7 * torch.randn(2, 4, 16, 16, generator=generator)
        x = picture + sigma * torch.randn(2, 4, 16, 16, generator=generator)
        guard.step(x, x / (1 + sigma**2), torch.full((2,), float(sigma)), 7.5)
    assert [verdict.verdict for verdict in guard.report()] == [STABLE, STABLE]
