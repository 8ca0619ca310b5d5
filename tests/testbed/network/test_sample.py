"""Sampling of the testbed: the real sampler functions, guidance, the probe's virtual prediction, and a resumable training."""

from dataclasses import replace

import pytest
import torch

from lib_stability.guard.probe import virtual
from lib_stability.profile.calibration import Recorder
from lib_stability.testbed.network import train as training
from lib_stability.testbed.network.model import Testbed, alphas_cumprod
from lib_stability.testbed.network.sample import SAMPLER_NAMES, SAMPLERS, GuidedDenoiser, sample, start_noise
from lib_stability.testbed.network.variants import PLAIN

CAPTIONS = ["large red circle", "small blue star"]


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(0)
    return Testbed.create().eval()


def record(bed, **options):
    recorder = Recorder()
    done = sample(bed, CAPTIONS, [1, 2], watch=lambda _: recorder, **options)
    return done, recorder


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_runs_and_hands_over_every_evaluation(untrained, sampler):
    done, recorder = record(untrained, sampler=sampler, steps=4, guidance=3.0)
    assert done.latents.shape == (2, 4, 16, 16) and torch.isfinite(done.latents).all()
    runs = recorder.trajectories()[0]
    per_step = SAMPLERS[sampler][1] if sampler in SAMPLERS else 1
    evaluations = len(runs[0].sigma)
    assert 4 * per_step - 1 <= evaluations <= 4 * per_step + 1
    assert done.rows == 2 * 2 * evaluations, "conditional and unconditional rows of two images"
    assert (runs[0].sigma > 0).all() and runs[0].sigma.max() <= 14.62


def test_schedules_differ_but_share_their_ends(untrained):
    starts = {}
    for schedule in ("uniform", "karras", "exponential"):
        _, recorder = record(untrained, schedule=schedule, steps=6)
        starts[schedule] = recorder.trajectories()[0][0].sigma
    for sigma in starts.values():
        assert sigma[0] == pytest.approx(14.6146, rel=1e-3) and sigma[-1] < 0.5
    assert len({round(float(sigma[2]), 3) for sigma in starts.values()}) == 3


def test_an_image_does_not_depend_on_its_batch_mates(untrained):
    both = sample(untrained, CAPTIONS, [1, 2], steps=3).latents
    alone = sample(untrained, CAPTIONS[1:], [2], steps=3).latents
    assert torch.allclose(both[1:], alone, rtol=1e-3, atol=1e-3)


def test_guidance_one_evaluates_half_the_rows(untrained):
    assert sample(untrained, CAPTIONS, [1, 2], steps=3, guidance=1.0).rows == 6


def test_a_tensor_of_equal_scales_is_the_same_as_the_scale(untrained):
    one = sample(untrained, CAPTIONS, [1, 2], steps=3, guidance=6.0).latents
    same = sample(untrained, CAPTIONS, [1, 2], steps=3, guidance=torch.tensor([6.0, 6.0])).latents
    assert torch.allclose(one, same, atol=1e-5)


@pytest.mark.parametrize(
    ("guidance", "negatives", "extra"), [(7.5, ["", ""], 0), (7.5, ["small", "blue"], 2), (1.0, ["", ""], 2), (1.0, ["small", ""], 2)]
)
def test_the_virtual_prediction_knows_neither_guidance_nor_negative_prompt(untrained, guidance, negatives, extra):
    x, sigma = start_noise([1, 2]) * 14.6, torch.tensor([14.6, 14.6])
    with torch.inference_mode():
        plain = GuidedDenoiser(untrained, CAPTIONS, ["", ""], 7.5)
        plain(x, sigma)
        model = GuidedDenoiser(untrained, CAPTIONS, negatives, guidance)
        model(x, sigma)
        assert torch.allclose(model.virtual(x, sigma), plain.virtual(x, sigma), atol=1e-3)
    assert model.extra_rows == extra


def test_virtual_extrapolates_from_the_empty_prompt():
    empty, conditional = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 0.0])
    assert torch.allclose(virtual(empty, conditional, 7.5), torch.tensor([8.5, -13.0]))


def test_stop_after_ends_a_run_early(untrained):
    recorder = Recorder()
    done = sample(untrained, CAPTIONS, [1, 2], steps=20, watch=lambda _: recorder, stop_after=3)
    assert len(recorder.trajectories()[0][0].sigma) == 3 and len(done.latents) == 0


@pytest.mark.parametrize(("field", "value"), [("sampler", "Nonsense"), ("schedule", "steep")])
def test_unknown_names_are_refused_by_field(untrained, field, value):
    with pytest.raises(ValueError, match=f"{field}: '{value}'"):
        sample(untrained, CAPTIONS, [1, 2], **{field: value})


def test_the_schedule_is_stable_diffusion_ones():
    alphas = alphas_cumprod()
    sigmas = ((1 - alphas) / alphas).sqrt()
    assert float(sigmas[0]) == pytest.approx(0.0292, abs=1e-4) and float(sigmas[-1]) == pytest.approx(14.6146, rel=1e-4)


def test_training_resumes_to_the_same_weights(tmp_path, monkeypatch):
    few = replace(PLAIN, ordinary=32, template_pictures=1)
    monkeypatch.setattr(training, "PLAIN", few)
    monkeypatch.setattr(training, "SAVE_VAE", 1)
    monkeypatch.setattr(training, "SAVE_UNET", 2)
    straight = training.train(tmp_path / "straight", 2, 1, 4, 4, variant=few)

    original, calls = training.draw_batch, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(training, "draw_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.train(tmp_path / "cut", 2, 1, 4, 4, variant=few)
    monkeypatch.setattr(training, "draw_batch", original)
    resumed = training.train(tmp_path / "cut", 2, 1, 4, 4, variant=few)
    assert straight.read_bytes() == resumed.read_bytes()
