"""The other half of the comparison: what mitigations do to copies, attributes and quality, to ordinary pictures, and what they cost.

Every method meets the same captions and seeds. Rivals that treat every picture are shown so, and with our detector in front of them: a picture that
the guard does not flag stays as it was, a flagged one is sampled anew. Parameters are as published, and as tuned on captions of the other part.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from ...guard.guard import Guard
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network import finished
from ..network.batches import batches
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting, memorized_captions
from ..network.variants import MAIN, Variant
from ..rivals import broken_damping, broken_memories
from ..rivals.base import Context, Mitigation, Plain
from ..rivals.mitigations import Judged, choose, dominating, entries
from ..world import judge
from ..world.attributes import AttributeReader
from ..world.captions import Memorized
from . import calibrate
from .damping import ordinary_twins

#: First seed; detection's comparison stays below it.
SEED = EVALUATION_SEED + 40_000_000
#: Of the memories of each kind but templates, the share that only the tuning sees.
TUNING = 1 / 3
#: Where methods are tuned, and where ordinary pictures are looked at; the first row of the table.
OWN = Setting()
SETTINGS = (OWN, Setting("DPM++ 2M", guidance=6.0), Setting("Euler a"))
DEFAULT, TUNED = "as published", "tuned"


@dataclass(frozen=True)
class Size:
    """Runs per memory, settings of conjunctions and of the other kinds, whether parameters are tuned, ordinary captions of a table.

    Conjunctions are shown with both published and tuned parameters in our own setting, everything else with the tuned ones.
    """

    copies: int = 1
    conjunctions: tuple[Setting, ...] = SETTINGS
    others: tuple[Setting, ...] = (OWN,)
    tuned: bool = True
    references: int = broken_memories.REFERENCES


FULL = Size()
#: At the two other latent sizes, which memorized fewer captions.
OTHER_SIZES = Size(2, (OWN,), (OWN,))
QUICK = Size(1, (OWN,), (), False, 24)


@dataclass
class Outcome:
    """Finished pictures of one method: latents, pixels in -1..1, what watched each batch, and per picture U-Net rows evaluated and differentiated,
    and seconds of processor time without decoding."""

    latents: torch.Tensor
    pixels: torch.Tensor
    watchers: list
    rows: float
    backward: float
    seconds: float


@torch.inference_mode()
def apply(
    bed: Testbed,
    method: Mitigation,
    captions: Sequence[str],
    setting: Setting,
    seed: int,
    context: Context,
    watch: Callable | None = None,
    tick: Callable[[int], None] = lambda n: None,
) -> Outcome:
    """Sample and decode `captions` under a method; `watch` makes another watcher than the method's own."""
    chosen, seeds = method.captions(captions, seed), range(seed, seed + len(captions))
    sampling = {**setting.sampling(), "guidance": method.guidance(setting.guidance)}
    latents, pixels, watchers, rows, backward, seconds = [], [], [], 0, 0, 0.0
    start = time.process_time()
    for done in batches(bed, chosen, seeds, [""] * len(chosen), watch or (lambda model: method.attach(model, context)), **sampling):
        seconds += time.process_time() - start
        latents.append(done.samples.latents)
        pixels.append(finished.pictures(bed, done.samples.latents))
        watchers.append(done.guard)
        rows, backward = rows + done.samples.rows, backward + done.samples.backward_rows
        tick(done.count)
        start = time.process_time()
    count = len(captions)
    return Outcome(torch.cat(latents), torch.cat(pixels), watchers, rows / count, backward / count, seconds / count)


@dataclass
class Case:
    """One kind of caption under one setting: what is asked for, the undamped pictures, and which of them the guard flags."""

    setting: Setting
    items: list[Memorized]
    captions: list[str]
    twins: list[str]
    seed: int
    context: Context
    plain: Outcome
    ordinary: Outcome
    flagged: torch.Tensor
    ordinary_flagged: torch.Tensor
    #: Evaluations of the undamped run up to the flag, mean over flagged pictures.
    until: float


def prepare(bed: Testbed, profile: Profile, kind: str, setting: Setting, size: Size, seed: int, tick: Callable[[int], None]) -> Case:
    """Tables, undamped pictures of memorized captions and of their ordinary twins, and the guard's flags on both."""
    items = memorized_captions(kind, size.copies, seed, bed.variant)[1][tuning(bed.variant, kind) * size.copies :]
    captions = [item.caption for item in items]
    references = [caption for caption, _ in bed.variant.world.ordinary_samples(size.references, calibrate.SEED, "calibration")]
    context = Context(profile, broken_damping.fit(bed, references, setting, calibrate.SEED, tick))

    def report(model) -> Guard:
        return Guard(profile.watch, Options("report"))

    twins = ordinary_twins(items)
    both = [apply(bed, Plain(), texts, setting, seed + 50_000 * n, context, report, tick) for n, texts in enumerate((captions, twins))]
    verdicts = [[verdict for guard in one.watchers for verdict in guard.report()] for one in both]
    flags = [torch.tensor([verdict.flagged for verdict in found]) for found in verdicts]
    at = [verdict.flagged_at for verdict in verdicts[0] if verdict.flagged]
    return Case(setting, items, captions, twins, seed, context, *both, *flags, sum(at) / max(len(at), 1))


def _change(bed: Testbed, before: Outcome, after: torch.Tensor, latents: torch.Tensor) -> dict:
    """What became of ordinary pictures: share changed, RMS of the change in levels of 255, their denoising error."""
    difference = (after - before.pixels).flatten(1)
    return {
        "ordinary_changed": float((difference != 0).any(1).float().mean()),
        "ordinary_rms": float(127.5 * difference.square().mean(1).sqrt().mean()),
        "ordinary_error": float(finished.denoising_error(bed, latents).mean()),
    }


def _row(bed: Testbed, reader: AttributeReader, case: Case, method: Mitigation, variant: str, trigger: str, pixels, latents) -> dict:
    right = judge.attributes_right(reader, pixels, case.items)
    return {
        "kind": case.items[0].kind,
        **asdict(case.setting),
        "method": method.name,
        "ours": method.ours,
        "variant": variant,
        "parameters": method.parameters(),
        "trigger": trigger,
        "runs": len(case.items),
        "copies": float(judge.any_copies(pixels, bed.variant.memorized()).float().mean()),
        "likeness": float(judge.likeness(pixels, case.items).median()),
        "attributes": sum(right.values()) / len(right),
        "attributes_each": right,
        "error": float(finished.denoising_error(bed, latents).mean()),
    }


def rows(bed: Testbed, reader: AttributeReader, case: Case, method: Mitigation, variant: str, ordinary: bool, tick) -> Iterator[dict]:
    """The lines of one method: as it is, and for rivals that treat every picture also with our detector.

    `ordinary` asks for the ordinary twins too; without it only what is known anyway is filled in: what nobody flagged is not changed.
    """
    done = apply(bed, method, case.captions, case.setting, case.seed, case.context, tick=tick)
    cost = {
        "rows_forward": done.rows - case.plain.rows,
        "rows_backward": done.backward,
        "seconds_ratio": done.seconds / max(case.plain.seconds, 1e-9),
    }
    untouched = _change(bed, case.ordinary, case.ordinary.pixels, case.ordinary.latents) if not case.ordinary_flagged.any() else None
    other = apply(bed, method, case.twins, case.setting, case.seed + 50_000, case.context, tick=tick) if ordinary else None
    changed = _change(bed, case.ordinary, other.pixels, other.latents) if other else {}
    if not changed and method.ours and untouched:
        changed = untouched
    yield _row(bed, reader, case, method, variant, method.trigger, done.pixels, done.latents) | changed | cost
    if method.trigger == "own" and method.ours:
        return
    pixels, latents = (torch.where(case.flagged.view(-1, 1, 1, 1), getattr(done, part), getattr(case.plain, part)) for part in ("pixels", "latents"))
    changed = untouched or {"ordinary_changed": float(case.ordinary_flagged.float().mean())}
    if other and not untouched:
        mask = case.ordinary_flagged.view(-1, 1, 1, 1)
        kept = [torch.where(mask, getattr(other, part), getattr(case.ordinary, part)) for part in ("pixels", "latents")]
        changed = _change(bed, case.ordinary, *kept)
    cost["rows_forward"] += 2 * case.until
    cost["seconds_ratio"] += 2 * case.until / case.plain.rows
    yield _row(bed, reader, case, method, variant, "our detector", pixels, latents) | changed | cost


def reference(bed: Testbed, reader: AttributeReader, case: Case) -> dict:
    """The lines to compare with: the undamped pictures, and the ordinary twins."""
    found = _row(bed, reader, case, Plain(), "", "", case.plain.pixels, case.plain.latents)
    twins = _row(bed, reader, case, Plain(), "", "", case.ordinary.pixels, case.ordinary.latents)
    return {
        **found,
        "flagged": float(case.flagged.float().mean()),
        "ordinary_flagged": float(case.ordinary_flagged.float().mean()),
        "copies_by_chance": twins["copies"],
        "attributes_ordinary": twins["attributes"],
        "error_ordinary": twins["error"],
    }


def tune(bed: Testbed, reader: AttributeReader, context: Context, tick) -> tuple[list[tuple[Mitigation, Mitigation]], list[dict]]:
    """Each method's defaults with its tuned parameters, and everything that was tried."""
    items = memories(bed.variant, True)

    def judged(method: Mitigation) -> Judged:
        done = apply(bed, method, [item.caption for item in items], OWN, SEED - 1_000, context, tick=tick)
        return Judged.of(reader, done.pixels, items, bed.variant.memorized())

    pairs, tried = [], []
    for published, grid in entries():
        best, found = choose(published, grid, judged)
        pairs.append((published, best))
        tried += found
    return pairs, tried


def bars(found: Sequence[dict]) -> list[dict]:
    """Each of our lines with the rivals that dominate it, among the lines of the same captions and setting."""
    same = ("kind", "sampler", "steps", "guidance")
    result = []
    for row in found:
        if row["ours"]:
            rivals = [other for other in found if not other["ours"] and all(other[key] == row[key] for key in same)]
            result.append({key: row[key] for key in (*same, "method", "variant")} | {"dominated_by": dominating(row, rivals)})
    return result


def variants(published: Mitigation, best: Mitigation, both: bool) -> dict[Mitigation, str]:
    """The parameters to show of one method and what they are called: those that tuning chose, and with `both` also those it did not."""
    shown = {published: "as it ships" if published.ours else DEFAULT}
    if best != published:
        shown = {**(shown if both else {}), best: TUNED}
    return shown


def tuning(variant: Variant, kind: str) -> int:
    """How many memories of a kind, the first ones, only the tuning sees."""
    return 0 if kind == "template" else round(TUNING * len(variant.memorized(kind)))


def memories(variant: Variant, tuned: bool) -> list[Memorized]:
    """What detectors and mitigations are tuned on, or what they are compared on: memories of all kinds but templates."""
    split = {kind: tuning(variant, kind) for kind in variant.kinds if kind != "template"}
    return [item for kind, first in split.items() for item in (variant.memorized(kind)[:first] if tuned else variant.memorized(kind)[first:])]


def cases_of(variant: Variant, size: Size) -> list[tuple[str, Setting]]:
    """Kind and setting of each block of the table."""
    others = [kind for kind in variant.kinds if kind != "conjunction"]
    return [("conjunction", one) for one in size.conjunctions] + [(kind, one) for kind in others for one in size.others]


def total_runs(size: Size, variant: Variant = MAIN) -> int:
    """Runs that are sampled at most, for the progress bar."""
    counts = {kind: size.copies * (len(variant.memorized(kind)) - tuning(variant, kind)) for kind in variant.kinds}
    cases = cases_of(variant, size)
    total = size.references * (len(cases) + size.tuned)
    for number, (kind, _) in enumerate(cases):
        shown = len(entries()) * (2 if size.tuned and number == 0 else 1)
        total += counts[kind] * (2 + shown * (2 if number == 0 else 1))
    tried = sum(len(dict.fromkeys([published, *grid])) for published, grid in entries())
    return total + (len(memories(variant, True)) * tried if size.tuned else 0)


def compare(
    bed: Testbed, profile: Profile, size: Size, tick: Callable[[int], None], save: Callable[[dict], None], say: Callable[[str], None]
) -> dict:
    """Tune, then run every method in every setting; `save` gets what there is after each of them."""
    reader = AttributeReader.load()
    result = {"profile": profile.name, "criterion": "largest attributes - copies", "tried": [], "references": [], "rows": [], "bar": []}
    pairs = [(published, published) for published, _ in entries()]
    if size.tuned:
        say("tuning")
        captions = [caption for caption, _ in bed.variant.world.ordinary_samples(size.references, calibrate.SEED, "calibration")]
        context = Context(profile, broken_damping.fit(bed, captions, OWN, calibrate.SEED, tick))
        pairs, result["tried"] = tune(bed, reader, context, tick)
    for number, (kind, setting) in enumerate(cases_of(bed.variant, size)):
        say(f"{kind}, {setting.sampler} {setting.steps}")
        case = prepare(bed, profile, kind, setting, size, SEED + 100_000 * number, tick)
        result["references"].append(reference(bed, reader, case))
        for published, best in pairs:
            for method, variant in variants(published, best, number == 0).items():
                result["rows"] += rows(bed, reader, case, method, variant, number == 0, tick)
            result["bar"] = bars(result["rows"])
            save(result)
    return result
