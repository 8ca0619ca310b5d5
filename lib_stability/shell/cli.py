"""Commands: ``python -m lib_stability demo | evaluate | compare | bench | audit | match | profiles | calibrate | scan | trial | lora | testbed``.

Each command imports what it needs when it runs, so that listing profiles wants no more than torch.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..guard import sensitivity
from ..profile import storage
from ..validation import ValidationError
from ..version import __version__
from . import lora_commands, match_arguments, profile_commands, scan_command, trial_commands, webui_commands

TESTBED_PROFILE = storage.BUNDLED / "testbed.json"


class Parser(argparse.ArgumentParser):
    """Errors are one line: the usage is a ``--help`` away."""

    def error(self, message: str) -> None:
        self.exit(2, f"{self.prog}: {message}\n")


def bounded(kind: type, low: float, high: float):
    """An argparse type: a number of `kind` from `low` to `high`."""

    def convert(text: str):
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return convert


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = Parser(prog="python -m lib_stability", description=__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", parser_class=Parser)

    demo = commands.add_parser("demo", help="generate ordinary and memorized captions with and without the guard")
    _add_demo(demo)

    evaluate = commands.add_parser("evaluate", help="detection and damping tables on the testbed")
    evaluate.add_argument("--out", type=Path, default=Path("outputs/evaluate"), help="folder for evaluate.json and figures (%(default)s)")
    evaluate.add_argument("--quick", action="store_true", help="a subset, within 3 minutes on two cores")
    evaluate.add_argument("--only", choices=("detection", "damping"), help="run one part, and keep the other as the folder has it")
    evaluate.add_argument("--jobs", type=bounded(int, 1, 256), default=1, metavar="N", help="processes that share the rows (%(default)s)")
    variants = ("main", "flow", "distilled", "few")
    evaluate.add_argument("--variant", choices=variants, default="main", help="the testbed, a flow model, or one of its students (%(default)s)")
    evaluate.add_argument("--profile", type=Path, help="profile to evaluate (the variant's own)")
    evaluate.add_argument("--kept", type=Path, metavar="DIR", help="folder for rows that are made, from which an interrupted run goes on")

    compare = commands.add_parser("compare", help="the guard beside published detectors and mitigations of memorization, on the testbed")
    compare.add_argument("--out", type=Path, default=Path("outputs/compare"), help="folder for compare.json, compare.md and a figure (%(default)s)")
    compare.add_argument("--quick", action="store_true", help="fewer settings and runs, within 3 minutes on two cores")
    compare.add_argument("--only", choices=("detection", "mitigation"), help="one half; the folder's other half is kept")
    compare.add_argument("--variant", choices=("small", "main", "large"), default="main", help="the testbed's latent size (%(default)s)")
    compare.add_argument("--profile", type=Path, help="the guard's profile (the variant's own)")

    bench = commands.add_parser("bench", help="cost of the guard per model evaluation")
    _add_bench(bench)

    reading = commands.add_parser("audit", help="read verdicts back from pictures, or verify a ledger")
    _add_audit(reading)

    match_arguments.add_arguments(commands.add_parser("match", help="an index of training pictures, and which is nearest to a picture"), bounded)
    profile_commands.add_arguments(commands.add_parser("profiles", help="list profiles, show one, import, export or delete"))
    webui_commands.add_commands(commands, bounded)
    trial_commands.add_command(commands, bounded)
    lora_commands.add_command(commands, bounded, Parser)

    testbed = commands.add_parser("testbed", help="train, calibrate and inspect the testbed model")
    actions = testbed.add_subparsers(dest="action", required=True, metavar="action", parser_class=Parser)
    train = actions.add_parser("train", help="train everything from scratch, or resume")
    train.add_argument("--folder", type=Path, default=Path("outputs/testbed"), help="where the training keeps its state (%(default)s)")
    train.add_argument("--vae-steps", type=bounded(int, 1, 10**6), default=2200, help="autoencoder steps on crops (%(default)s)")
    train.add_argument("--vae-full-steps", type=bounded(int, 1, 10**6), default=350, help="autoencoder steps on whole pictures (%(default)s)")
    train.add_argument(
        "--variant",
        choices=("small", "main", "large", "plain", "flow", "distilled", "few"),
        default="main",
        help="latents of 8x8, 16x16, 32x32, main's first half, or the flow models, the teacher first (%(default)s)",
    )
    train.add_argument("--unet-steps", type=bounded(int, 1, 10**7), help="U-Net steps in the plain world (4800, of another size its own)")
    train.add_argument("--kinds-steps", type=bounded(int, 1, 10**7), help="then, of the main one, steps in its own (4000)")
    train.add_argument("--attribute-steps", type=bounded(int, 1, 10**6), default=1200, help="steps of the attribute reader (%(default)s)")
    train.add_argument("--batch", type=bounded(int, 1, 4096), help="U-Net batch size (64, of another size its own)")
    train.add_argument(
        "--minutes", type=bounded(float, 1, 10**5), default=600, help="most that the training of the kinds, or of a flow model, takes (%(default)s)"
    )
    train.add_argument("--jobs", type=bounded(int, 1, 64), default=2, help="processes of one thread each for the kinds' training (%(default)s)")
    train.add_argument("--seed", type=bounded(int, 0, 10**6), default=0)
    train.add_argument("--install", action="store_true", help="afterwards copy the weights into the package")
    calibrate = actions.add_parser("calibrate", help="fit the testbed's profile from reference runs")
    calibrate.add_argument("--runs", type=bounded(int, 8, 5000), default=1600, help="reference runs (%(default)s)")
    sizes = calibrate.add_mutually_exclusive_group()
    sizes.add_argument("--variant", choices=("small", "main", "large", "flow", "distilled", "few"), default="main", help="(%(default)s)")
    sizes.add_argument("--forge", action="store_true", help="of the testbed as Forge's export has it")
    calibrate.add_argument("--out", type=Path, help="file to write (the bundled profile)")
    actions.add_parser("neighbours", help="how close ordinary runs come to training pictures: what the copy thresholds stand on")
    copies = actions.add_parser("copies", help="how often the model really copies, per kind of memorization")
    copies.add_argument("--runs", type=bounded(int, 1, 1000), default=6, help="per memory (%(default)s)")
    copies.add_argument("--ordinary", type=bounded(int, 1, 10**5), default=288, help="runs of ordinary captions (%(default)s)")
    copies.add_argument("--weights", type=Path, help="other weights, such as those of a training under way")
    copies.add_argument("--out", type=Path, default=Path("outputs/copies"), help="folder for copies.json and copies.md (%(default)s)")
    scores = actions.add_parser("scores", help="other scores than the guard's on the runs of `evaluate`, by kind of memorization")
    scores.add_argument("--out", type=Path, default=Path("outputs/scores"), help="folder for scores.json and scores.md (%(default)s)")
    scores.add_argument("--kept", type=Path, default=Path("outputs/evaluate"), help="where `evaluate --kept` keeps its runs (%(default)s)")
    scatter = actions.add_parser("scatter", help="how much more ordinary runs scatter under each sampler")
    scatter.add_argument("--out", type=Path, default=Path("outputs/scatter"), help="folder for scatter.json and scatter.md (%(default)s)")
    late = actions.add_parser("late", help="flags that come late: what damping still does, and what sampling again makes of it")
    late.add_argument("--out", type=Path, default=Path("outputs/late"), help="folder for late.json and late.md (%(default)s)")
    agreement = actions.add_parser("agreement", help="how well copies are told without originals, by agreement between seeds")
    agreement.add_argument("--out", type=Path, default=Path("outputs/agreement"), help="folder for agreement.json and agreement.md (%(default)s)")
    match = actions.add_parser("match", help="what an index of training pictures finds: whole and partial copies, altered pictures")
    match.add_argument("--out", type=Path, default=Path("outputs/match"), help="folder for match.json and match.md (%(default)s)")
    pictures = actions.add_parser("pictures", help="a sheet of training pictures with their captions")
    pictures.add_argument("--out", type=Path, default=Path("outputs/testbed-pictures.png"))
    lora = actions.add_parser("lora", help="LoRAs of the testbed: train them, or measure what tells their copies")
    _add_lora(lora.add_subparsers(dest="work", required=True, metavar="work", parser_class=Parser))
    regroup = actions.add_parser("regroup", help="train the U-Net that Forge's sizes can hold, or resume")
    regroup.add_argument("--folder", type=Path, default=Path("outputs/regroup"), help="where the training keeps its state (%(default)s)")
    regroup.add_argument("--steps", type=bounded(int, 1, 10**6), default=600, help="(%(default)s)")
    regroup.add_argument("--batch", type=bounded(int, 1, 4096), default=16, help="(%(default)s)")
    regroup.add_argument("--seed", type=bounded(int, 0, 10**6), default=5)
    regroup.add_argument("--install", action="store_true", help="afterwards copy the weights into the package")
    export = actions.add_parser("export", help="write it as a checkpoint that AUTOMATIC1111 loads, with this extension, or Forge")
    export.add_argument("--forge", action="store_true", help="for Forge instead, which loads it as Stable Diffusion 1.5 (750 MB)")
    export.add_argument("folder", type=Path, metavar="DIR", help="folder for the checkpoint, such as the web UI's models/Stable-diffusion")
    study = actions.add_parser("study", help="how many reference prompts a calibration needs, a quarter of an hour on two cores")
    study.add_argument("--out", type=Path, default=Path("outputs/study.json"), help="file to write (%(default)s)")
    scale = actions.add_parser("scale", help="what moves with the latent's size: when damping may let go, and what it does")
    scale.add_argument("--out", type=Path, default=Path("outputs/scale"), help="folder for scale.json and scale.md (%(default)s)")
    scale.add_argument("--copies", type=bounded(int, 1, 64), default=2, help="runs of each memorized caption (%(default)s)")
    locate = actions.add_parser("locate", help="how well the map finds the memorized part, and what a local score catches")
    locate.add_argument("--out", type=Path, default=Path("outputs/locality"), help="folder for locality.json and locality.md (%(default)s)")
    locate.add_argument("--figure", type=Path, metavar="FILE", help="measure nothing, draw a sheet of maps")
    locate.add_argument("--quick", action="store_true", help="one setting and few runs, within 3 minutes on two cores")
    return parser


def _add_lora(works: argparse._SubParsersAction) -> None:
    train = works.add_parser("train", help="train those whose files are not there, 5 to 15 minutes each")
    train.add_argument("--folder", type=Path, default=Path("outputs/lora"), help="where the files go (%(default)s)")
    train.add_argument("--only", choices=("mine", "between", "style"), action="append", help="one of them; may be given several times")
    export = works.add_parser("export", help="write those of the repository into a web UI's folder")
    export.add_argument("--forge", action="store_true", help="widened for the testbed's export for Forge (2.7 MB each)")
    export.add_argument("--only", choices=("mine", "between", "style"), action="append", help="one of them; may be given several times")
    export.add_argument("folder", type=Path, metavar="DIR", help="folder for the files, such as the web UI's models/Lora")
    evaluate = works.add_parser("evaluate", help="false alarms and what tells copies, by network and weight; resumable")
    evaluate.add_argument("--out", type=Path, default=Path("outputs/lora"), help="folder for lora.json and lora.md (%(default)s)")
    evaluate.add_argument("--kept", type=Path, default=Path("outputs/lora/cases"), help="folder of what is made already (%(default)s)")
    evaluate.add_argument("--only", default="", metavar="NAME", help="measure cases whose names begin so, and report on all that there are")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    from ..guard.damping import POLICIES, Damping
    from ..guard.options import MODES
    from ..guard.probe import POLICIES as PROBES

    parser.add_argument("--sampler", default="Euler", help="Euler, Euler a, Heun, DPM2 a, LMS, DPM++ 2S a, DPM++ 2M, DPM++ SDE, …, DDIM, PNDM")
    parser.add_argument("--schedule", default="uniform", help="uniform, karras or exponential (%(default)s)")
    parser.add_argument("--steps", type=bounded(int, 1, 200), default=20, help="sampling steps (%(default)s)")
    parser.add_argument("--guidance", type=bounded(float, 1, 30), default=7.5, help="guidance scale (%(default)s)")
    parser.add_argument("--negative", default="", help="negative prompt, in the testbed's words")
    parser.add_argument("--seed", type=bounded(int, 0, 2**31), default=1, help="first seed (%(default)s)")
    parser.add_argument("--seeds", type=bounded(int, 1, 64), default=1, help="seeds per caption (%(default)s)")
    parser.add_argument("--prompt", action="append", default=[], help="a caption of your own; may be given several times")
    parser.add_argument("--mode", choices=MODES, default="damp", help="(%(default)s)")
    parser.add_argument("--sensitivity", choices=sensitivity.LEVELS, default="medium", help="(%(default)s)")
    parser.add_argument("--tau", type=bounded(float, 0.1, 1000), default=sensitivity.PAPER_MILD, help="threshold of the custom sensitivity")
    parser.add_argument("--damping", choices=POLICIES, default=Damping().policy, help="(%(default)s)")
    parser.add_argument("--probe", choices=PROBES, default="auto", help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("outputs/demo"), help="folder for the pictures (%(default)s)")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    from . import bench

    bench.add_arguments(parser)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    from ..trail import audit

    audit.add_arguments(parser)
    match_arguments.add_audit_arguments(parser)


def _demo(arguments: argparse.Namespace) -> int:
    from ..testbed import demo

    return demo.main(arguments)


def _bench(arguments: argparse.Namespace) -> int:
    from . import bench

    bench.main(arguments)
    return 0


def _audit(arguments: argparse.Namespace) -> int:
    from ..trail import audit
    from . import match_commands

    add = match_commands.matching(arguments)
    return audit.main(arguments, add, match_commands.COLUMNS if add else ())


def _match(arguments: argparse.Namespace) -> int:
    from . import match_commands

    return match_commands.main(arguments)


def _evaluate(arguments: argparse.Namespace) -> int:
    from ..testbed.evidence import evaluate, evaluate_flow, evaluation_rows, remake, tables
    from ..testbed.network import model, variants

    variant = variants.VARIANTS[arguments.variant]
    profile, size = storage.read(arguments.profile or variant.profile), evaluate_flow.size_of(variant, arguments.quick)
    kept = tapes = None
    if arguments.kept:
        kept = evaluation_rows.Kept(arguments.kept, remake.rests_on("detection" if variant is variants.MAIN else variant.name, profile.to_json()))
        tapes = arguments.kept / f"tapes-{remake.rests_on('tapes' if variant is variants.MAIN else f'tapes-{variant.name}')}"
    bed = model.Testbed.load(variant.weights)
    result = evaluate.evaluate(size, arguments.out, profile, bed, arguments.only, arguments.jobs, kept, tapes)
    print(f"Thresholds of {profile.name} ({profile.kind}):")
    for level in ("low", "medium", "high", "paper"):
        print(f"  {level}: watch {sensitivity.thresholds(profile.watch, level).describe()}")
        print(f"  {level}: probe {sensitivity.thresholds(profile.probe, level).describe()}")
    found = f"{tables.detection(result['detection'])}\n\n{tables.damping(result['damping'])}"
    if variant.flow:
        found = evaluate_flow.report(result) + (f"\n\n{evaluate_flow.along(profile, tapes, size)}" if tapes and size.watch else "")
        (arguments.out / "report.md").write_text(found + "\n", "utf-8")
    print(f"\n{found}\n\nWritten to {arguments.out}/")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from ..testbed.evidence import compare
    from ..testbed.network import model, variants

    variant = variants.VARIANTS[arguments.variant]
    bed = model.Testbed.load(variant.weights)
    profile = storage.read(arguments.profile or variant.profile)
    full = compare.FULL if variant is variants.MAIN else compare.OTHER_SIZES
    compare.compare(compare.QUICK if arguments.quick else full, arguments.out, profile, bed, arguments.only)
    print(f"{(arguments.out / 'compare.md').read_text()}\nWritten to {arguments.out}/")
    return 0


def _testbed(arguments: argparse.Namespace) -> int:
    from ..testbed import commands

    return getattr(commands, arguments.action)(arguments)


def _never_mute() -> None:
    """What a console's encoding cannot show is shown as an escape, and ends no command after all its work."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")


#: Commands whose modules do all of the work.
_ELSEWHERE = {
    "profiles": profile_commands.main,
    "calibrate": webui_commands.calibrate,
    "scan": scan_command.scan,
    "trial": trial_commands.main,
    "lora": lora_commands.main,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Bad values end in one line on stderr and status 2."""
    _never_mute()
    arguments = build_parser().parse_args(argv)
    here = {"demo": _demo, "evaluate": _evaluate, "compare": _compare, "bench": _bench, "audit": _audit, "match": _match, "testbed": _testbed}
    run = {**here, **_ELSEWHERE}[arguments.command]
    try:
        return run(arguments)
    except (ValidationError, ValueError, OSError) as error:
        print(f"python -m lib_stability {arguments.command}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"python -m lib_stability {arguments.command}: needs {error.name}, install with: pip install -e '.[testbed]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
