"""Stability regions of diffusion sampling: tell, while an image is sampled, whether it reproduces a training picture.

What another sampler needs stands here by name (see ``__all__``) and is loaded when it is first asked for: importing the package alone loads nothing,
so that a web UI or a command line pays for what it uses. Each room beside it says in its own docstring what lives there and what it may import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from .guard.damping import Damping
    from .guard.guard import Guard
    from .guard.options import Options
    from .guard.probe import Probe
    from .guard.region import StabilityRegion
    from .profile.calibration import Recorder
    from .profile.profiles import Profile
    from .profile.profiles import choose as choose_profile
    from .profile.storage import load_all as load_profiles

__all__ = [
    "Damping",
    "Guard",
    "Options",
    "Probe",
    "Profile",
    "Recorder",
    "StabilityRegion",
    "__version__",
    "choose_profile",
    "load_profiles",
]

#: Where each public name lives: module and name there.
_PLACES = {
    "Damping": ("guard.damping", "Damping"),
    "Guard": ("guard.guard", "Guard"),
    "Options": ("guard.options", "Options"),
    "Probe": ("guard.probe", "Probe"),
    "Profile": ("profile.profiles", "Profile"),
    "Recorder": ("profile.calibration", "Recorder"),
    "StabilityRegion": ("guard.region", "StabilityRegion"),
    "choose_profile": ("profile.profiles", "choose"),
    "load_profiles": ("profile.storage", "load_all"),
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, inner = _PLACES[name]
    return getattr(import_module(f".{module}", __name__), inner)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
