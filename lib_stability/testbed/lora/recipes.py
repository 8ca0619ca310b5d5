"""The LoRAs of the repository: as many steps each, so that they differ in how many pictures those were spent on."""

from __future__ import annotations

from .train import Recipe

STEPS = 1400
#: Twelve pictures, seen 466 times each: it copies them. At four times of its training.
MINE = Recipe("mine", 12, 12, (300, 600, 900, STEPS))
#: Forty pictures, seen 140 times each.
BETWEEN = Recipe("between", 40, 40, (STEPS,))
#: Two hundred pictures, seen 28 times each: a style.
STYLE = Recipe("style", 200, 200, (STEPS,))
RECIPES = {one.name: one for one in (MINE, BETWEEN, STYLE)}
