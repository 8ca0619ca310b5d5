"""The demo: ordinary and memorized captions with and without the guard, a table, PNGs with infotext and a montage."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL.PngImagePlugin import PngInfo
from tqdm.auto import tqdm

from ..guard.damping import Damping
from ..guard.guard import UNKNOWN_NEGATIVE, Guard
from ..guard.history import history
from ..guard.locality import LocalMap
from ..guard.options import Options
from ..guard.probe import Probe
from ..guard.sensitivity import thresholds
from ..guard.verdict import Verdict
from ..pictures import chart, figures, overlay, palette
from ..profile import scatter, storage
from ..trail import infotext
from ..trail.infotext import Settings
from . import montage
from .network.batches import batches
from .network.model import Testbed, tokenize
from .network.sample import GuidedDenoiser, check_names
from .network.variants import MAIN
from .world import judge
from .world.captions import Memorized
from .world.kinds import KINDS, memorized, ordinary_samples
from .world.scenes import render

#: Pictures sampled at once: small enough for a progress bar that moves.
BATCH = 16
#: Letters of a caption in a file's name.
LONGEST_NAME = 60


@dataclass(frozen=True)
class Job:
    """One picture to generate; `item` is what its caption memorized, None for an ordinary caption."""

    caption: str
    seed: int
    item: Memorized | None


def jobs(prompts: Sequence[str], seed: int, seeds: int) -> list[Job]:
    """The captions of the demo: those given, else the montage's, one of each kind of memorization, and four ordinary ones (one naturally narrow)."""
    known = {text: item for item in memorized() for text in item.texts}
    if prompts:
        captions = list(dict.fromkeys(" ".join(prompt.lower().replace(",", " ").split()) for prompt in prompts))
    else:
        chosen = [*montage.SHOWN, *(memorized(kind)[0].caption for kind in KINDS)]
        ordinary = [
            caption for caption, _ in ordinary_samples(3, 11, "evaluation", narrow=False) + ordinary_samples(1, 12, "evaluation", narrow=True)
        ]
        captions = [*chosen, *ordinary]
    return [Job(caption, seed + n, known.get(caption)) for caption in captions for n in range(seeds)]


def _generate(bed: Testbed, todo: Sequence[Job], arguments: argparse.Namespace, guard_for, tick) -> tuple[torch.Tensor, list[Verdict], list, list]:
    pixels, verdicts, seen, maps = [], [], [], []
    captions, seeds = [job.caption for job in todo], [job.seed for job in todo]
    options = {"sampler": arguments.sampler, "schedule": arguments.schedule, "steps": arguments.steps, "guidance": arguments.guidance}
    for done in batches(bed, captions, seeds, [arguments.negative] * len(todo), guard_for, BATCH, callback=tick, **options):
        pixels.append(bed.decode(done.samples.latents))
        if done.guard:
            verdicts += done.guard.report()
            seen += history(done.guard.seen())
            maps += done.guard.maps()
    return torch.cat(pixels), verdicts, seen, maps


def _copy(pixels: torch.Tensor, item: Memorized | None) -> tuple[bool, float]:
    """Whether a picture is a copy of anything memorized, and its likeness to what its caption memorized, of an ordinary one to the nearest."""
    nearest = judge.likeness(pixels, [item]) if item else judge.resemblance(pixels, memorized()).amax(1)
    return bool(judge.any_copies(pixels, memorized())), float(nearest)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _save(path: Path, pixels: torch.Tensor, job: Job, arguments: argparse.Namespace, extra: dict[str, str]) -> None:
    side = pixels.shape[-1]
    params = {
        "Steps": str(arguments.steps),
        "Sampler": arguments.sampler,
        "Schedule type": arguments.schedule,
        "CFG scale": f"{arguments.guidance:g}",
        "Seed": str(job.seed),
        "Size": f"{side}x{side}",
        "Model": "testbed",
        **extra,
    }
    info = PngInfo()
    info.add_text("parameters", infotext.format_text(job.caption, arguments.negative, params))
    figures.to_image(pixels).save(path, pnginfo=info)


def _save_map(path: Path, pixels: torch.Tensor, found: LocalMap) -> None:
    """The map over the unguarded picture: a damped one no longer shows what was copied."""
    picture = figures.to_image(pixels)
    overlay.draw(found, picture.resize((2 * picture.width, 2 * picture.height))).save(path)


def main(arguments: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""
    profile = storage.read(MAIN.profile)
    settings = Settings(
        enabled=True,
        mode=arguments.mode,
        sensitivity=arguments.sensitivity,
        tau=arguments.tau,
        damping=arguments.damping,
        strength=Damping(arguments.damping).strength,
        probe=arguments.probe,
    )
    todo = jobs(arguments.prompt, arguments.seed, arguments.seeds)
    check_names(arguments.sampler, arguments.schedule)
    tokenize([job.caption for job in todo] + [arguments.negative])
    bed = Testbed.load()
    folder: Path = arguments.out
    folder.mkdir(parents=True, exist_ok=True)

    def guard_for(model: GuidedDenoiser, options: Options) -> Guard:
        probed = scatter.probe(profile, arguments.sampler, model.expected)
        look = Probe(probed, model.virtual, settings.probe, settings.probe_evaluations, profile.probe_guidance, model.expected)
        rewording = model.rewording() if options.mode == "damp" and settings.damping == "reword" else None
        doubt = UNKNOWN_NEGATIVE if arguments.negative else ""
        return Guard(
            scatter.watch(profile, arguments.sampler, model.expected, arguments.guidance),
            options,
            look,
            doubt=doubt,
            rewording=rewording,
        )

    with tqdm(total=2 * -(-len(todo) // BATCH) * arguments.steps, desc="unguarded", unit="step") as bar:
        # Watched for the maps alone, which changes no bit: a damped picture's map is that of the damped one.
        watching = replace(settings.to_options(), mode="report", locate=True)
        plain, _, _, maps = _generate(bed, todo, arguments, partial(guard_for, options=watching), bar.update)
        bar.set_description("guarded")
        guarded, verdicts, seen, _ = _generate(bed, todo, arguments, partial(guard_for, options=settings.to_options()), bar.update)

    level = thresholds(profile.watch, settings.sensitivity, settings.tau)
    print(f"\n{settings.sensitivity} sensitivity: {level.describe()}")
    head = f"{'kind':11} {'caption':34} {'seed':>5}  {'verdict':11} {'score':>6}  {'by':5} {'flagged at':>10} {'damped':>7}  copy without, with guard"
    print(head + "\n" + "-" * len(head))
    rows = []
    for index, (job, verdict) in enumerate(zip(todo, verdicts)):
        images = (plain[index : index + 1], guarded[index : index + 1])
        (was, before), (still, after) = (_copy(image, job.item) for image in images)
        name = f"{index:02}-{job.caption[:LONGEST_NAME].strip().replace(' ', '-')}-{job.seed}"
        _save(folder / f"{name}-unguarded.png", images[0][0], job, arguments, {})
        _save(folder / f"{name}-guarded.png", images[1][0], job, arguments, infotext.write(settings, verdict))
        drawn = chart.trajectory(seen[index], verdict.threshold or level.mild, f"{job.caption}: {verdict.verdict}")
        drawn = drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
        (folder / f"{name}-trajectory.svg").write_text(drawn, encoding="utf-8")
        if maps[index] is not None:
            _save_map(folder / f"{name}-map.png", images[0][0], LocalMap.of(maps[index]))
        total = verdict.evaluations
        at, acted = (f"{n}/{total}" if n else "" for n in (verdict.flagged_at, verdict.damped))
        score = "" if verdict.score is None else f"{verdict.score:.1f}"
        answer = f"{'yes' if was else 'no':3} ({before:+.2f}), {'yes' if still else 'no':3} ({after:+.2f})"
        reason = f"  {verdict.reason}" if verdict.reason else ""
        told = f"{job.item.kind if job.item else 'ordinary':11} {_short(job.caption, 34):34}"
        print(f"{told} {job.seed:>5}  {verdict.verdict:11} {score:>6}  {verdict.detector:5} {at:>10} {acted:>7}  {answer}{reason}")
        training = figures.to_image(judge.to_pixels(render(job.item.scene))) if job.item else None
        rows.append(montage.Row(job.caption, training, *(figures.to_image(image[0]) for image in images), was, still, verdict.flagged))
    palette.save(folder / "montage.png", montage.draw(montage.pick(rows)))
    print(f"\nPictures with infotext, trajectories and montage.png (training picture, without and with the guard) are in {folder}/")
    if any(one is not None for one in maps):
        print("*-map.png shows which part of a flagged picture exceeds ordinary norms, over the unguarded generation.")
    return 0
