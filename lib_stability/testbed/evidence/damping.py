"""Mitigation on the testbed: what damping does to copies, to what was asked for, to quality, and to images that were not flagged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ...guard.damping import Damping
from ...guard.guard import UNKNOWN_NEGATIVE, Guard
from ...guard.options import Options
from ...guard.probe import Probe
from ...guard.recalling import Recalled
from ...guard.verdict import Verdict
from ...profile import scatter
from ...profile.profiles import Profile
from ..network import finished
from ..network.again import again
from ..network.batches import batches
from ..network.model import Testbed
from ..network.sample import GuidedDenoiser
from ..network.setting import Setting, negatives_for, usual
from ..world import judge, wording
from ..world.attributes import AttributeReader
from ..world.captions import Memorized
from .carriers import carriers


@dataclass
class Pictures:
    """Finished runs: latents, pictures in -1..1, the verdicts (empty without a guard), and the U-Net's rows per run."""

    latents: torch.Tensor
    pixels: torch.Tensor
    verdicts: list[Verdict]
    rows: float = 0.0


@torch.inference_mode()
def generate(
    bed: Testbed,
    captions: Sequence[str],
    setting: Setting,
    seed: int,
    profile: Profile | None = None,
    options: Options | None = None,
    tick: Callable[[int], None] = lambda n: None,
    negatives: Sequence[str] | None = None,
    once: bool = False,
    make: Callable[..., Guard] = Guard,
) -> Pictures:
    """Sample and decode captions, guarded where a profile and options are given; the negative prompts are the setting's for `seed` unless given.

    In the mode "damp" images that damping came too late for are sampled again, as web UIs do by default; not with `once`.
    """
    doubt = "" if setting.negative == "none" else UNKNOWN_NEGATIVE

    def guard_for(model: GuidedDenoiser, recalled: Sequence[Recalled | None] = ()) -> Guard:
        policy = "always" if setting.probe else "auto"
        probed = scatter.probe(profile, setting.sampler, model.expected)
        look = Probe(probed, model.virtual, policy, guidance=profile.probe_guidance, expected=model.expected)
        rewording = model.rewording() if options.damping.policy == "reword" else None
        region = scatter.watch(profile, setting.sampler, model.expected, setting.guidance)
        return make(region, options, look, bed.variant.parameterisation, doubt=doubt, rewording=rewording, recalled=recalled)

    latents, pixels, verdicts, rows, first = [], [], [], 0, 0
    negatives = negatives_for(setting.negative, len(captions), seed, bed.variant.world) if negatives is None else negatives
    seeds, sampling = range(seed, seed + len(captions)), setting.sampling()
    for done in batches(bed, captions, seeds, negatives, guard_for if profile else None, **sampling):
        part, first = slice(first, first + done.count), first + done.count
        found, said, more = done.samples.latents, done.guard.report() if done.guard else [], 0
        if done.guard and options.mode == "damp" and not once:
            found, said, more = again(bed, done.samples, done.guard, captions[part], seeds[part], negatives[part], guard_for, **sampling)
        latents.append(found)
        pixels.append(finished.pictures(bed, found))
        verdicts += said
        rows += done.samples.rows + more
        tick(done.count)
    return Pictures(torch.cat(latents), torch.cat(pixels), verdicts, rows / len(captions))


def row(
    bed: Testbed,
    reader: AttributeReader,
    items: Sequence[Memorized],
    setting: Setting,
    policy: Damping,
    before: Pictures,
    after: Pictures,
    ordinary: Pictures,
    ordinary_guarded: Pictures,
) -> dict:
    """One entry of the damping table of ``evaluate.json``."""
    flagged = torch.tensor([verdict.flagged for verdict in ordinary_guarded.verdicts])
    changed = (ordinary.latents != ordinary_guarded.latents).flatten(1).any(1) & ~flagged
    right, right_ordinary = (judge.attributes_right(reader, pictures.pixels, items) for pictures in (after, ordinary))
    memories = bed.variant.memorized()
    return {
        "policy": policy.policy,
        "strength": policy.strength,
        "margin": policy.limit,
        "default": policy == Damping(),
        "sampler": setting.sampler,
        "steps": setting.steps,
        "guidance": setting.guidance,
        "negative": setting.negative,
        "kind": items[0].kind,
        "runs": len(items),
        "flagged": sum(verdict.flagged for verdict in after.verdicts) / len(items),
        "copies_before": _share(judge.any_copies(before.pixels, memories)),
        "copies_after": _share(judge.any_copies(after.pixels, memories)),
        "copies_after_own": _share(judge.own_copies(after.pixels, items)),
        "copies_by_chance": _share(judge.any_copies(ordinary.pixels, memories)),
        "likeness_after": float(judge.likeness(after.pixels, items).median()),
        "attributes": sum(right.values()) / len(right),
        "attributes_ordinary": sum(right_ordinary.values()) / len(right),
        "attributes_each": right,
        "attributes_each_ordinary": right_ordinary,
        "error": float(finished.denoising_error(bed, after.latents).mean()),
        "error_ordinary": float(finished.denoising_error(bed, ordinary.latents).mean()),
        "ordinary_flagged": float(flagged.float().mean()),
        "unflagged_changed": float(changed.float().mean()),
        "rows_ratio": after.rows / before.rows,
        "again": sum(verdict.again for verdict in after.verdicts) / len(items),
        "outcomes": outcomes(after, memories),
        **carriers(items, [verdict.carriers for verdict in after.verdicts]),
    }


def outcomes(after: Pictures, memories: Sequence[Memorized]) -> dict[str, list[int]]:
    """By what the verdicts of damped runs say of their end: how many there are, and how many of these are copies of something."""
    copied, found = judge.any_copies(after.pixels, memories).tolist(), {}
    for verdict, copy in zip(after.verdicts, copied):
        if verdict.damped:
            runs, copies = found.get(verdict.outcome, (0, 0))
            found[verdict.outcome] = [runs + 1, copies + copy]
    return dict(sorted(found.items()))


def _share(found: torch.Tensor) -> float:
    return float(found.float().mean())


def truly_ordinary(bed: Testbed, captions: Sequence[str], seed: int, tick: Callable[[int], None] = lambda n: None) -> tuple[list[str], list[str]]:
    """Captions that do not and that do hand out a memorized picture, judged on the picture of a plain Euler run.

    An ordinary caption one word away from a memorized one may reproduce its picture: flagging that is no false alarm, whatever the caption's label.
    """
    copied = judge.any_copies(generate(bed, captions, usual(bed.variant), seed, tick=tick).pixels, bed.variant.memorized())
    kept, dropped = [], []
    for caption, is_copy in zip(captions, copied):
        (dropped if is_copy else kept).append(caption)
    return kept, dropped


def ordinary_twins(items: Sequence[Memorized]) -> list[str]:
    """What the captions ask of their object and nothing else, in their words: ordinary captions, so that attributes are compared on equal terms."""
    known = set().union(*wording.ASKED.values())
    return [" ".join(word for word in item.caption.split() if word in known) for item in items]
