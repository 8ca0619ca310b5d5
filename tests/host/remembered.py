"""The network's answers that tests ask for again: the same inputs are evaluated once a process, bit for bit what evaluating them anew would give."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch

#: Answers kept, the latest asked for; one of four latents of 16×16 numbers takes 16 kB.
KEPT = 20_000


class Remembered:
    """A function of tensors that answers from memory what it was asked before.

    Parameters
    ----------
    answer : callable
        Called with the tensors; has to answer the same to the same in the same state.
    state : callable
        What else the answer depends on: the weights that are in force.
    """

    def __init__(self, answer: Callable[..., torch.Tensor], state: Callable[[], Hashable]) -> None:
        self.answer, self.state = answer, state
        self._known: OrderedDict[Hashable, torch.Tensor] = OrderedDict()

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        key = (self.state(), *(self._digest(one) for one in tensors))
        if key in self._known:
            self._known.move_to_end(key)
        else:
            self._known[key] = self.answer(*tensors)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        return self._known[key].clone()  # who is given it may write to it

    @staticmethod
    def _digest(tensor: torch.Tensor) -> Hashable:
        """A name for a tensor's numbers, their order in memory too: convolutions may add in another order where that differs."""
        stored = tensor.contiguous().view(torch.uint8) if tensor.ndim else tensor.reshape(1).view(torch.uint8)
        return hashlib.blake2b(stored.numpy().tobytes(), digest_size=16).digest(), tuple(tensor.shape), tensor.stride(), tensor.dtype
