"""The actions of ``python -m lib_stability testbed``."""

from __future__ import annotations

import argparse
import shutil

import numpy as np
import torch
from tqdm.auto import tqdm

from ..guard import sensitivity
from ..pictures import figures
from ..profile import storage
from .evidence import calibrate as calibration
from .evidence import remake
from .evidence.damping import generate
from .network import model
from .network.setting import EVALUATION_SEED, Setting
from .network.variants import MAIN, PLAIN, VARIANTS
from .world import attributes, judge
from .world.kinds import memorized, ordinary_samples
from .world.scenes import random_scene, render


def train(arguments: argparse.Namespace) -> int:
    """Train autoencoder, U-Net with text encoder, and the attribute reader; resumable. The main one in two halves, the plain world first; a flow
    model is a U-Net beside the other networks of the main one."""
    from .network import train as training
    from .network import train_flow, train_kinds

    variant = VARIANTS[arguments.variant]
    first = PLAIN if variant is MAIN else variant
    steps, batch = arguments.unet_steps or first.steps, arguments.batch or first.batch
    if variant.flow:
        weights = train_flow.train(arguments.folder, variant, arguments.minutes, batch, arguments.seed)
    else:
        weights = training.train(arguments.folder, arguments.vae_steps, arguments.vae_full_steps, steps, batch, arguments.seed, first)
    if variant is MAIN:
        steps = arguments.kinds_steps or variant.steps
        weights = train_kinds.train(arguments.folder / "kinds", weights, steps, batch, arguments.minutes, arguments.jobs, arguments.seed)
    made = [(weights, variant.weights)]
    if variant is MAIN:
        reader = arguments.folder / attributes.WEIGHTS.name
        if not reader.exists():
            attributes.train(model.Testbed.load(weights), reader, arguments.attribute_steps)
        made.append((reader, attributes.WEIGHTS))
    print(f"weights: {', '.join(str(path) for path, _ in made)}")
    if arguments.install:
        for path, target in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            print(f"installed {target}")
    return 0


def calibrate(arguments: argparse.Namespace) -> int:
    """Fit and write the testbed's profile, or that of its export for Forge."""
    variant = VARIANTS[arguments.variant]
    if arguments.forge:
        from .export import forge, wide_norms

        bed, made_for, name, out = wide_norms.load(), forge.MODEL, "Testbed for Forge", storage.BUNDLED / "testbed-forge.json"
    else:
        bed, made_for, name, out = model.Testbed.load(variant.weights), None, "", variant.profile
    out = arguments.out or out
    with tqdm(total=arguments.runs, desc="reference runs", unit="run") as bar:
        profile = calibration.calibrate(bed, arguments.runs, tick=bar.update, made_for=made_for, name=name)
    storage.write(profile, out)
    for label, region in (("watch", profile.watch), ("probe", profile.probe)):
        for level in ("low", "medium", "high", "paper"):
            print(f"{label} {level}: {sensitivity.thresholds(region, level).describe()}")
    print(f"written to {out}")
    return 0


def neighbours(arguments: argparse.Namespace, runs: int = 96, pictures: int = 4000) -> int:
    """Correlation of ordinary runs with their nearest training picture, and of memorized runs with theirs."""
    bed = model.Testbed.load()
    ordinary = generate(bed, [caption for caption, _ in ordinary_samples(runs, EVALUATION_SEED, "evaluation")], Setting(), EVALUATION_SEED).pixels
    kinds = {kind: memorized(kind) for kind in bed.variant.kinds}
    own = {
        kind: judge.likeness(generate(bed, [item.caption for item in items], Setting(), EVALUATION_SEED).pixels, items)
        for kind, items in kinds.items()
    }
    other = {kind: judge.resemblance(ordinary, items).amax(1) for kind, items in kinds.items()}
    rng = np.random.default_rng(2)  # the training set's own seed: its first pictures
    nearest = torch.full((runs,), -1.0)
    for _ in tqdm(range(pictures // 50), desc="training pictures", unit="50"):
        some = torch.stack([judge.to_pixels(render(random_scene(rng))) for _ in range(50)])
        nearest = torch.maximum(nearest, (judge.unit_rows(ordinary) @ judge.unit_rows(some).T).amax(1))
    print(f"ordinary runs, nearest of {pictures} training pictures: median {nearest.median():.3f}, max {nearest.max():.3f}")
    for kind, items in kinds.items():
        limit = float(judge.limits(items)[0])
        print(f"ordinary runs, nearest of the memorized ({kind}): median {other[kind].median():.3f}, max {other[kind].max():.3f}")
        low, middle, share = own[kind].quantile(0.05), own[kind].median(), (own[kind] > limit).float().mean()
        print(f"memorized runs, their own ({kind}): 5 % {low:.3f}, median {middle:.3f}; copies above {limit}: {share:.1%}")
    return 0


def copies(arguments: argparse.Namespace) -> int:
    """How often the testbed really copies, per kind of memorization."""
    from .evidence import copies as measuring

    bed = model.Testbed.load(arguments.weights or MAIN.weights)
    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.copies(bed, arguments.out, arguments.runs, arguments.ordinary, tick=bar.update)
    print(f"{measuring.report(result)}\n\nWritten to {arguments.out}/")
    return 0


def scores(arguments: argparse.Namespace) -> int:
    """Other scores than the guard's, on the runs that `evaluate` keeps."""
    from .evidence import evaluate, evaluation_rows
    from .evidence import scores as measuring

    folder = arguments.kept / f"tapes-{remake.rests_on('tapes')}"
    size = evaluate.FULL
    parts = [part for part in evaluation_rows.parts(size, "detection", MAIN.kinds) if part.setting.probe or part.setting.negative == "none"]
    settings = [(part.setting, folder / evaluation_rows.tape_name(part, size)) for part in parts]
    missing = [path for _, path in settings if not path.exists()]
    if missing:
        raise SystemExit(
            f"{len(missing)} of {len(settings)} settings have no runs in {folder}: run `evaluate --only detection --kept {arguments.kept}`"
        )
    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.measure(model.Testbed.load(), storage.read(MAIN.profile), settings, arguments.out, folder, bar.update)
    print(f"{measuring.report(result)}\n\nWritten to {arguments.out}/")
    return 0


def scatter(arguments: argparse.Namespace) -> int:
    """How much more ordinary runs scatter under each sampler."""
    from .evidence import scatter as measuring

    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.measure(model.Testbed.load(), storage.read(MAIN.profile), arguments.out, bar.update)
    print(f"{measuring.report(result)}\n\nWritten to {arguments.out}/")
    return 0


def late(arguments: argparse.Namespace) -> int:
    """What damping does from a noise level on, and what sampling again makes of it."""
    from .evidence import late as measuring

    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.measure(model.Testbed.load(), storage.read(MAIN.profile), arguments.out, tick=bar.update)
    print(f"{measuring.report(result)}\n\nWritten to {arguments.out}/")
    return 0


def lora(arguments: argparse.Namespace) -> int:
    """Train the testbed's LoRAs, write them for web UIs, or measure what tells their copies."""
    if arguments.work == "export":
        from .lora import exporting

        for path in exporting.write(arguments.folder, arguments.forge, arguments.only):
            print(f"written {path}")
        return 0
    if arguments.work == "train":
        from .lora.recipes import RECIPES
        from .lora.train import train as training

        for name in arguments.only or RECIPES:
            recipe = RECIPES[name]
            if all(recipe.path(step, arguments.folder).exists() for step in recipe.saves):
                print(f"{name}: made already")
                continue
            with tqdm(total=recipe.saves[-1], desc=name, unit="step", mininterval=5) as bar:
                for path in training(recipe, arguments.folder, tick=lambda loss, bar=bar: bar.update()):
                    print(f"written {path}")
        return 0
    from .evidence import lora_detection as measuring

    profile, kept = storage.read(MAIN.profile), arguments.kept / remake.rests_on("lora")
    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.evaluate(profile, arguments.out, kept, bar.update, arguments.only)
    print(f"{measuring.report(result)}\nWritten to {arguments.out}/")
    return 0


def pictures(arguments: argparse.Namespace) -> int:
    """A sheet of memorized and ordinary training pictures."""
    items = [(item.caption, item.scene) for item in memorized()] + ordinary_samples(18, 3)
    cells = [(caption, figures.to_image(judge.to_pixels(render(scene)))) for caption, scene in items]
    rows = [list(zip(*cells[i : i + 8])) for i in range(0, len(cells), 8)]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figures.montage([""] * 8, rows, cell=160).save(arguments.out)
    print(f"written to {arguments.out}")
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write the testbed as a checkpoint for AUTOMATIC1111's web UI, or for Forge."""
    if arguments.forge:
        from .export import forge

        path, sha256 = forge.write(arguments.folder)
        print(f"checkpoint: {path}\nsha256: {sha256}\nForge takes it for Stable Diffusion 1.5; ask for pictures of 128x128")
        return 0
    from .export import a1111 as checkpoint

    path, sha256 = checkpoint.write(model.Testbed.load(), arguments.folder)
    print(f"checkpoint: {path}\nsha256: {sha256}\nconfiguration and tokenizer lie beside it; the web UI needs this extension to load it")
    return 0


def regroup(arguments: argparse.Namespace) -> int:
    """Train the U-Net that Forge's sizes can hold, after the shipped one; resumable."""
    from .export import wide_norms as training

    weights = training.train(arguments.folder, arguments.steps, arguments.batch, seed=arguments.seed)
    print(f"weights: {weights}")
    if arguments.install:
        shutil.copyfile(weights, training.WEIGHTS)
        print(f"installed {training.WEIGHTS}")
    return 0


def study(arguments: argparse.Namespace) -> int:
    """How regions and what they detect depend on the number and choice of reference prompts."""
    from .evidence import study as prompts

    result = prompts.study(prompts.Size())
    prompts.write(result, arguments.out)
    for detector in prompts.DETECTORS:
        print(f"{detector.capitalize()}:\n\n{prompts.table(result['rows'], detector)}\n")
    print(f"written to {arguments.out}")
    return 0


def scale(arguments: argparse.Namespace) -> int:
    """What moves with the latent's size."""
    from .evidence import scale as measuring

    print(f"{measuring.report(measuring.scale(arguments.out, arguments.copies))}\nWritten to {arguments.out}/")
    return 0


def locate(arguments: argparse.Namespace) -> int:
    """How well the map finds what is memorized, and whether a local score catches more."""
    from .evidence import locate as measuring
    from .evidence import locate_tables

    profile = storage.read(storage.BUNDLED / "testbed.json")
    if arguments.figure:
        from .evidence import locate_figure

        locate_figure.draw(arguments.figure, profile)
        print(f"written to {arguments.figure}")
        return 0
    result = measuring.locate(measuring.QUICK if arguments.quick else measuring.FULL, arguments.out, profile)
    print(f"{locate_tables.report(result)}\n\nWritten to {arguments.out}/")
    return 0


def match(arguments: argparse.Namespace) -> int:
    """What an index of training pictures finds."""
    from .evidence import matching as measuring

    with tqdm(desc="runs and pictures") as bar:
        result = measuring.measure(model.Testbed.load(), arguments.out, tick=bar.update)
    print(f"{measuring.report(result)}\nWritten to {arguments.out}/")
    return 0


def agreement(arguments: argparse.Namespace) -> int:
    """What agreement between seeds is worth where there are no originals."""
    from .evidence import agreement as measuring

    profile = storage.read(MAIN.profile)
    with tqdm(desc="runs", unit="run") as bar:
        result = measuring.measure(model.Testbed.load(), profile, arguments.out, tick=bar.update)
    print(f"{measuring.report(result)}\nWritten to {arguments.out}/")
    return 0
