"""Rewording: a flagged image is guided by its prompt without what carries the copy until it is safe; where that cannot be found, directional damping
acts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ..damping import Marks
from ..detectors import Detector
from ..detectors.probing import Probing
from ..detectors.watch import Watch
from ..evaluation import Evaluation
from ..norms import noise, per_sample, rms
from ..readings import Acted, judge
from ..recalling import Recalled
from ..release import Release
from ..rewording import Rewording, Seen
from .directional import Directional
from .reusing import Guided, Reused

#: Noise (per unit of picture) at which only details are left. What was remembered early says nothing of them: turned away from it there, templates
#: keep 43 % of their attributes instead of 97 % (the testbed's, Euler, 20 steps; tried once, no table keeps the former).
DECIDED = 0.3
#: Where the probe judges, which costs an evaluation of the empty prompt, versions that were stable are judged again where that is evaluated anyway,
#: and at evaluations with these numbers: 0, 2, 6, 14, 30, … There evaluations of odd numbers make do with what a version has left of the one before,
#: too, while more than details is open (without an end to that damped pictures of the testbed are a seventh grainier).
AGAIN = frozenset(2**power - 2 for power in range(1, 20))


class Reword:
    """Puts the mean of the stable versions' predictions in the place of a flagged image's.

    Parameters
    ----------
    rewording : Rewording
        The versions of the batch's prompts.
    cheaper : Directional
        Damps where no version is at hand, and keeps versions from pointing at what is remembered.
    detectors : list of Detector
        Versions are judged as the guided prediction is; by the probe where the watch cannot.
    """

    name = "reword"

    def __init__(self, rewording: Rewording, cheaper: Directional, detectors: list[Detector]) -> None:
        self.rewording, self.cheaper = rewording, cheaper
        self.probing = next((one for one in detectors if isinstance(one, Probing)), None)
        self.watch = next(one for one in detectors if isinstance(one, Watch))
        self._release, self._reused, self._read = Release(), Reused(), rewording.reader()

    def act(self, evaluation: Evaluation, flagged: Marks) -> tuple[torch.Tensor, Acted | None]:
        """See :class:`.Damper`. May cost model evaluations where an image is flagged."""
        if flagged.surely_empty:
            return evaluation.denoised, None
        # Where guidance may have been changed the watch has no measure for it.
        probing = self.probing if evaluation.watched is None or evaluation.plain is not None else None
        acting = self._release.acting(evaluation, flagged, self._likeness(evaluation, evaluation.denoised))
        result, acted = self.cheaper.act(evaluation, acting)
        if acted is None:
            return result, acted
        spare = probing is not None and not (evaluation.number in AGAIN or evaluation.number in probing.probe.looks)
        seen, glance = self._judging(evaluation, probing), self._judging(evaluation, None) if spare else None
        reusable = probing is not None and self.rewording.linear and self._open(evaluation)
        kept = self._reused.at(evaluation) if reusable else None
        step = evaluation.x, evaluation.sigma, acting.tensor, probing is not None, seen, evaluation.number, glance
        stepped = self.rewording.step(*step, due=kept is None)
        got = None if stepped is None else Guided(*stepped)
        if kept is not None:
            kept = kept._replace(found=kept.found & acting.tensor)
            got = got.or_else(kept) if got is not None else kept
        if got is None:
            return result, acted
        if probing is not None:
            self._reused.keep(evaluation, got)
        mean, found = got
        # A version may come near the memorized picture without being unstable.
        mean = self.cheaper.away(mean, found & self._undecided(evaluation), evaluation.expected(self.cheaper.region))
        return torch.where(per_sample(found, result), mean.to(result.dtype), result), acted._replace(replaced=found)

    def _likeness(self, evaluation: Evaluation, prediction: torch.Tensor) -> torch.Tensor:
        """Cosine ``(batch,)`` of a prediction with what is remembered."""
        return self.cheaper.held(evaluation.denoised).along(prediction)[0] / rms(prediction)

    def _judging(self, evaluation: Evaluation, probing: Probing | None) -> Callable[[torch.Tensor], Seen]:
        """From a version's prediction to what is seen of it; where nobody judges this evaluation only whether it is a number."""
        judging = None
        if probing is not None:
            judging = probing.expected(evaluation.sigma), probing.limits
        elif evaluation.watched is not None:
            judging = evaluation.expected(self.watch.region), self.watch.limits

        def seen(prediction: torch.Tensor) -> Seen:
            likeness = self._likeness(evaluation, prediction)
            if judging is None:
                return Seen(~torch.isfinite(rms(prediction)), likeness)
            judged = judge(evaluation.x, prediction, evaluation.sigma, evaluation.parameterisation, *judging)
            return Seen(judged.unstable | ~judged.finite(), likeness)

        return seen

    def _open(self, evaluation: Evaluation) -> bool:
        """Whether more than details is open in all images, as far as heard."""
        heard = self._read(self._undecided(evaluation))
        return heard is not None and all(heard)

    @staticmethod
    def _undecided(evaluation: Evaluation) -> torch.Tensor:
        """The mask ``(batch,)`` of images in which more than details is still open."""
        return noise(evaluation.sigma, evaluation.parameterisation) > DECIDED

    def likeness(self, prediction: torch.Tensor) -> torch.Tensor:
        """See :meth:`.Directional.likeness`."""
        return self.cheaper.likeness(prediction)

    def recalled(self, image: int) -> Recalled:
        """What was remembered and tried of one image."""
        return self.cheaper.recalled(image)._replace(versions=self.rewording.tried(image))

    def recall(self, recalled: Sequence[Recalled | None]) -> None:
        """Begin with what is known of each image: the versions that break its copy guide it from the first evaluation on."""
        self.cheaper.recall(recalled)
        self.rewording.recall([one and one.versions for one in recalled])

    def succeed(self, before: Reword | Directional) -> None:
        """Go on with what was remembered; a refiner has no versions of its own."""
        self.cheaper.succeed(before.cheaper if isinstance(before, Reword) else before)
