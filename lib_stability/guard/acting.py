"""The acting half of a guard: which images are flagged, and the damper that serves them."""

from __future__ import annotations

import torch

from .dampers import Damper
from .dampers.reword import Reword
from .dampers.stop import Stop
from .damping import Marks
from .evaluation import Evaluation
from .readings import Acted
from .trouble import Trouble


class Acting:
    """The damper of one pass.

    Parameters
    ----------
    damper : Damper or None
        None where nothing is changed.
    trouble : Trouble
        The pass's: a damper that failed hands over to the next cheaper one.
    """

    def __init__(self, damper: Damper | None, trouble: Trouble) -> None:
        self.damper, self.trouble = damper, trouble
        self._chosen = damper  # whatever it hands over to, what it found stays
        self._flagged: Marks | None = None

    def act(self, evaluation: Evaluation) -> tuple[torch.Tensor, Acted | None]:
        """The prediction to go on with, and what was done to it (None: nothing). What was flagged once stays flagged."""
        if self.damper is not None and evaluation.unstable is not None:
            if self._flagged is None:
                self._flagged = Marks(len(evaluation.unstable), evaluation.unstable.device)
            self._flagged.tensor |= evaluation.unstable
        while self.damper is not None and self._flagged is not None:
            try:
                return self.damper.act(evaluation, self._flagged)
            except Exception as error:
                self.trouble.note(self.damper.name, error, damper=True)
                self.damper = self.damper.cheaper
        return evaluation.denoised, None

    def unseen(self, denoised: torch.Tensor) -> torch.Tensor:
        """A prediction that could not be judged: as it is, but for images that are blanked."""
        return self.damper.blank(denoised) if isinstance(self.damper, Stop) else denoised

    @property
    def stopped(self) -> torch.Tensor | None:
        """See :attr:`.guard.Guard.stopped`."""
        return self.damper.stopped if isinstance(self.damper, Stop) else None

    def succeed(self, before: Acting) -> None:
        """Go on with the flags and the state of the pass up to here."""
        self._flagged = before._flagged
        if self.damper is not None and before.damper is not None:
            self.damper.succeed(before.damper)

    def carriers(self) -> list[str]:
        """Of each image, see :meth:`.rewording.Rewording.carriers`; empty where nobody looked. Read from the device."""
        return self._chosen.rewording.carriers() if isinstance(self._chosen, Reword) else []

    def bare(self) -> bool:
        """Whether a version had to do without what another extension makes of guidance."""
        return isinstance(self._chosen, Reword) and self._chosen.rewording.bare()
