"""The rows of the evaluation, each computed by itself, so that several processes can share them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch

from ...guard.damping import Damping
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting, memorized_captions, negatives_for
from ..world.attributes import AttributeReader
from . import damping, detection


@dataclass(frozen=True)
class Size:
    """How much is run: memorized captions `copies` times each, `ordinary` captions, damping captions `damped` times each, the first `policies`."""

    copies: int
    ordinary: int
    damped: int
    watch: list[Setting]
    probe: list[Setting]
    templates: list[Setting]
    damping: list[Setting]
    policies: int | None = None


@dataclass(frozen=True)
class Row:
    """One row of a part ("detection" or "damping").

    `seed` is that of its memorized runs, `twins_seed` that of the ordinary ones; rows of one setting share those.
    """

    part: str
    kind: str
    setting: Setting
    seed: int
    twins_seed: int
    policy: Damping | None = None

    def __str__(self) -> str:
        setting = self.setting
        label = f"{self.part} {self.kind} {setting.sampler} {setting.steps}, w={setting.guidance:g}, negative {setting.negative}"
        return f"{label}, {self.policy.policy}" if self.policy else label


def rows(size: Size, part: str, policies: Sequence[Damping] = ()) -> list[Row]:
    """The rows of a part in the order of the tables."""
    if part == "damping":
        settings = [("whole", setting) for setting in size.damping] + [("template", size.damping[0])]
        seeds = [EVALUATION_SEED + 10_000_000 + 100_000 * number for number in range(len(settings))]
        return [Row(part, *one, seed, seed + 50_000, policy) for one, seed in zip(settings, seeds) for policy in policies]
    found, known = [], {}
    settings = [("whole", setting) for setting in (*size.watch, *size.probe)] + [("template", setting) for setting in size.templates]
    for number, (kind, setting) in enumerate(settings):
        seed = EVALUATION_SEED + 100_000 * number
        found.append(Row(part, kind, setting, seed, known.setdefault(setting, seed + 50_000)))
    return found


class Computer:
    """Computes rows, and keeps what the next row shares with the one before.

    Parameters
    ----------
    bed : Testbed
    reader : AttributeReader
    profile : Profile
    size : Size
    ordinary : list of str
        Captions of the detection's ordinary runs.
    tick : callable, optional
        Called with the number of runs after every batch.
    """

    def __init__(
        self,
        bed: Testbed,
        reader: AttributeReader,
        profile: Profile,
        size: Size,
        ordinary: list[str],
        tick: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.bed, self.reader, self.profile, self.size, self.ordinary, self.tick = bed, reader, profile, size, ordinary, tick
        self._kept: dict = {}

    def row(self, row: Row) -> dict:
        """One entry of the tables of ``evaluate.json``."""
        return self._damping(row) if row.part == "damping" else self._detection(row)

    def _detection(self, row: Row) -> dict:
        captions, _ = memorized_captions(row.kind, self.size.copies * (1 if row.kind == "whole" else 3), row.seed)
        positive = detection.run(self.bed, self.profile, captions, row.setting, row.seed, self.tick)
        if row.setting not in self._kept:
            self._kept[row.setting] = detection.run(self.bed, self.profile, self.ordinary, row.setting, row.twins_seed, self.tick)
        return detection.row(row.setting, row.kind, self.profile, positive, self._kept[row.setting])

    def _damping(self, row: Row) -> dict:
        _, items = memorized_captions(row.kind, self.size.damped, row.seed)
        captions, twins = [item.caption for item in items], damping.ordinary_twins(items)
        # The same for both: a negative prompt that names what the caption asks for costs attributes, guarded or not.
        against = {"negatives": negatives_for(row.setting.negative, len(captions), row.seed)}

        def made(captions: list[str], seed: int, *guarded) -> damping.Pictures:
            return damping.generate(self.bed, captions, row.setting, seed, *guarded, tick=self.tick, **against)

        if row.seed not in self._kept:
            self._kept = {row.seed: (made(captions, row.seed), made(twins, row.twins_seed))}
        before, ordinary = self._kept[row.seed]
        options = Options("damp", damping=row.policy)
        after, guarded = (made(*one, self.profile, options) for one in ((captions, row.seed), (twins, row.twins_seed)))
        return damping.row(self.bed, self.reader, items, row.setting, row.policy, before, after, ordinary, guarded)


_computer: Computer | None = None


def _start(profile: dict, size: Size, ordinary: list[str]) -> None:
    global _computer
    torch.set_num_threads(1)
    _computer = Computer(Testbed.load(), AttributeReader.load(), Profile.from_json(profile), size, ordinary)


def _compute(row: Row) -> dict:
    return _computer.row(row)


def in_processes(todo: Sequence[Row], jobs: int, profile: Profile, size: Size, ordinary: list[str]) -> Iterator[dict]:
    """Entries of the rows `todo` in their order, computed by `jobs` processes with a thread each."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (profile.to_json(), size, ordinary)) as pool:
        # Damping takes longest and so goes first.
        started = {row: pool.submit(_compute, row) for row in sorted(todo, key=lambda row: row.part)}
        for row in todo:
            yield started[row].result()
