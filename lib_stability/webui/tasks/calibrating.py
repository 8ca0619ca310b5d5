"""Calibration of the loaded checkpoint: ordinary prompts through the host's samplers, a profile of the norms that they show."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...guard.probe import REFERENCE_GUIDANCE
from ...guard.region import StabilityRegion, Trajectory
from ...guard.sensitivity import TARGETS, thresholds
from ...profile import older, own_profiles, own_prompts, reference, storage, trimming
from ...profile.calibration import DISTILLED_RANGE, DISTILLED_REFERENCE, GUIDANCE_RANGE, caution, fit_profile, spread_guidance
from ...profile.displacing import Outlook, planned
from ...profile.networks import describe, key
from ...profile.profiles import AUTO, FEW, Model, Profile
from ...sentences import Sentence, reason
from ..host import host, networks, sampling, texts
from ..job.library import LIBRARY
from ..job.recording import Recording
from . import idle, json_options
from .background import Task

#: As the testbed's calibration: the norms' scatter depends on the sampler, so several take turns.
SAMPLERS = ("Euler", "Euler a", "DPM++ 2M", "LMS", "DPM2 a", "DPM++ 3M SDE", "DPM++ 2S a", "DPM++ 2M SDE")
#: Flow models are sampled without noise of the sampler's own: most hosts add it as other models need it.
FLOW_SAMPLERS = ("Euler", "DPM++ 2M", "Heun", "LMS", "DPM2")
SEED = 1_000_000
RUNS, STEPS, BATCH = (20, 5000), (4, 150), (1, 64)
#: Share of runs that may end in numbers that are not finite.
MOST_BROKEN = 0.1


@dataclass(frozen=True)
class Options:
    """What a calibration runs; `width` and `height` 0 stand for the family's own, no `prompts` for the reference prompts, no `sampler` for
    :data:`SAMPLERS` in turn (:data:`FLOW_SAMPLERS` for a flow model); `networks` are the tags of those that are on in every run. `when_idle` waits
    until nobody has generated for a while, and again whenever somebody does."""

    runs: int = 200
    width: int = 0
    height: int = 0
    steps: int = 20
    batch_size: int = 4
    negative_prompt: str = ""
    prompts: tuple[str, ...] = ()
    sampler: str = ""
    networks: str = ""
    when_idle: bool = False

    @classmethod
    def parse(cls, body: object) -> Options:
        """From a JSON body.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        found = json_options.fields(body, cls.__dataclass_fields__)
        values = {**json_options.integers(found, runs=RUNS, steps=STEPS, batch_size=BATCH), **json_options.sides(found)}
        values["negative_prompt"] = json_options.text(found, "negative_prompt", reference.MAX_LENGTH)
        values["networks"] = json_options.text(found, "networks", reference.MAX_LENGTH)
        if "prompts" in found:
            values["prompts"] = json_options.texts(found["prompts"])
        if "when_idle" in found:
            values["when_idle"] = json_options.yes_or_no(found["when_idle"])
        return cls(**values, **json_options.chosen(found, sampler=lambda field: field.choice(sampling.samplers())))

    def samplers(self, model: Model) -> list[str]:
        """Those that take turns."""
        return [self.sampler] if self.sampler else sampling.samplers(FLOW_SAMPLERS if model.prediction == "flow" else SAMPLERS)


#: How often a run asks the network in an evaluation: for the prompt and the empty one, or for a distilled model's two scales.
ASKED = 2


def evaluations(options: Options, model: Model) -> float:
    """How many the batches of a calibration take together, for an estimate of time."""
    names = options.samplers(model) or [""]
    each = sum(2 if sampling.is_second_order(name) else 1 for name in names) / len(names)
    return options.runs / options.batch_size * options.steps * each


def task(options: Options) -> Task:
    """The work of a calibration, not started yet."""
    return Task("calibration", lambda running: run(options, running))


def run(options: Options, running: Task) -> dict:
    """Sample, fit, write; returns what the API shows."""
    folder = LIBRARY.folders[-1]
    try:
        storage.try_to_write(folder)
    except OSError as error:
        raise ValueError(Sentence(texts.CALIBRATIONS["folder"], folder=folder, reason=error.strerror or error)) from None
    if options.when_idle:
        idle.wait(running)
    model = replace(checkpoint(), networks=networks.wanted(options.networks))
    if model.distilled and options.negative_prompt:
        raise ValueError(Sentence(texts.CALIBRATIONS["negative"]))
    size = json_options.size(options, model.family)
    prompts = [text for text in map(sampling.plain, options.prompts or reference.prompts(options.runs)) if text][: options.runs]
    if not prompts:
        raise ValueError(Sentence(texts.CALIBRATIONS["prompts"]))
    judge = LIBRARY.serve(AUTO, model).profile if options.prompts else None
    if options.prompts:
        own_prompts.check(prompts, options.runs)
    watch, probe, batch = _sample(options, running, model, prompts, size, judge)
    sound = _sound(watch, probe)
    if len(sound) < (1 - MOST_BROKEN) * len(watch):
        raise ValueError(Sentence(texts.CALIBRATIONS["numbers"], count=len(watch) - len(sound), of=len(watch)))
    parameterisation = "flow" if model.prediction == "flow" else "sigma"
    _refuse_copies(judge, [watch[i] for i in sound], [probe[i] for i in sound])
    left_out = {sound[i] for i in trimming.copies([probe[i] for i in sound], parameterisation)}
    kept = [i for i in sound if i not in left_out]
    doubt = own_prompts.TEXTS["doubt"] if options.prompts and judge is None else ""
    profile = fit_profile(
        profile_name(model, options.negative_prompt, len(kept) + len(left_out), bool(doubt)),
        model,
        [watch[i] for i in kept],
        [probe[i] for i in kept],
        prompts,
        parameterisation,
        samplers=options.samplers(model),
        schedulers=sampling.schedules(model.prediction == "flow"),
        steps=options.steps,
        size=f"{size[0]}x{size[1]}",
        guidance=list(guidance_range(model)),
        **({"distilled": True, "distilled_scale": probe_guidance(model)} if model.distilled else {}),
        seed=SEED,
        origin="own",
        own_prompts=bool(options.prompts),
        **({"judged_by": judge.name, "flagged_by_it": own_prompts.judged(judge, watch, probe)} if judge else {}),
        **({"trial": doubt} if doubt else {}),
        left_out=len(left_out),
        left_out_rule=trimming.RULE,
        not_finite=len(watch) - len(sound),
    )
    profile = replace(profile, negative=_negative(options.negative_prompt), origin="own")
    running.progress(options.runs, options.runs, "writing")  # the last chance to cancel
    path = own_profiles.place(profile.name, folder, f"{profile.name}.json")
    Profile.from_json(profile.to_json(), path.name)  # what could not be read again is not written
    changes = LIBRARY.outlook(profile).lines
    _keep(profile, path)
    return {
        "profile": profile.name,
        "file": path.name,
        "runs": len(kept),
        "warning": caution(len(kept) + len(left_out)),
        "trial": profile.trial,
        "networks": describe(model.networks),
        "changes": changes,
        "left_out": [prompts[i % len(prompts)] for i in sorted(left_out)],
        "batch_size": batch,
        "levels": {"watch": false_alarms(profile.watch), "probe": false_alarms(profile.probe)},
        "options": {name: value for name, value in asdict(options).items() if name != "prompts"},
    }


def _keep(profile: Profile, path: Path) -> None:
    """Write a profile over the one before, which is kept; where that cannot be any more, to a temporary folder: hours of work may be in it."""
    try:
        older.put(profile, path)
    except OSError as error:
        spare = Path(tempfile.mkdtemp(prefix="memorization-guard-")) / path.name
        storage.write(profile, spare)
        why = error.strerror or error
        raise ValueError(Sentence(texts.CALIBRATIONS["kept"], folder=path.parent, reason=why, file=spare)) from None


def checkpoint() -> Model:
    """The loaded checkpoint, if it can be calibrated.

    Raises
    ------
    ValueError
        Why it cannot.
    """
    loaded = sampling.loaded()
    sampling.hash_of(loaded)
    model = host.describe(loaded)
    if not model.prediction:
        raise ValueError(Sentence(texts.SERVED["unknown"]))
    if not model.sha256:
        raise ValueError(Sentence(texts.CALIBRATIONS["hash"]))
    return model


def guidance_range(model: Model) -> tuple[float, float]:
    """Scales that runs are spread over: of guidance, or of what a distilled model is told."""
    return DISTILLED_RANGE if model.distilled else GUIDANCE_RANGE


def probe_guidance(model: Model) -> float:
    """The one scale of the probe."""
    return DISTILLED_REFERENCE if model.distilled else REFERENCE_GUIDANCE


def _sample(
    options: Options, running: Task, model: Model, prompts: list[str], size: tuple[int, int], judge: Profile | None
) -> tuple[list[Trajectory], list[Trajectory], int]:
    """All reference runs, one batch after the other; the batch is halved for good when memory runs out. Runs of own prompts are
    judged once on the way, so that nobody waits for a refusal."""
    scales, names = spread_guidance(options.runs, *guidance_range(model)), options.samplers(model)
    schedules = sampling.schedules(model.prediction == "flow")
    turns = min(options.batch_size, -(-options.runs // max(len(names), len(schedules))))  # so that each of them has its turn
    watch, probe = [], []
    early = max(options.runs // 4, own_prompts.JUDGED)

    def numbers(run: int) -> tuple[int, int]:
        # Each round starts one sampler further, else guidance and sampler would go together, and has each with the next schedule.
        turn = run // turns
        number = (turn + turn // len(names)) % len(names)
        return number, (number + turn // len(names)) % len(schedules)

    costs = np.array([2.0 if sampling.is_second_order(names[numbers(run)[0]]) else 1.0 for run in range(options.runs)])
    costs *= options.runs / costs.sum()

    def work(part: slice) -> None:
        if options.when_idle and idle.busy():
            idle.wait(running)
        name, schedule = (of[number] for of, number in zip((names, schedules), numbers(part.start)))
        expected = options.steps * (2 if sampling.is_second_order(name) else 1)

        def tick(evaluation: int) -> None:
            share = min(evaluation / expected, 1.0)
            done = part.start + int(share * (part.stop - part.start))
            running.progress(done, options.runs, f"runs, {name}", float(costs[: part.start].sum() + share * costs[part].sum()))

        tick(0)
        recording = Recording([float(w) for w in scales[part]], options.negative_prompt, probe_guidance(model), model, running.stop, tick)
        texts = [prompts[i % len(prompts)] for i in range(part.start, part.stop)]
        seeds = list(range(SEED + part.start, SEED + part.stop))
        sampling.sample(recording, texts, seeds, name, options.steps, size, options.negative_prompt, "calibration", schedule, options.networks)
        for found, new in zip((watch, probe), recording.trajectories()):
            found.extend(new)
        if part.start < early <= part.stop:
            _refuse_copies(judge, watch, probe)

    return watch, probe, sampling.in_batches(options.runs, turns, work)


def _refuse_copies(judge: Profile | None, watch: list[Trajectory], probe: list[Trajectory]) -> None:
    """Raise ValueError with the reason where `judge` takes too many of these runs for copies."""
    sound = _sound(watch, probe)
    reason = own_prompts.suspicion(judge, [watch[i] for i in sound], [probe[i] for i in sound]) if judge else ""
    if reason:
        raise ValueError(Sentence(texts.CALIBRATIONS["refused"], reason=reason))


def _sound(watch: list[Trajectory], probe: list[Trajectory]) -> list[int]:
    """Numbers of the runs of which every norm is finite."""
    return [number for number, both in enumerate(zip(watch, probe)) if all(map(_finite, both))]


def _finite(run: Trajectory) -> bool:
    return bool(all(np.isfinite(value).all() for value in (run.sigma, run.rate, run.clean)))


def false_alarms(region: StabilityRegion) -> dict:
    """Threshold of each level, and the share of reference runs above it when each is judged by the fit to all the others."""
    levels = {level: thresholds(region, level).mild for level in TARGETS}
    return {level: {"threshold": round(mild, 6), "measured": round(float((region.scores_ > mild).mean()), 4)} for level, mild in levels.items()}


def profile_name(model: Model, negative: str = "", runs: int = FEW, doubted: bool = False) -> str:
    """Made of the checkpoint's name and hash, its networks', and a negative prompt's; one that rests on less than what is there stands beside it."""
    name = "-".join([_plain(model.checkpoint, 32 if model.networks else 48) or "checkpoint", model.sha256[:10]])
    if model.networks:
        name += f"-with-{_plain(describe(model.networks), 24)}-{key(model.networks)}"
    name += f"-{_negative(negative)[:8]}" if negative else ""
    if runs < FEW or doubted:
        return f"{name}-trial"
    new = planned(name, model, runs)
    return f"{name}-{runs}-runs" if any(one.name == name and one.weight > new.weight for one in LIBRARY.profiles()) else name


def _plain(text: str, longest: int) -> str:
    """A text as a part of a profile's name, which is that of its file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:longest].strip("-")


def _negative(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest() if prompt else ""


def outlook(options: Options, hashing: bool = True) -> Outlook:
    """What a calibration of the loaded checkpoint would change; nothing where it cannot be calibrated, or is not hashed yet and not to be."""
    loaded = host.loaded_model()
    if loaded is None or type(loaded).__name__ == "FakeInitialModel":
        return Outlook([], [])
    if hashing:
        sampling.hash_of(loaded)
    try:
        model = replace(host.describe(loaded), networks=networks.wanted(options.networks))
    except ValueError as error:
        return Outlook([reason(error)], [])
    if not model.prediction or not model.sha256:
        return Outlook([], [])
    name = profile_name(model, options.negative_prompt, options.runs)
    return LIBRARY.outlook(planned(name, model, options.runs, _negative(options.negative_prompt)))
