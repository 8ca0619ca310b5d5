"""What conditioning a prompt leaves behind in a host, put back: pictures that an edit model has used up, notes for the next picture's infotext."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch

#: Where hosts keep such things besides the model: a module, and the name in it of an object, a class or a dict; A1111's, then those of the forks.
_ELSEWHERE = (("modules.sd_hijack", "model_hijack"), ("backend.args", "dynamic_args"))
#: Likewise, but the name itself is what changes.
_VARIABLES = (("backend.text_processing.classic_engine", "last_extra_generation_params"),)


def _contents(holder: object) -> dict:
    return holder if isinstance(holder, dict) else vars(holder)


class _Kept:
    """One place with everything in it, and what lay in its lists and dicts."""

    def __init__(self, holder: object, names: tuple[str, ...] | None = None) -> None:
        self._holder = holder
        kept = [name for name in _contents(holder) if (names is None or name in names) and not str(name).startswith("__")]
        self._values = {name: _contents(holder)[name] for name in kept}
        self._copies = {name: value.copy() for name, value in self._values.items() if isinstance(value, (list, dict))}

    def put_back(self) -> None:
        now = _contents(self._holder)
        for name, value in self._values.items():
            copy = self._copies.get(name)
            if isinstance(value, list):
                value[:] = copy
            elif isinstance(value, dict):
                value.clear()
                value.update(copy)
            if name not in now or now[name] is not value:
                self._set(name, value)

    def _set(self, name: str, value: object) -> None:
        if isinstance(self._holder, dict):
            self._holder[name] = value
        else:
            setattr(self._holder, name, value)


def _places(model: object) -> Iterator[_Kept]:
    if not isinstance(model, torch.nn.Module):  # those of A1111's kind hold nothing of a prompt
        yield _Kept(model)
    for module, name in _ELSEWHERE:
        holder = getattr(sys.modules.get(module), name, None)
        if holder is not None:
            yield _Kept(holder)
    for module, name in _VARIABLES:
        if name in vars(sys.modules.get(module, object)):
            yield _Kept(sys.modules[module], (name,))


@contextlib.contextmanager
def none_left(model: object) -> Iterator[None]:
    """Whatever conditions prompts for `model` in here, the host is as before when it is over."""
    kept = list(_places(model))
    try:
        yield
    finally:
        for one in kept:
            one.put_back()
