"""Flow models of the testbed: schedules and samplers against closed forms, what a distilled one is told, and their training."""

from __future__ import annotations

import pytest
import torch
from k_diffusion import sampling

from lib_stability.guard.norms import measure
from lib_stability.guard.probe import virtual
from lib_stability.profile.calibration import DISTILLED_REFERENCE, Recorder
from lib_stability.testbed.network import finished, flow, sample, train_flow
from lib_stability.testbed.network.model import FLOW_TIME, SCALE_UNIT, Testbed
from lib_stability.testbed.network.unet_training import Training
from lib_stability.testbed.network.variants import DISTILLED, FEW, FLOW

CAPTIONS = ["large red circle", "small blue star"]
#: Standard deviation of made-up normal data: then the path of a flow is known.
SPREAD = 0.5


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return Testbed.create(FLOW).eval()


@pytest.fixture(scope="module")
def student():
    torch.manual_seed(1)
    return Testbed.create(DISTILLED).eval()


def of_normal_data(x, sigma, **_):
    """E[x0 | x] of data N(0, SPREAD²)."""
    sigma = sigma.view(-1, 1, 1, 1)
    return x * (1 - sigma) * SPREAD**2 / ((1 - sigma) ** 2 * SPREAD**2 + sigma**2)


# -- schedules and samplers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", flow.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 4, 30])
def test_schedules_fall_from_pure_noise_to_none(schedule, steps):
    sigmas = flow.sigmas(schedule, steps)
    assert sigmas.shape == (steps + 1,) and sigmas[0] == 1 and sigmas[-1] == 0 and (sigmas.diff() < 0).all()


def test_simple_is_even_in_the_unshifted_time_and_linear_in_sigma():
    times = 1 - torch.arange(21) / 20
    assert torch.allclose(flow.sigmas("simple", 20), 3 * times / (1 + 2 * times), atol=1e-6)
    assert torch.allclose(flow.sigmas("linear", 20), times, atol=1e-6)
    assert flow.shifted(torch.tensor(0.5)) == 0.75 and flow.shifted(torch.tensor(0.3), 1.0) == pytest.approx(0.3)


def test_beta_has_most_levels_at_both_ends():
    steps = -flow.sigmas("beta", 20).double().diff() / -flow.sigmas("simple", 20).double().diff()
    assert steps[0] < 0.7 and steps[-1] < 0.7 and steps[10] > 1


@pytest.mark.parametrize("sampler", [name for name in flow.SAMPLERS if name != "Euler a"])
def test_samplers_follow_the_closed_form_path_of_normal_data(sampler):
    """The exact end is SPREAD times the noise; the error falls with the steps, and at as many none is worse than Euler's."""
    noise = sample.start_noise([1, 2])

    def error(sampler, steps):
        found = flow.SAMPLERS[sampler][0](of_normal_data, noise, flow.sigmas("simple", steps), disable=True)
        return float((found - SPREAD * noise).abs().max() / noise.abs().max())

    assert error(sampler, 80) < 0.02 and error(sampler, 80) < 0.75 * error(sampler, 20) and error(sampler, 20) <= error("Euler", 20)


@pytest.mark.parametrize("sampler", flow.SAMPLERS)
def test_samplers_end_at_data_of_one_point(sampler):
    point, noise = torch.full((2, 4, 16, 16), 0.3), sample.start_noise([1, 2])
    found = flow.SAMPLERS[sampler][0](lambda x, sigma, **_: point, noise, flow.sigmas("simple", 6), disable=True)
    assert torch.allclose(found, point, atol=1e-5)


def test_euler_a_is_k_diffusions_at_the_same_ratio_of_noise_and_picture():
    sigmas = flow.sigmas("simple", 8)[1:].double()
    levels, noise = sigmas / (1 - sigmas), sample.start_noise([3]).double()

    def plain(x, sigma, **_):
        level = sigma.view(-1, 1, 1, 1)
        return of_normal_data(x / (1 + level), sigma / (1 + sigma))

    torch.manual_seed(5)
    wanted = sampling.sample_euler_ancestral(plain, noise * levels[0], levels, disable=True)
    torch.manual_seed(5)
    found = flow.sample_euler_ancestral(of_normal_data, noise * sigmas[0], sigmas, disable=True)
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("sampler", flow.SAMPLERS)
def test_every_sampler_runs_and_hands_over_every_evaluation(teacher, sampler):
    recorder = Recorder("flow")
    done = sample.sample(teacher, CAPTIONS, [1, 2], sampler, 4, 3.0, schedule="beta", watch=lambda _: recorder)
    watch, probe = recorder.trajectories()
    assert done.latents.shape == (2, 4, 16, 16) and torch.isfinite(done.latents).all()
    assert len(watch[0].sigma) == len(probe[0].sigma) == sample.evaluations_of(sampler, 4) and watch[0].sigma[0] == 1
    assert done.rows == 4 * len(watch[0].sigma)


def test_names_of_other_models_are_refused(teacher):
    with pytest.raises(ValueError, match="sampler: 'DPM\\+\\+ SDE' is not one of"):
        sample.sample(teacher, CAPTIONS, [1, 2], "DPM++ SDE")
    with pytest.raises(ValueError, match="schedule: 'uniform' is not one of simple"):
        sample.sample(teacher, CAPTIONS, [1, 2])


def test_the_denoised_prediction_is_where_the_velocity_points(teacher):
    x, sigma = sample.start_noise([1, 2]), torch.tensor([0.9, 0.4])
    with torch.inference_mode():
        context = teacher.encode_text(CAPTIONS)
        denoised = sample.denoiser_of(teacher)(x, sigma, context=context)
        with sample.precision():
            velocity = teacher.unet(x, FLOW_TIME * sigma, context).sample.float()
    assert torch.allclose(denoised, x - sigma.view(2, 1, 1, 1) * velocity, atol=1e-5)
    assert torch.allclose(measure(x, denoised, sigma, "flow").rate, velocity.square().mean((1, 2, 3)).sqrt(), rtol=1e-3)


# -- the scale ---------------------------------------------------------------------------------------------------------------------------


def test_a_distilled_network_takes_the_scale(student):
    x, sigma, context = sample.start_noise([1]), torch.tensor([0.7]), student.encode_text(CAPTIONS[:1])
    with torch.inference_mode():
        denoiser = sample.denoiser_of(student)
        low, same, high = (denoiser(x, sigma, context=context, scale=torch.tensor([g])) for g in (2.0, 2.0, 6.0))
    assert torch.equal(low, same) and (low - high).abs().max() > 1e-3


def test_a_distilled_model_is_evaluated_once_and_told_each_images_own_scale(student):
    scales, options = torch.tensor([2.0, 6.0]), dict(steps=3, schedule="simple")
    both = sample.sample(student, CAPTIONS, [1, 2], guidance=scales, **options)
    alone = [sample.sample(student, [text], [seed], guidance=g, **options).latents for text, seed, g in zip(CAPTIONS, (1, 2), (2.0, 6.0))]
    assert both.rows == 6 and both.extra_rows == 0
    assert torch.allclose(both.latents, torch.cat(alone), rtol=1e-2, atol=1e-2)


def test_the_probe_asks_a_distilled_model_at_the_reference_scale_and_any_other_for_the_empty_prompt(student, teacher):
    x, sigma = sample.start_noise([1, 2]), torch.tensor([1.0, 1.0])
    with torch.inference_mode():
        model = sample.GuidedDenoiser(student, CAPTIONS, ["", ""], 2.0)
        model(x, sigma)
        wanted = model.denoiser(x, sigma, context=model.conditional, scale=torch.full((2,), DISTILLED_REFERENCE))
        assert torch.equal(model.virtual(x, sigma), wanted) and (model.rows, model.extra_rows) == (4, 2)
        model = sample.GuidedDenoiser(teacher, CAPTIONS, ["", ""], 2.0)
        model(x, sigma)
        conditional, empty = model.predictions
        assert torch.equal(model.virtual(x, sigma), virtual(empty, conditional)) and model.extra_rows == 0


def test_versions_of_a_caption_are_told_the_images_scale(student):
    x, sigma = sample.start_noise([1, 2]), torch.tensor([1.0, 1.0])
    with torch.inference_mode():
        model = sample.GuidedDenoiser(student, CAPTIONS, ["", ""], torch.tensor([2.0, 6.0]))
        model(x, sigma)
        version = model.rewording().predict(x, sigma, [None, 0], True)
    assert torch.isnan(version.guided[0]).all() and torch.isfinite(version.guided[1]).all()
    assert torch.isnan(version.virtual[0]).all() and torch.isfinite(version.virtual[1]).all()


def test_the_error_of_clean_pictures_is_taken_at_the_same_mixtures(teacher, student):
    latents = 0.1 * sample.start_noise([1, 2, 3])
    for bed in (teacher, student):
        error = finished.denoising_error(bed, latents)
        assert error.shape == (3,) and torch.isfinite(error).all() and (error > 0).all()


# -- training ----------------------------------------------------------------------------------------------------------------------------


def test_times_are_shifted_logit_normal():
    torch.manual_seed(0)
    times = train_flow.draw_times(20_000) / FLOW_TIME
    unshifted = times / (3 - 2 * times)
    normal = torch.logit(unshifted)
    assert times.median() == pytest.approx(0.75, abs=0.01) and normal.std() == pytest.approx(1, abs=0.02) and (times > 0).all() and (times < 1).all()


def test_what_is_mixed_and_what_is_to_be_predicted(teacher, tmp_path):
    x0, noise = torch.randn(2, 2, 4, 16, 16)
    x, wanted = Training(teacher, tmp_path / "none.pt", 1e-3, text=False).mixed(x0, noise, torch.tensor([0.0, 250.0]))
    teacher.eval()
    assert torch.allclose(x[0], x0[0]) and torch.allclose(x[1], 0.75 * x0[1] + 0.25 * noise[1], atol=1e-6)
    assert torch.equal(wanted, noise - x0)


def test_a_student_begins_as_its_teacher_whatever_it_is_told(teacher):
    bed, x, t = train_flow.student_of(teacher).eval(), sample.start_noise([1, 2]), torch.tensor([900.0, 300.0])
    with torch.inference_mode():
        context = teacher.encode_text(CAPTIONS)
        found = bed.unet(x, t, context, class_labels=SCALE_UNIT * torch.tensor([1.0, 7.0])).sample
        assert torch.allclose(found, teacher.unet(x, t, context).sample, atol=1e-5)


def test_what_a_student_is_to_predict_is_its_teachers_guided_velocity(teacher, tmp_path):
    """Of the empty prompt that is its own prediction at any scale, which the student begins with."""
    bed = train_flow.student_of(teacher)
    learning, times = Training(bed, tmp_path / "none.pt", 1e-3, text=False), train_flow.draw_times(4)
    assert train_flow.distil(learning, teacher, torch.randn(4, 4, 16, 16), [""] * 4, times) < 1e-4
    assert train_flow.distil(learning, teacher, torch.randn(4, 4, 16, 16), CAPTIONS * 2, times) > 1e-4


def test_one_step_of_the_student_of_few_leads_where_its_teacher_gets_in_several(student, tmp_path):
    bed = train_flow.student_of(student, FEW)
    assert bed.unet.class_embedding is None
    learning, seen = Training(bed, tmp_path / "none.pt", 1e-3, text=False), []
    learning.descend = lambda predicted, wanted: seen.append(wanted) or 0.0
    torch.manual_seed(3)
    x0 = torch.randn(4, 4, 16, 16)
    train_flow.shorten(learning, student, x0, CAPTIONS * 2, torch.zeros(4))
    torch.manual_seed(3)
    noise = (torch.randn(4, 4, 16, 16), torch.randn(4, 4, 16, 16))[1]
    model = sample.denoiser_of(student)
    for image, begin in enumerate((1.0, 0.75, 0.5, 0.25)):
        x = ((1 - begin) * x0 + begin * noise)[image : image + 1]
        levels = torch.linspace(begin, begin - 0.25, train_flow.EACH + 1)
        context, told = student.encode_text((CAPTIONS * 2)[image : image + 1]), torch.tensor([train_flow.FEW_SCALE])
        with torch.inference_mode():
            there = sampling.sample_euler(lambda x, s, c=context, g=told: model(x, s, context=c, scale=g), x, levels, disable=True)
        torch.testing.assert_close(x - 0.25 * seen[0][image : image + 1], there, atol=2e-2, rtol=0)


def test_the_trainings_resume_and_end_by_the_clock(tmp_path):
    teacher = train_flow.train(tmp_path, FLOW, 1e-6, 4, ordinary=8)
    before = torch.load(tmp_path / "flow.pt", weights_only=True)
    train_flow.train(tmp_path, FLOW, before["spent"] / 60 + 1e-6, 4, ordinary=8)
    after = torch.load(tmp_path / "flow.pt", weights_only=True)
    assert (before["step"], after["step"]) == (1, 2) and after["spent"] > before["spent"]
    found = [Testbed.load(teacher), *(Testbed.load(train_flow.train(tmp_path, one, 1e-6, 4, ordinary=8)) for one in (DISTILLED, FEW))]
    assert [bed.variant for bed in found] == [FLOW, DISTILLED, FEW]
    main = Testbed.load()
    for bed in found:
        assert bed.scale == main.scale and all(torch.equal(value, main.text.state_dict()[name]) for name, value in bed.text.state_dict().items())
