"""Sampling from the testbed through k-diffusion's own sampler functions (and diffusers' DDIM and PNDM), with or without a guard.

Of a model that guidance is distilled into, which is evaluated for the prompt alone, guidance is the scale that it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler, PNDMScheduler
from k_diffusion import sampling
from k_diffusion.external import DiscreteEpsDDPMDenoiser
from torch import nn

from ...guard.guard import Guard
from ...guard.probe import REFERENCE_GUIDANCE, USUAL, virtual
from ...guard.rewording import EACH, Rewording, Version
from ...profile.calibration import DISTILLED_REFERENCE, Recorder
from ...wording import stages
from . import flow
from .model import LATENT_CHANNELS, LATENT_SIZE, Testbed, alphas_cumprod
from .variants import MAIN, Variant

#: Name as the web UIs show it: k-diffusion function and how many model evaluations it makes per step.
SAMPLERS: dict[str, tuple[Callable, int]] = {
    "Euler": (sampling.sample_euler, 1),
    "Euler a": (sampling.sample_euler_ancestral, 1),
    "Heun": (sampling.sample_heun, 2),
    "DPM2 a": (sampling.sample_dpm_2_ancestral, 2),
    "LMS": (sampling.sample_lms, 1),
    "DPM++ 2S a": (sampling.sample_dpmpp_2s_ancestral, 2),
    "DPM++ 2M": (sampling.sample_dpmpp_2m, 1),
    "DPM++ SDE": (sampling.sample_dpmpp_sde, 2),
    "DPM++ 2M SDE": (sampling.sample_dpmpp_2m_sde, 1),
    "DPM++ 3M SDE": (sampling.sample_dpmpp_3m_sde, 1),
}
SCHEDULERS = {"DDIM": DDIMScheduler, "PNDM": PNDMScheduler}
SAMPLER_NAMES = (*SAMPLERS, *SCHEDULERS)
#: Where the processor multiplies bfloat16 itself the U-Net runs in it, about two to three times as fast; the sampler stays in float32.
FAST_BFLOAT16 = any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
SCHEDULES = ("uniform", "karras", "exponential")


def precision() -> torch.autocast:
    """What the U-Net is evaluated in."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=FAST_BFLOAT16)


class _Epsilon(DiscreteEpsDDPMDenoiser):
    """The U-Net as a k-diffusion denoiser over continuous sigma."""

    def __init__(self, bed: Testbed) -> None:
        super().__init__(bed.unet, alphas_cumprod(), quantize=False)

    def get_eps(self, x: torch.Tensor, t: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        with precision():
            return self.inner_model(x, t, context).sample.float()


def denoiser_of(bed: Testbed) -> _Epsilon | flow.FlowDenoiser:
    """The testbed as a k-diffusion denoiser."""
    return flow.FlowDenoiser(bed, precision) if bed.variant.flow else _Epsilon(bed)


class Enough(Exception):
    """Raised by the denoiser when sampling was to stop early."""


class GuidedDenoiser(nn.Module):
    """Classifier-free guidance with a guard behind it: what a sampler calls.

    Parameters
    ----------
    bed : Testbed
    captions, negatives : sequences of str
        One of each per image.
    guidance : float or tensor of shape ``(batch,)``
    watcher : Guard, Recorder or None
    """

    def __init__(self, bed: Testbed, captions: Sequence[str], negatives: Sequence[str], guidance: float | torch.Tensor, watcher=None) -> None:
        super().__init__()
        self.denoiser, self.bed, self.captions, self.negatives = denoiser_of(bed), bed, list(captions), list(negatives)
        self.guidance, self.watcher = guidance, watcher
        self.conditional, self.negative = bed.encode_text(list(captions)), bed.encode_text(list(negatives))
        self.empty = bed.encode_text([""] * len(captions))
        self.distilled = bed.variant.distilled
        self.empty_negative = not any(negatives)
        #: Rows that the U-Net evaluated, and how many of them only the probe wanted.
        self.rows = self.extra_rows = 0
        self.evaluations, self.stop_after = 0, None
        #: Evaluations that the run will make.
        self.expected = USUAL
        #: What mitigations other than a guard may set: a function of the starting noise and the first noise level that returns the noise to start
        #: from (it may also change `conditional`), and one of ``(x, sigma)`` that returns the latent to go on from, before each evaluation and at
        #: the end. Rows that they differentiate through count in `backward_rows`.
        self.prepare: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
        self.correct: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
        self.backward_rows = 0
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None
        self._empty: torch.Tensor | None = None

    @property
    def unguided(self) -> bool:
        return self.distilled or (not isinstance(self.guidance, torch.Tensor) and self.guidance == 1.0)

    def _guided(self, conditional: torch.Tensor, unconditional: torch.Tensor) -> torch.Tensor:
        scale = self.guidance.view(-1, 1, 1, 1) if isinstance(self.guidance, torch.Tensor) else self.guidance
        return unconditional + scale * (conditional - unconditional)

    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if self.evaluations == self.stop_after:
            raise Enough
        self.evaluations += 1
        if self.correct is not None:
            x.copy_(self.correct(x, sigma))  # the sampler's own tensor, so that its step starts from there too
        conditional, unconditional = self.evaluate(x, sigma)
        denoised = conditional if unconditional is None else self._guided(conditional, unconditional)
        self._last, self._empty = (conditional, unconditional), None
        if isinstance(self.watcher, Recorder):
            return self.watcher.step(x, denoised, sigma, self.guidance, self._recorded(x, sigma))
        if isinstance(self.watcher, Guard) and unconditional is not None:
            return self.watcher.step(x, denoised, sigma, self.guidance, lambda: conditional - unconditional)
        return denoised if self.watcher is None else self.watcher.step(x, denoised, sigma, self.guidance)

    def evaluate(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Conditional prediction, and that of the negative prompt (None at guidance 1); counts the U-Net's rows."""
        contexts = [self.conditional] if self.unguided else [self.conditional, self.negative]
        self.rows += len(x) * len(contexts)
        count, told = len(contexts), self._told(self.guidance, len(x))
        found = self.denoiser(torch.cat([x] * count), torch.cat([sigma] * count), context=torch.cat(contexts), **told).chunk(count)
        return (found[0], None) if self.unguided else tuple(found)

    def _told(self, scale: float | torch.Tensor, count: int) -> dict:
        """What the U-Net is told beside the prompt: of a distilled model the scale of each of `count` images."""
        return {"scale": torch.as_tensor(scale, dtype=torch.float32).expand(count)} if self.distilled else {}

    def _recorded(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor | None:
        """The virtual prediction that a calibration records; None where it would cost an evaluation, but of a distilled model."""
        if self.distilled:
            return self.virtual(x, sigma)
        return virtual(self._last[1], self._last[0]) if self.empty_negative and self._last[1] is not None else None

    @property
    def predictions(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Conditional prediction of the evaluation at hand, and that of the negative prompt (None at guidance 1)."""
        return self._last

    @property
    def empty_prediction(self) -> torch.Tensor | None:
        """The empty prompt's prediction of the evaluation at hand, None where nobody has asked for :meth:`virtual`."""
        return self._empty

    def virtual(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The probe's virtual prediction for the evaluation at hand; costs one row per image unless the empty prompt was evaluated anyway."""
        return self.virtual_of(x, sigma, self._last[0])

    def virtual_of(self, x: torch.Tensor, sigma: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
        """The same for another conditional prediction of the same evaluation; a distilled model is asked for its prompt at the reference scale."""
        if self.distilled:
            return self._at_reference(x, sigma, self.conditional)
        if self._empty is None:
            self._empty = self._last[1] if self.empty_negative else None
            if self._empty is None:
                self._empty = self.denoiser(x, sigma, context=self.empty)
                self.rows += len(x)
                self.extra_rows += len(x)
        return virtual(self._empty, conditional, REFERENCE_GUIDANCE)

    def _at_reference(self, x: torch.Tensor, sigma: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        self.rows += len(x)
        self.extra_rows += len(x)
        return self.denoiser(x, sigma, context=context, **self._told(DISTILLED_REFERENCE, len(x)))

    def _virtual_version(
        self, x: torch.Tensor, sigma: torch.Tensor, conditional: torch.Tensor, rows: list[int], context: torch.Tensor
    ) -> torch.Tensor:
        if not self.distilled:
            return self.virtual_of(x, sigma, conditional)
        found = torch.full_like(x, float("nan"))
        found[rows] = self._at_reference(x[rows], sigma[rows], context)
        return found

    def rewording(self, each: int = EACH) -> Rewording:
        """The captions' versions with words left out, as the damping policy "reword" takes them; only those of flagged images are evaluated."""
        found = [stages(caption, negative=negative) for caption, negative in zip(self.captions, self.negatives)]
        texts = [[version.text for stage in own for version in stage] for own in found]
        contexts = [self.bed.encode_text(own) if own else None for own in texts]

        def predict(x: torch.Tensor, sigma: torch.Tensor, numbers: list[int | None], with_virtual: bool) -> Version:
            rows = [row for row, number in enumerate(numbers) if number is not None]
            # Rows that nobody asked for stay empty: not finite, they do not count.
            conditional = torch.full_like(x, float("nan"))
            context = torch.stack([contexts[row][numbers[row]] for row in rows])
            told = {name: value[rows] for name, value in self._told(self.guidance, len(x)).items()}
            conditional[rows] = self.denoiser(x[rows], sigma[rows], context=context, **told)
            self.rows += len(rows)
            guided = conditional if self.unguided else self._guided(conditional, self._last[1])
            return Version(guided, self._virtual_version(x, sigma, conditional, rows, context) if with_virtual else None)

        words = [[" ".join(version.words) for stage in own for version in stage] for own in found]
        return Rewording([[len(stage) for stage in own] for own in found], predict, words, each)


@dataclass
class Samples:
    """Latents ``(batch, 4, side, side)`` and what they cost: U-Net rows in all, those that only the probe wanted, and rows differentiated through."""

    latents: torch.Tensor
    rows: int
    extra_rows: int
    backward_rows: int = 0


def evaluations_of(sampler: str, steps: int) -> int:
    """Model evaluations of a run: those of second order save one at the last step; diffusers' PNDM evaluates its second time step twice."""
    known = {**flow.SAMPLERS, **SAMPLERS}
    if sampler in known:
        each = known[sampler][1]
        return steps * each - (each - 1)
    return steps + (sampler == "PNDM")


def sigmas_for(model: _Epsilon | flow.FlowDenoiser, schedule: str, steps: int) -> torch.Tensor:
    """Noise levels of a schedule, ``(steps + 1,)``, ending in 0."""
    if isinstance(model, flow.FlowDenoiser):
        return flow.sigmas(schedule, steps)
    low, high = float(model.sigmas[0]), float(model.sigmas[-1])
    if schedule == "karras":
        return sampling.get_sigmas_karras(steps, low, high)
    if schedule == "exponential":
        return sampling.get_sigmas_exponential(steps, low, high)
    return model.get_sigmas(steps)


def start_noise(seeds: Sequence[int], size: int = LATENT_SIZE) -> torch.Tensor:
    """Unit noise of shape ``(len(seeds), 4, size, size)``, each image from its own seed."""
    return torch.stack([torch.randn(LATENT_CHANNELS, size, size, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def check_names(sampler: str, schedule: str, variant: Variant = MAIN) -> None:
    """Raise ValueError, naming the field, for a sampler or schedule that does not exist, or not for the variant."""
    samplers, schedules = (tuple(flow.SAMPLERS), flow.SCHEDULES) if variant.flow else (SAMPLER_NAMES, SCHEDULES)
    for field, value, known in (("sampler", sampler, samplers), ("schedule", schedule, schedules)):
        if value not in known:
            raise ValueError(f"{field}: {value!r} is not one of {', '.join(known)}")


@torch.inference_mode()
def sample(
    bed: Testbed,
    captions: Sequence[str],
    seeds: Sequence[int],
    sampler: str = "Euler",
    steps: int = 20,
    guidance: float | torch.Tensor = 7.5,
    negatives: Sequence[str] | None = None,
    schedule: str = "uniform",
    watch: Callable[[GuidedDenoiser], Guard | Recorder] | None = None,
    callback: Callable[[], None] | None = None,
    size: int | None = None,
    stop_after: int | None = None,
    make: Callable[..., GuidedDenoiser] = GuidedDenoiser,
) -> Samples:
    """Sample one batch.

    Parameters
    ----------
    watch : callable, optional
        Called with the denoiser (whose `virtual` a probe may use), returns the guard or recorder of this pass.
    callback : callable, optional
        Called after every step.
    size : int, optional
        Side of the latents, by default the testbed's own.
    stop_after : int, optional
        Stop after this many evaluations, where only a detector's first readings are wanted; the latents are then empty.
    make : callable
        Makes the denoiser, with the arguments of :class:`GuidedDenoiser`.

    Raises
    ------
    ValueError
        An unknown sampler, schedule or word.
    """
    check_names(sampler, schedule, bed.variant)
    model = make(bed, captions, negatives or [""] * len(captions), guidance)
    model.expected = evaluations_of(sampler, steps)
    model.watcher = watch(model) if watch else None
    noise = start_noise(seeds, size or bed.variant.side)
    if model.prepare is not None:
        noise = model.prepare(noise, first_level(model.denoiser, sampler, schedule, steps))
    # The noise that a sampler adds on its way comes from torch's global generator.
    torch.manual_seed(int(sum((i + 1) * int(s) for i, s in enumerate(seeds)) % 2**31))
    done = (lambda _: callback()) if callback else None
    model.stop_after = stop_after
    try:
        if sampler in SCHEDULERS:
            latents = _sample_scheduler(model, SCHEDULERS[sampler], noise, steps, done)
        else:
            sigmas = sigmas_for(model.denoiser, schedule, steps)
            latents = (flow.SAMPLERS if bed.variant.flow else SAMPLERS)[sampler][0](model, noise * sigmas[0], sigmas, callback=done, disable=True)
        if model.correct is not None:
            latents = model.correct(latents, torch.zeros(len(latents)))
    except Enough:
        latents = noise[:0]
    return Samples(latents, model.rows, model.extra_rows, model.backward_rows)


def first_level(denoiser: _Epsilon | flow.FlowDenoiser, sampler: str, schedule: str, steps: int) -> torch.Tensor:
    """The noise level of the first evaluation, a tensor without dimensions."""
    if sampler not in SCHEDULERS:
        return sigmas_for(denoiser, schedule, steps)[0]
    scheduler = _scheduler(SCHEDULERS[sampler], steps)
    alpha = scheduler.alphas_cumprod[scheduler.timesteps[0]]
    return ((1 - alpha) / alpha).sqrt()


def _scheduler(kind: type, steps: int):
    """A diffusers scheduler with SD 1's settings."""
    scheduler = kind(
        num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", set_alpha_to_one=False, steps_offset=1
    )
    if kind is DDIMScheduler:
        scheduler.register_to_config(clip_sample=False)
    else:
        scheduler.register_to_config(skip_prk_steps=True)
    scheduler.set_timesteps(steps)
    return scheduler


def _sample_scheduler(model: GuidedDenoiser, kind: type, noise: torch.Tensor, steps: int, done) -> torch.Tensor:
    """A diffusers scheduler over the same denoiser: variance-preserving latent in, epsilon out."""
    scheduler, latent = _scheduler(kind, steps), noise
    for t in scheduler.timesteps:
        alpha = scheduler.alphas_cumprod[t]
        sigma = ((1 - alpha) / alpha).sqrt()
        x = latent / alpha.sqrt()
        denoised = model(x, sigma.expand(len(x)))
        if model.correct is not None:
            latent = x * alpha.sqrt()
        latent = scheduler.step((x - denoised) / sigma, t, latent).prev_sample
        if done:
            done(None)
    return latent
