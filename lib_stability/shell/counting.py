"""Counting what torch is asked to do: dispatched operations, and those for which the host has to wait for the device."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

#: Operations whose result, or whose result's shape, the host has to know.
WAITING = (
    *"_local_scalar_dense item is_nonzero nonzero masked_select equal allclose".split(),
    *"_unique2 unique_dim unique_consecutive repeat_interleave".split(),
)
#: Operations that wait where a mask is among the indices: the count of True values is the shape of the result.
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
COPYING = ("_to_copy", "copy_")
#: Methods that read a tensor without an operation where the tensor is on the CPU already; elsewhere they show up as a copy.
READING = {torch.Tensor.cpu: "cpu", torch.Tensor.numpy: "numpy", torch.Tensor.tolist: "tolist", torch.Tensor.__array__: "__array__"}
MASKS = (torch.bool, torch.uint8)


class Dispatched(TorchDispatchMode):
    """Counts while entered: ``with Dispatched() as counted: ...``.

    A synchronisation is recognised by the operation and its arguments, so a CPU run shows those that an accelerator would have.

    Attributes
    ----------
    names : Counter
        Dispatched operations by name, without namespace and overload, views included.
    waits : Counter
        Those among them that wait for the device, and reads by ``.cpu()``, ``.numpy()`` and ``.tolist()``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self._reads = _Reads(self.waits)

    @property
    def operations(self) -> int:
        """How many operations were dispatched."""
        return self.names.total()

    @property
    def synchronisations(self) -> int:
        """How many times the host would have waited for the device."""
        return self.waits.total()

    def __enter__(self) -> Dispatched:
        super().__enter__()
        self._reads.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._reads.__exit__(*exception)
        super().__exit__(*exception)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.names[name] += 1
        if _waits(name, args, result):
            self.waits[name] += 1
        return result


class _Reads(TorchFunctionMode):
    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = READING.get(func)
        if name and args[0].device.type == "cpu":
            self.waits[name] += 1
        return func(*args, **(kwargs or {}))


def _waits(name: str, args: tuple, result: object) -> bool:
    if name in WAITING:
        return True
    if name in INDEXING:
        return any(index is not None and index.dtype in MASKS for index in args[1])
    if name in COPYING:
        source = args[1] if name == "copy_" else args[0]
        return isinstance(result, torch.Tensor) and result.device != source.device
    return False
