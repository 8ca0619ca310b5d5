"""The parts of the evaluation that are computed each by itself, so that several processes can share them and an interrupted run goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from ...guard.damping import Damping
from ...guard.options import Options
from ...profile.profiles import Profile
from ..network.model import Testbed
from ..network.setting import EVALUATION_SEED, Setting, memorized_captions, negatives_for
from ..network.variants import Variant
from ..world.attributes import AttributeReader
from . import damping, detection, tapes


@dataclass(frozen=True)
class Size:
    """How much is run.

    Parameters
    ----------
    copies, ordinary : int
        Detection: runs of each memory, and of ordinary captions.
    damped : int
        Damping: runs of each memory.
    watch, probe, damping : list of Setting
        Detection by the watch, with the probe; damping.
    policies : int, optional
        How many of the policies are shown in the first damping setting, from the default on; the others show the default alone.
    """

    copies: int
    ordinary: int
    damped: int
    watch: list[Setting]
    probe: list[Setting]
    damping: list[Setting]
    policies: int | None = None


@dataclass(frozen=True)
class Part:
    """One thing to compute: a setting's detection, or a policy's damping of a kind under a setting; parts of one seed share their plain runs."""

    name: str  # "detection" or "damping"
    setting: Setting
    seed: int
    kind: str = ""
    policy: Damping | None = None

    def __str__(self) -> str:
        setting = self.setting
        words = [self.name, self.kind, f"{setting.sampler} {setting.steps}, w={setting.guidance:g}, negative {setting.negative}"]
        return " ".join(filter(None, words)) + (f", {self.policy.policy}" if self.policy else "")


def parts(size: Size, name: str, kinds: Sequence[str], policies: Sequence[Damping] = ()) -> list[Part]:
    """The parts in the order of the tables."""
    if name == "detection":
        # Runs that differ only in who judges them are the same.
        every, seeds = (*size.watch, *size.probe), {}
        for setting in every:
            seeds.setdefault(tapes.name_of(setting), EVALUATION_SEED + 100_000 * len(seeds))
        return [Part(name, setting, seeds[tapes.name_of(setting)]) for setting in every]
    found, seed = [], EVALUATION_SEED + 10_000_000
    for number, setting in enumerate(size.damping):
        for kind in kinds:
            found += [Part(name, setting, seed, kind, policy) for policy in (policies if number == 0 else policies[:1])]
            seed += 100_000
    return found


def tape_name(part: Part, size: Size) -> str:
    """The file of a detection part's runs."""
    return f"{tapes.name_of(part.setting)}-{part.seed}-{size.copies}-{size.ordinary}.npz"


class Computer:
    """Computes parts, and keeps what the next one shares with the one before.

    Parameters
    ----------
    bed : Testbed
    reader : AttributeReader
    profile : Profile
    size : Size
    tapes : Path, optional
        Folder where the runs of the detection are kept, and taken from: another profile judges the same runs.
    tick : callable, optional
        Called with the number of runs after every batch.
    """

    def __init__(
        self,
        bed: Testbed,
        reader: AttributeReader,
        profile: Profile,
        size: Size,
        tapes: Path | None = None,
        tick: Callable[[int], None] = lambda n: None,
    ) -> None:
        self.bed, self.reader, self.profile, self.size, self.tapes, self.tick = bed, reader, profile, size, tapes, tick
        self._kept: dict = {}

    def rows(self, part: Part) -> list[dict]:
        """Its entries in the tables of ``evaluate.json``."""
        return [self._damping(part)] if part.name == "damping" else self._detection(part)

    def _detection(self, part: Part) -> list[dict]:
        setting, size = part.setting, self.size
        path = self.tapes and self.tapes / tape_name(part, size)
        found = tapes.kept(path, lambda: tapes.tape(self.bed, setting, size.copies, size.ordinary, part.seed, self.tick), asdict(setting))
        return list(detection.rows(setting, self.profile, found.kinds, detection.judged(self.profile, setting, found)))

    def _damping(self, part: Part) -> dict:
        _, items = memorized_captions(part.kind, self.size.damped, part.seed, self.bed.variant)
        captions, twins = [item.caption for item in items], damping.ordinary_twins(items)
        # The same for both: a negative prompt that names what the caption asks for costs attributes, guarded or not.
        against = {"negatives": negatives_for(part.setting.negative, len(captions), part.seed, self.bed.variant.world)}

        def made(captions: list[str], seed: int, *guarded) -> damping.Pictures:
            return damping.generate(self.bed, captions, part.setting, seed, *guarded, tick=self.tick, **against)

        seeds = part.seed, part.seed + 50_000
        if part.seed not in self._kept:
            self._kept = {part.seed: tuple(map(made, (captions, twins), seeds))}
        before, ordinary = self._kept[part.seed]
        options = Options("damp", damping=part.policy)
        after, guarded = (made(*one, self.profile, options) for one in zip((captions, twins), seeds))
        return damping.row(self.bed, self.reader, items, part.setting, part.policy, before, after, ordinary, guarded)


class Kept:
    """Rows that an interrupted run has computed, a file for each part.

    Parameters
    ----------
    folder : Path, optional
        Where they lie; without one nothing is kept.
    rests_on : str
        Names what the rows depend on, such as code, weights and profile; rows that depend on something else count as none.
    """

    def __init__(self, folder: Path | None = None, rests_on: str = "") -> None:
        self.folder, self.rests_on = folder, rests_on

    def _path(self, part: Part, size: Size) -> Path | None:
        if self.folder is None:
            return None
        counts = [getattr(size, field.name) for field in fields(size) if field.name in ("copies", "ordinary", "damped")]
        return self.folder / f"{hashlib.sha256(repr((self.rests_on, part, counts)).encode()).hexdigest()[:24]}.json"

    def read(self, part: Part, size: Size) -> list[dict] | None:
        """The rows of a part, None where there are none."""
        path = self._path(part, size)
        return json.loads(path.read_text("utf-8")) if path and path.exists() else None

    def write(self, part: Part, size: Size, rows: list[dict]) -> list[dict]:
        """Keep the rows of a part; returns them."""
        path = self._path(part, size)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            made = path.with_suffix(".part")
            made.write_text(json.dumps(rows), "utf-8")
            made.replace(path)
        return rows


_computer: Computer | None = None


def _start(profile: dict, size: Size, weights: Path, folder: Path | None) -> None:
    global _computer
    torch.set_num_threads(1)
    _computer = Computer(Testbed.load(weights), AttributeReader.load(), Profile.from_json(profile), size, folder)


def _compute(part: Part) -> list[dict]:
    return _computer.rows(part)


def in_processes(
    todo: Sequence[Part],
    jobs: int,
    profile: Profile,
    size: Size,
    variant: Variant,
    folder: Path | None,
    keep: Callable[[Part, list[dict]], list[dict]],
) -> Iterator[list[dict]]:
    """Rows of the parts `todo` in their order, computed by `jobs` processes with a thread each, tapes in `folder`; `keep` gets them as soon as
    they are there."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start, (profile.to_json(), size, variant.weights, folder)) as pool:
        started = {part: pool.submit(_compute, part) for part in todo}
        for part, one in started.items():
            one.add_done_callback(lambda done, part=part: None if done.exception() else keep(part, done.result()))
        for part in todo:
            yield started[part].result()
