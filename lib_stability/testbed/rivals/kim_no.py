"""The embeddings of the padding (Kim and No, "Memorization In Stable Diffusion Is Unexpectedly Driven by CLIP Embeddings", CVPR 2026 Findings, arXiv
2605.02908).

SD 1's tokenizer pads a prompt with the end token, so the U-Net sees dozens of near copies of the one embedding that CLIP was trained on. There are
two remedies, for every prompt alike, without a detector and free of cost: (1) pad with "!" instead, before the text is encoded, and put zeros in the
place of the end token's embedding; (2) leave the tokenizer alone and put zeros in the place of 70 % of the padding's embeddings, those next to the
end token's.

The testbed pads as SD 1 does, but it has no "!": it knows the two special tokens and the words of its captions. What stands for a token that is
frequent and says nothing is the mean of all words' token embeddings (our reading). Not said by what we have of the paper: whether the negative prompt
is treated as well; it is not here, unless tuning chooses so. With a prompt of 75 tokens there is no padding and (2) does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..network.model import EOS, Testbed, tokenize
from ..network.sample import GuidedDenoiser
from .base import Context, Mitigation


def places(tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Masks ``(batch, tokens)`` of each row's end token and of the padding behind it."""
    ends = tokens == EOS
    first = ends & (ends.cumsum(1) == 1)
    return first, ends & ~first


def padded(bed: Testbed, captions: Sequence[str], mask_end: bool) -> torch.Tensor:
    """Embeddings of captions that are padded with a neutral token; zeros for the end token's, if asked for."""
    tokens = tokenize(list(captions), bed.variant.world.all_words())
    end, padding = places(tokens)
    table = bed.text.get_input_embeddings()
    neutral = table.weight[EOS + 1 :].mean(0)
    hook = table.register_forward_hook(lambda module, inputs, found: torch.where(padding[..., None], neutral, found))
    try:
        found = bed.text(tokens).last_hidden_state
    finally:
        hook.remove()
    return torch.where(end[..., None] & mask_end, 0.0, found)


def masked(bed: Testbed, captions: Sequence[str], share: float) -> torch.Tensor:
    """The usual embeddings with zeros in the place of a share of the padding's, from the end token on."""
    padding = places(tokenize(list(captions), bed.variant.world.all_words()))[1]
    nearest = padding.cumsum(1) <= (share * padding.sum(1, keepdim=True)).round()
    return torch.where((padding & nearest)[..., None], 0.0, bed.encode_text(list(captions)))


@dataclass(frozen=True)
class OtherPadding(Mitigation):
    """Padding that is no end token."""

    mask_end: bool = True
    negatives: bool = False
    name = "Kim and No, other padding"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        model.conditional = padded(model.bed, model.captions, self.mask_end)
        if self.negatives:
            model.negative = padded(model.bed, model.negatives, self.mask_end)


@dataclass(frozen=True)
class MaskedPadding(Mitigation):
    """Zeros for a part of the padding."""

    share: float = 0.7
    negatives: bool = False
    name = "Kim and No, masked padding"

    def attach(self, model: GuidedDenoiser, context: Context) -> None:
        model.conditional = masked(model.bed, model.captions, self.share)
        if self.negatives:
            model.negative = masked(model.bed, model.negatives, self.share)
