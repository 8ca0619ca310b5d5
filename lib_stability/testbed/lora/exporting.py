"""The LoRAs of the repository in a web UI's folder, in float16: for the testbed's export for AUTOMATIC1111, or widened for the one for Forge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ...networks import files
from . import stored, wide
from .recipes import RECIPES


def write(folder: Path, forge: bool = False, only: Sequence[str] | None = None) -> Iterator[Path]:
    """Write the files of all recipes, or of those named, under their names; each path once its file is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in (RECIPES[name] for name in only or RECIPES):
        for step in recipe.saves:
            source, target = recipe.path(step), folder / recipe.path(step).name
            network = stored.read(source)
            files.write(target, wide.widened(network) if forge else network)
            yield target
