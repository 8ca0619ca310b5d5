"""The acting half of a guard: which images are flagged, and the damper that serves them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .dampers import Damper
from .dampers.directional import Directional
from .dampers.reword import Reword
from .dampers.stop import Stop
from .damping import Marks
from .evaluation import Evaluation
from .readings import Acted
from .recalling import Recalled
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
        self._recollecting = damper if isinstance(damper, Reword | Directional) else None
        self._flagged: Marks | None = None
        self._recalled: list[bool] = []
        self._last: torch.Tensor | None = None

    def act(self, evaluation: Evaluation) -> tuple[torch.Tensor, Acted | None]:
        """The prediction to go on with, and what was done to it (None: nothing). What was flagged once stays flagged."""
        if self._recalled and self._flagged is None:
            self._flagged = Marks(len(evaluation.x), evaluation.x.device)
            self._flagged.tensor.copy_(torch.tensor(self._recalled), non_blocking=True)
        if self.damper is not None and evaluation.unstable is not None:
            if self._flagged is None:
                self._flagged = Marks(len(evaluation.unstable), evaluation.unstable.device)
            self._flagged.tensor |= evaluation.unstable
        while self.damper is not None and self._flagged is not None:
            try:
                result, acted = self.damper.act(evaluation, self._flagged)
                if acted is not None and self._recollecting is not None:
                    self._last = result
                return result, acted
            except Exception as error:
                self.trouble.note(self.damper.name, error, damper=True)
                self.damper = self.damper.cheaper
        return evaluation.denoised, None

    def recall(self, recalled: Sequence[Recalled | None]) -> None:
        """Act from the first evaluation on, on every image of which something is known."""
        if any(one is not None for one in recalled) and self._recollecting is not None:
            self._recalled = [one is not None for one in recalled]
            self._recollecting.recall(recalled)

    def recalled(self, batch: int) -> list[Recalled | None]:
        """What is known of each image, None of one that was not flagged or of which nothing can be. Waits for the device."""
        known = self._recollecting
        if self._flagged is None or known is None:
            return [None] * batch
        flagged = [*self._flagged.tensor.tolist(), *[False] * batch][:batch]
        return [known.recalled(image) if yes else None for image, yes in enumerate(flagged)]

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

    def likeness(self) -> list[float]:
        """Of each image how near the last prediction that was handed on comes to the one that flagged it; empty where none is remembered. Waits for
        the device."""
        return [] if self._last is None or self._recollecting is None else self._recollecting.likeness(self._last).tolist()

    def bare(self) -> bool:
        """Whether a version had to do without what another extension makes of guidance."""
        return isinstance(self._chosen, Reword) and self._chosen.rewording.bare()
