"""Axes of the host's X/Y/Z plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from ...guard.damping import POLICIES as DAMPINGS
from ...guard.options import MODES
from ...guard.sensitivity import LEVELS
from ...trail.infotext import Settings
from ..host import callbacks
from ..job import arguments

#: The attribute of a cell's `p` that holds what its axes set.
_ATTRIBUTE = "memorization_guard_xyz"
_LABEL = "[Memorization Guard] "


def register() -> None:
    callbacks.once("before_ui", _add_axes)


def override(p: object, chosen: Settings) -> Settings:
    """`chosen` with what the axes of this cell say."""
    values = getattr(p, _ATTRIBUTE, None)
    return arguments.parse([{**asdict(chosen), **values}]) if values else chosen


def _apply(field: str) -> Callable[[object, object, object], None]:
    def apply(p: object, value: object, values: object) -> None:
        # A new dict: the cells' `p` are copies that would share one.
        setattr(p, _ATTRIBUTE, {**getattr(p, _ATTRIBUTE, {}), field: value == "True" if field in ("enabled", "again") else value})

    return apply


def _add_axes() -> None:
    from modules import scripts

    grid = next((data.module for data in scripts.scripts_data if data.script_class.__module__ == "xyz_grid.py"), None)
    if grid is None or any(option.label.startswith(_LABEL) for option in grid.axis_options):
        return

    def axis(label: str, kind: type, field: str, choices: list[str] | None = None) -> object:
        return grid.AxisOption(_LABEL + label, kind, _apply(field), choices=(lambda: choices) if choices else None)

    grid.axis_options.extend(
        [
            axis("Enabled", str, "enabled", ["True", "False"]),
            axis("Mode", str, "mode", list(MODES)),
            axis("Sensitivity", str, "sensitivity", list(LEVELS)),
            axis("Damping", str, "damping", list(DAMPINGS)),
            axis("Strength", float, "strength"),
            axis("Sample again", str, "again", ["True", "False"]),
            axis("Tries of Replace", int, "tries"),
        ]
    )
