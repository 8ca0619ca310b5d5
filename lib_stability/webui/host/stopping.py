"""Questions to the device that do not wait for it: is a whole batch blanked, which images are flagged."""

from __future__ import annotations

import torch


class Poll:
    """Reads a small tensor of the device, on CUDA an evaluation or two late instead of waiting.

    Other accelerators have no portable event: there, and only where a mode needs to know, each question waits for the device.
    """

    def __init__(self) -> None:
        self._answer: torch.Tensor | None = None
        self._copied: torch.cuda.Event | None = None

    def __call__(self, value: torch.Tensor) -> torch.Tensor | None:
        """`value` as it was when last heard of, on the processor; None where nothing was heard since the last answer."""
        if value.device.type != "cuda":
            return value.cpu()
        heard = self._copied is not None and self._copied.query()
        result = self._answer.clone() if heard else None
        if heard or self._copied is None:
            self._answer = torch.empty(value.shape, dtype=value.dtype, pin_memory=True) if self._answer is None else self._answer
            self._answer.copy_(value, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()
        return result

    def is_true(self, value: torch.Tensor) -> bool:
        """Whether the bool tensor `value` of shape ``()`` was set when last heard of."""
        return bool(self(value))
