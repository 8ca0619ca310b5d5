"""Images that damping came too late for, sampled once more from their own noise, as the extension does it in a web UI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ...guard.guard import Guard
from ...guard.outcome import AGAIN
from ...guard.recalling import Recalled
from ...guard.verdict import Verdict
from .model import Testbed
from .sample import GuidedDenoiser, Samples, sample

#: How often an image is sampled beside the first time.
MOST = 2
#: Makes the guard of a batch from its denoiser and what is recalled of each image.
GuardFor = Callable[[GuidedDenoiser, Sequence[Recalled | None]], Guard]


def again(
    bed: Testbed,
    done: Samples,
    guard: Guard,
    captions: Sequence[str],
    seeds: Sequence[int],
    negatives: Sequence[str],
    guard_for: GuardFor,
    **options,
) -> tuple[torch.Tensor, list[Verdict], int]:
    """Latents and verdicts of a batch once those images were sampled again of which damping has failed, and the rows that this took.

    `captions`, `seeds` and `negatives` are the batch's, `options` those of :func:`.sample.sample`. An image that was sampled again keeps what it was
    flagged for; what was done about it is what is handed out.
    """
    latents, verdicts, rows = done.latents.clone(), guard.report(), 0
    known: dict[int, Recalled | None] = {}
    first, watching, places = list(verdicts), guard, {row: row for row in range(len(verdicts))}
    for _ in range(MOST):
        failed = [row for row in places if verdicts[row].failed]
        if not failed:
            break
        found = watching.recalled()
        known.update({row: found[places[row]] for row in failed if found[places[row]] is not None})
        guards: list[Guard] = []

        def attach(model: GuidedDenoiser, failed: list[int] = failed, guards: list[Guard] = guards) -> Guard:
            guards.append(guard_for(model, [known.get(row) for row in failed]))
            return guards[0]

        texts, others, numbers = ([values[row] for row in failed] for values in (captions, negatives, seeds))
        made = sample(bed, texts, numbers, negatives=others, watch=attach, **options)
        latents[failed], rows = made.latents, rows + made.rows
        watching, places = guards[0], {row: position for position, row in enumerate(failed)}
        for row, verdict in zip(failed, watching.report()):
            outcome = f"{AGAIN} - {verdict.outcome}" if verdict.outcome else AGAIN
            told = {"damped": verdict.damped, "outcome": outcome, "score_after": verdict.score_after}
            verdicts[row] = replace(first[row], carriers=verdict.carriers or first[row].carriers, **told)
    return latents, verdicts, rows
