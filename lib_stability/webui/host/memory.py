"""Whether an error says that the device has run out of memory."""

from __future__ import annotations

import torch


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help."""
    kind = getattr(torch.cuda, "OutOfMemoryError", None)
    return (kind is not None and isinstance(error, kind)) or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())
