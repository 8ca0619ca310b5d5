"""Questions to the device that do not wait for it: is a whole batch blanked, is any image flagged."""

from __future__ import annotations

import torch


class Poll:
    """Learns whether something is true, on CUDA an evaluation or two late instead of waiting.

    Other accelerators have no portable event: there, and only where a mode needs to know, each question waits for the device.
    """

    def __init__(self) -> None:
        self._answer: torch.Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def is_true(self, value: torch.Tensor) -> bool:
        """Whether the bool tensor `value` of shape ``()`` was set when last heard of."""
        if value.device.type != "cuda":
            return bool(value)
        heard = self._copied is not None and self._copied.query()
        result = heard and bool(self._answer)
        if heard or self._copied is None:
            self._answer = torch.empty((), dtype=torch.bool, pin_memory=True) if self._answer is None else self._answer
            self._answer.copy_(value, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()
        return result
