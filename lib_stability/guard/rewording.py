"""Guidance of a flagged image by its prompt with a part left out: by those versions that are ordinary themselves.

What was memorized was memorized for certain words. Which, no norm of the whole prompt's prediction tells; but without one of them the prediction
is an ordinary one. So a flagged image's versions are all judged once: those that lack one part each, and where none of them is stable those that lack
more (group testing). From then on the stable ones guide it in turn; one that becomes unstable is dropped, and where none is left the next stage is
tried. With one stable version out of twelve the part that it lacks is what carries the copy; with all of them stable every part is. Halves only tell
what carries: guided by half of what was asked for an image loses more than by directional damping.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from .averaging import Sums
from .recalling import Tried

#: Stable versions evaluated per model evaluation, in turn.
EACH = 1
#: Cosine with the flagged prediction from which on a version still leads to the same picture, however ordinary its norms are (on the testbed with
#: seven kinds of memorization versions that break a copy mostly lie below .65, all others above .8; looked at once, no table keeps it).
NEAR = 0.7
#: Versions of a stage up to which it is for finding carriers alone, unless it is the first: halves.
HALVES = 2
#: How much nearer than the version that points there least others may be that guide beside it: of a conjunction all are, of one caption with several
#: pictures those that lack what carries it.
ALIKE = 0.25


class Version(NamedTuple):
    """Predictions for one version of the prompts, tensors like x: guided as the host guides, and the probe's virtual one where it was asked for."""

    guided: torch.Tensor
    virtual: torch.Tensor | None


class Seen(NamedTuple):
    """Of one version's predictions, ``(batch,)``: the mask of images in which it is unstable or not finite, and the cosine with the prediction that
    flagged the image."""

    unstable: torch.Tensor
    likeness: torch.Tensor


#: What the caller hears of a tensor of the device: its values, perhaps those of an evaluation before; None while nothing was heard.
Reader = Callable[[torch.Tensor], "list | None"]


def at_once() -> Reader:
    """Reads the values as they are. Waits for the device: fit for the CPU only."""
    return torch.Tensor.tolist


Count = TypeVar("Count", int, torch.Tensor)


def turn_of(turn: int, count: Count, period: Count) -> Count:
    """Version that is due at a turn where there are `count`; numbers or int64 tensors.

    Samplers that evaluate twice a step may go by the second evaluation alone. `period` is the least common multiple of the versions and of the turns
    of two evaluations: after it every second evaluation would see the same versions again, so there all move on by one.
    """
    return (turn + turn // period) % count


class _State(NamedTuple):
    """What is kept on the device: by image ``(batch,)`` the stages that were tried, and by image and version ``(batch, versions)`` whether there is
    one, whether it may guide, whether it broke the copy when it was tried, and whether it guides the image: one that becomes unstable no longer does.
    """

    tried: torch.Tensor
    exists: torch.Tensor
    guides: torch.Tensor
    found: torch.Tensor
    stable: torch.Tensor


class Rewording:
    """The versions of the prompts of one sampling pass. What an image gets depends on nothing but its own prompt and flag.

    Parameters
    ----------
    counts : sequence of int or of sequences of int
        How many versions each image's prompt has, or how many in each stage, in the order in which stages are tried; an image with none is left
        alone.
    predict : callable
        Called with (x, sigma, number of each image's version, whether a virtual prediction is wanted); returns a :class:`Version`. Versions of an
        image are numbered through its stages, from 0; an image of which none is wanted has None, and what comes back for it is not used. May cost
        model evaluations.
    words : sequence of sequences of str
        What each version of each image's prompt lacks, by its number.
    each : int
        Stable versions that one model evaluation is to see.
    reader : callable
        Makes a :data:`Reader`; on other devices than the processor it must not wait.
    bare : callable
        Whether predictions were without what another extension makes of guidance; asked when the pass is over.
    linear : bool
        Whether guidance is its scale times the difference of both predictions, as it is but for distilled models.

    Raises
    ------
    ValueError
        `each` below 1.
    """

    def __init__(
        self,
        counts: Sequence[int | Sequence[int]],
        predict: Callable[[torch.Tensor, torch.Tensor, list[int | None], bool], Version],
        words: Sequence[Sequence[str]] = (),
        each: int = EACH,
        reader: Callable[[], Reader] = at_once,
        bare: Callable[[], bool] = lambda: False,
        linear: bool = True,
    ) -> None:
        self.bare, self.linear = bare, linear
        if each < 1:
            raise ValueError(f"rewording: {each!r} versions an evaluation")
        self.counts = [(one,) if isinstance(one, int) else tuple(one) for one in counts]
        self.predict, self.each, self.reader = predict, each, reader
        self.words = list(words) or [[str(number + 1) for number in range(sum(own))] for own in self.counts]
        depth = max(map(len, self.counts), default=0)
        padded = [(*own, *[0] * (depth - len(own))) for own in self.counts]
        #: Columns of the device's tables in which a stage stands: as wide as the longest prompt's.
        widths = [max(sizes) for sizes in zip(*padded)]
        edges = [0, *itertools.accumulate(widths)]
        self.stages = [range(low, high) for low, high in itertools.pairwise(edges)]
        #: Number of an image's version, by column; None where it has none there.
        self._numbers = [[number for stage in self._numbered(own, widths) for number in stage] for own in padded]
        self._readers = [reader() for _ in self.stages]
        self._read_stable, self._read_mask = reader(), reader()
        self._state: _State | None = None
        self._recalled: Sequence[Tried | None] = ()

    @staticmethod
    def _numbered(own: Sequence[int], widths: Sequence[int]) -> list[list[int | None]]:
        first = itertools.accumulate(own, initial=0)
        return [[start + n if n < size else None for n in range(width)] for start, size, width in zip(first, own, widths)]

    def step(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        mask: torch.Tensor,
        virtual: bool,
        judge: Callable[[torch.Tensor], Seen],
        evaluation: int,
        glance: Callable[[torch.Tensor], Seen] | None = None,
        due: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Mean prediction of the stable versions: of all that are tried at this evaluation, or of those that are due.

        Parameters
        ----------
        x, sigma
            Of the evaluation at hand.
        mask : bool tensor of shape ``(batch,)``
            Images that want it.
        virtual : bool
            Whether versions are judged by their virtual prediction instead of the guided one.
        judge : callable
            From a prediction to what is :class:`Seen` of it.
        evaluation : int
            Number of the evaluation at hand, from 0.
        glance : callable, optional
            In place of `judge` for versions that were found stable before, by their guided prediction, at an evaluation that is to cost less.
        due : bool
            Whether versions that were found stable before are evaluated; those of images that have no stable one are tried in any case.

        Returns
        -------
        mean : float32 tensor like `x`, and the mask ``(batch,)`` of images that have one; None where no image wants it
        """
        if len(x) != len(self.counts) or not any(map(any, self.counts)):
            return None
        state = self._state = self._state or self._begin(x)
        mask = mask & state.exists.any(1)
        sums = Sums()

        def look(columns: list[int | None], glance: Callable[[torch.Tensor], Seen] | None = None) -> tuple[torch.Tensor, Seen]:
            """Evaluate one version an image, by its column."""
            numbers = [None if column is None else own[column] for own, column in zip(self._numbers, columns)]
            version = self.predict(x, sigma, numbers, virtual and glance is None)
            if glance is not None:
                return version.guided, glance(version.guided)
            judged = version.virtual if virtual else version.guided
            if judged is None:
                raise ValueError("rewording: a version came without the virtual prediction that it is judged by")
            return version.guided, judge(judged)

        asked = self._asked(self._read_mask, mask)
        if asked is not None and due:
            self._use(state, mask & (state.tried > 0), asked, evaluation, partial(look, glance=glance), sums)
        for number in range(len(self.stages)):
            self._try(state, number, mask, look, sums)
        return sums.mean()

    def _use(self, state: _State, mask: torch.Tensor, asked: list[bool], evaluation: int, look: Callable, sums: Sums) -> None:
        """The versions that are due, of those that were stable when last heard of."""
        heard = self._read_stable(state.stable)
        if heard is None:
            return
        stable = [[column for column, good in enumerate(row) if good and wanted] for row, wanted in zip(heard, asked)]
        for turn in range(evaluation * self.each, (evaluation + 1) * self.each):
            place = turn - evaluation * self.each
            columns = [own[turn_of(turn, len(own), math.lcm(len(own), 2 * self.each))] if place < len(own) else None for own in stable]
            if all(column is None for column in columns):
                return
            there = torch.tensor([[column is not None, column or 0] for column in columns]).to(mask.device, non_blocking=True)
            due = there[:, 1:]
            wanted = mask & there[:, 0].bool() & state.stable.gather(1, due)[:, 0]
            guided, seen = look(columns)
            sums.add(guided, wanted & ~seen.unstable)
            state.stable.scatter_(1, due, (state.stable.gather(1, due)[:, 0] & ~(seen.unstable & wanted))[:, None])

    def _try(self, state: _State, number: int, mask: torch.Tensor, look: Callable, sums: Sums) -> None:
        """Judge all versions of a stage, of the images that have come to it and have no stable version; keep the stable ones that point least at
        what is remembered."""
        wanted = mask & (state.tried == number) & ~state.stable.any(1)
        asked = self._asked(self._readers[number], wanted)
        if asked is None:
            return
        wanted = wanted & torch.tensor(asked).to(mask.device, non_blocking=True)  # not those of which nobody has heard yet
        likeness, guided = torch.full(state.exists.shape, torch.inf, device=mask.device), {}
        for column in self.stages[number]:
            columns = [column if yes and own[column] is not None else None for yes, own in zip(asked, self._numbers)]
            if any(one is not None for one in columns):
                guided[column], seen = look(columns)
                breaks = wanted & ~seen.unstable & state.exists[:, column] & (seen.likeness < NEAR)
                likeness[:, column] = torch.where(breaks, seen.likeness, torch.inf)
        good = torch.isfinite(likeness)
        kept = good & state.guides & (likeness <= likeness.amin(1, keepdim=True) + ALIKE)
        for column, prediction in guided.items():
            sums.add(prediction, kept[:, column])
        state.found.logical_or_(good)
        state.stable.logical_or_(kept)
        state.tried.add_(wanted)
        # What this one has asked meanwhile is answered.
        self._readers[number] = self.reader()

    @staticmethod
    def _asked(read: Reader, mask: torch.Tensor) -> list[bool] | None:
        """Which images want something, as far as heard; None where none does."""
        heard = read(mask)
        return heard if heard and any(heard) else None

    def _begin(self, x: torch.Tensor) -> _State:
        there = [[number is not None for number in own] for own in self._numbers]
        guiding = [
            [
                yes and (not number or sum(own[stage.start : stage.stop]) > HALVES)
                for number, stage in enumerate(self.stages)
                for yes in own[stage.start : stage.stop]
            ]
            for own in there
        ]
        exists, guides = torch.tensor(there), torch.tensor(guiding)
        tried, found, stable = torch.zeros(len(x), dtype=torch.int64), torch.zeros_like(exists), torch.zeros_like(exists)
        for image, known in enumerate(self._recalled[: len(x)]):
            # What was tried in vain may have been tried too late to tell.
            if known is not None and known.found:
                tried[image] = known.stages
                for column, number in enumerate(self._numbers[image]):
                    found[image, column] = number in known.found
                    stable[image, column] = number in (known.stable or known.found) and guides[image, column]
        return _State(*(one.to(x.device, non_blocking=True) for one in (tried, exists, guides, found, stable)))

    def recall(self, tried: Sequence[Tried | None]) -> None:
        """Begin with what is known of each image's versions, before the first :meth:`step`."""
        self._recalled = tried

    def tried(self, image: int) -> Tried | None:
        """What is known of one image's versions; None where none was tried. Waits for the device."""
        if self._state is None or image >= len(self._numbers):
            return None
        found, stable = (
            tuple(self._numbers[image][column] for column in row[image].nonzero()[:, 0].tolist()) for row in (self._state.found, self._state.stable)
        )
        return Tried(int(self._state.tried[image]), found, stable)

    def carriers(self) -> list[str]:
        """By image the parts of its prompt without which the copy broke, joined by plus signs; empty where none did. Waits for the device."""
        if self._state is None:
            return [""] * len(self.counts)
        rows = zip(self._state.found.cpu(), self._numbers, self.words)
        return [" + ".join(words[own[column]] for column in row.nonzero()[:, 0].tolist()) for row, own, words in rows]
