"""What a trial generates: settings, prompts and seeds, cut into requests to a web UI, in an order that says something early."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from . import prompts as prompt_files

#: The guard off (for its cost alone), reporting and damping.
OFF, REPORT, DAMP = "off", "report", "damp"
MODES = (REPORT, DAMP)
#: Before and after a calibration; without one there is only the first.
BEFORE, AFTER = PHASES = "before", "after"
MEMORIZED, ORDINARY = "memorized", "ordinary"
SETS = (MEMORIZED, ORDINARY)
#: Ordinary prompts that are generated without the guard as well, for the time that it takes.
TIMED = 4


@dataclass(frozen=True)
class Setting:
    """One way of sampling; an empty `schedule` is the web UI's own choice."""

    sampler: str = "Euler"
    schedule: str = ""
    steps: int = 20
    guidance: float = 7.5
    negative: str = ""

    def describe(self) -> str:
        """For people; a negative prompt is only said to be there."""
        name = f"{self.sampler} {self.schedule}".strip()
        return f"{name}, {self.steps} steps, guidance {self.guidance:g}{', negative prompt' if self.negative else ''}"


def grid(samplers: Sequence[str], steps: Sequence[int], guidance: Sequence[float], negatives: Sequence[str]) -> list[Setting]:
    """Every combination; a sampler may have a schedule behind a slash: ``DPM++ 2M/Karras``."""
    named = [[part.strip() for part in (*one.split("/", 1), "")[:2]] for one in samplers]
    return [
        Setting(name, schedule, count, scale, negative)
        for (name, schedule), count, scale, negative in itertools.product(named, steps, guidance, negatives)
    ]


class Request(NamedTuple):
    """One request: some seeds of one prompt under one setting. `prompt` counts within its set, `setting` within the plan."""

    phase: str
    mode: str
    setting: int
    set: str
    prompt: int
    seeds: tuple[int, ...]

    def images(self) -> list[tuple]:
        """What the rows of its images are known by, see :func:`key`."""
        return [(*self[:-1], seed) for seed in self.seeds]


def key(row: dict) -> tuple:
    """What an image is known by: phase, mode, setting, set, prompt and seed."""
    return tuple(row[name] for name in ("phase", "mode", "setting", "set", "prompt", "seed"))


@dataclass(frozen=True)
class Plan:
    """All that a trial asks for.

    Parameters
    ----------
    memorized, ordinary : tuple of str
        Prompts.
    settings : tuple of Setting
    seeds, first_seed : int
        Images of each prompt under each setting and mode. Every prompt has seeds of its own, so that one unlucky noise does not count many times.
    modes : tuple of str
        Of :data:`MODES`.
    width, height, batch_size : int
    sensitivity, profile : str
        Empty for the web UI's own.
    calibrate : int
        Runs of a calibration between two rounds; 0 for none.
    syntax : bool
        Whether prompts use the web UI's syntax; else every letter is text.
    """

    memorized: tuple[str, ...]
    ordinary: tuple[str, ...]
    settings: tuple[Setting, ...] = (Setting(),)
    seeds: int = 4
    first_seed: int = 1
    modes: tuple[str, ...] = MODES
    width: int = 512
    height: int = 512
    batch_size: int = 4
    sensitivity: str = "medium"
    profile: str = ""
    calibrate: int = 0
    syntax: bool = False
    sets: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", {MEMORIZED: self.memorized, ORDINARY: self.ordinary})

    @property
    def phases(self) -> tuple[str, ...]:
        return PHASES if self.calibrate else (BEFORE,)

    def text(self, request: Request) -> str:
        """A request's prompt as the web UI gets it."""
        prompt = self.sets[request.set][request.prompt]
        return prompt if self.syntax else prompt_files.literal(prompt)

    def asked(self) -> dict:
        """What has to be the same for a folder's rows to belong to this plan, as plain values."""
        told = {name: value for name, value in asdict(self).items() if name not in ("sets", "batch_size", *SETS)}
        told |= {"modes": list(self.modes), "settings": [asdict(one) for one in self.settings]}
        return told | {name: prompt_files.digest(texts) for name, texts in self.sets.items()}

    def requests(self, phase: str) -> Iterator[Request]:
        """A phase's requests: setting after setting, in each the sets side by side, so that a trial that is broken off has something of both."""
        for number in range(len(self.settings)):
            for name, index in self._woven():
                start = self.first_seed + self.seeds * (index + (len(self.memorized) if name == ORDINARY else 0))
                timed = phase == BEFORE and name == ORDINARY and index < TIMED
                for mode in (*((OFF,) if timed else ()), *self.modes):
                    for first in range(0, self.seeds, self.batch_size):
                        seeds = range(start + first, start + min(first + self.batch_size, self.seeds))
                        yield Request(phase, mode, number, name, index, tuple(seeds))

    def _woven(self) -> Iterator[tuple[str, int]]:
        most = max(len(self.memorized), len(self.ordinary))
        for index in range(most):
            for name in SETS:
                if index < len(self.sets[name]):
                    yield name, index

    def images(self) -> int:
        return sum(len(one.seeds) for phase in self.phases for one in self.requests(phase))
