"""A host's object with a few of its attributes replaced, for one call, so that the host's own function runs on something slightly else."""

from __future__ import annotations


class Instead:
    """Everything that is not `replaced` is the original's, also what a host that nobody here knows yet asks for; what is set stays here.

    A copy would do more than that: of a patcher, on reForge, it moves the original's patches when it goes.
    """

    def __init__(self, original: object, **replaced: object) -> None:
        self.__dict__.update(replaced, _original=original)

    def __getattr__(self, name: str) -> object:
        return getattr(self.__dict__["_original"], name)
