"""Stable Diffusion 1's own U-Net class in the testbed's sizes, for the web UI that loads an exported testbed.

LDM's configuration gives a level's channels as a whole multiple of the first level's. The testbed's are 96 and 128, so `testbed.yaml` names `build`
below in place of the class. What it returns is an ordinary ``UNetModel``: whatever the host does to one, it does to this one.
"""

from __future__ import annotations

from collections.abc import Sequence


class Channels(int):
    """A level's number of channels that passes for the multiple: times the first level's channels it is itself."""

    def __mul__(self, other: int) -> int:
        return int(self)

    __rmul__ = __mul__


def build(channels: Sequence[int], **options):
    """A ``UNetModel`` with these channels at its levels.

    Parameters
    ----------
    channels : sequence of int
        Channels of each level, the finest first; stands for LDM's `model_channels` and `channel_mult`.
    **options
        As ``UNetModel`` takes them.
    """
    from ldm.modules.diffusionmodules.openaimodel import UNetModel  # the host has it, the testbed does not

    return UNetModel(model_channels=int(channels[0]), channel_mult=[Channels(number) for number in channels], **options)
