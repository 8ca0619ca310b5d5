"""What a guard has found out about an image, for another guard under which the same noise is sampled again: it begins where the first one ended."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Tried(NamedTuple):
    """Of an image's versions, see :mod:`.rewording`: how many stages were tried, and the numbers of those that broke the copy and that guided it at
    last."""

    stages: int
    found: tuple[int, ...]
    stable: tuple[int, ...]


class Recalled(NamedTuple):
    """Of one flagged image: the prediction that flagged it and its RMS, by the latent's shape; and its versions, None where none was tried."""

    directions: dict[torch.Size, tuple[torch.Tensor, torch.Tensor]]
    versions: Tried | None = None
