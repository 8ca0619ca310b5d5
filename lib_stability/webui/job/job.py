"""What the guard keeps for one job of the host (one `p`): settings, the sampling passes of its batches, their results, jobs inside it."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import torch
from PIL import Image

from ...guard.locality import LocalMap
from ...guard.recalling import Recalled
from ...guard.verdict import NOT_JUDGED, Verdict, gravest
from ...profile.profiles import ORIGINS, Profile
from ...trail.infotext import Settings
from ..host import host, networks, resampling, versions
from ..host.encodings import ENCODINGS
from .library import LIBRARY, Library, Served
from .passes import Failed, Pass

log = logging.getLogger(__name__)
#: The attribute of `p` that holds its job.
ATTRIBUTE = "memorization_guard"
#: Number of the batch, and whether it is the hires pass.
Key = tuple[int, bool]


def of(p: object) -> Job | None:
    """The job of `p` (or the :class:`.recording.Recording` in its place); None where the guard is off, and for a copy of a `p` that another
    extension samples with: see :mod:`.inner`."""
    job = getattr(p, ATTRIBUTE, None)
    return job if job is not None and job.owner() is p else None


class Job:
    """Attached to `p` by :func:`attach`; dies with it."""

    def __init__(
        self,
        p: object,
        settings: Settings,
        library: Library = LIBRARY,
        general: bool = True,
        trouble: str = "",
        locate: bool = False,
        ignoring: bool = False,
        adopted_by: Job | None = None,
        recalled: dict[bool, Sequence[Recalled | None]] | None = None,
    ) -> None:
        self.owner = weakref.ref(p)
        self.settings, self.library = settings, library
        #: See :meth:`.library.Library.serve`.
        self.general, self.ignoring = general, ignoring
        #: Why nothing of this job can be judged: arguments that make no sense.
        self.trouble = trouble
        self.locate = locate
        #: The job inside which this one samples; whether the host tells our script nothing of it, see :mod:`.inner`.
        self.outer = None if adopted_by is None else weakref.ref(adopted_by)
        self.adopted = adopted_by is not None
        #: What other tools sample inside this job, by batch and position (None: for the whole batch).
        self.inner: dict[tuple[int, int | None], list] = {}
        #: What is known of images that are sampled again, by whether it was found out in a hires pass.
        self.recalled = recalled or {}
        #: Images that were sampled again, by batch and position, see :mod:`.renewing`.
        self.renewed: dict[tuple[int, int], object] = {}
        #: What the host began the passes of the batch under way with.
        self.begun = resampling.Begun()
        #: Whether the host has handed over the job's pictures.
        self.over = False
        #: By batch and position, the finished pictures that have a map.
        self.pictures: dict[tuple[int, int], Image.Image] = {}
        self.passes: dict[Key, list[Pass | Failed]] = {}
        self.sampled: set[int] = set()
        self._current: tuple[Key, Pass | Failed] | None = None
        self._fresh = True
        #: What could not be made ready for the next pass, by the name of the detector or damper that wants it.
        self._unready: dict[str, Exception] = {}
        #: Errors at evaluations of a pass that has not begun for the guard.
        self._missed: list[Exception] = []
        self._empty: tuple[tuple, list] | None = None
        self._versions: list[versions.Versions] = []
        self._logged: set[type] = set()

    # -- while sampling --------------------------------------------------------------------------------------------------------------

    def expect_pass(self, conds: tuple[object, object] | None = None) -> None:
        """The host is about to sample: the next evaluation opens a pass. Said twice it counts once. `conds` are what it is about to sample with, of
        the prompts and of the negative prompts."""
        self._fresh, self._unready, p = True, {}, self.owner()
        if conds is not None and p is not None:
            if not getattr(p, "is_hr_pass", False):
                self.begun = resampling.Begun()
            self.begun.note(p, *conds)
        self._versions = self._or_without("reword", self._versions_of, p, [])
        self._empty = self._or_without("probe", self._empty_of, p, None)

    def _or_without(self, name: str, make: Callable[[object], object], p: object, blank: object) -> object:
        """What a detector or damper needs from the host; where an error keeps it away the pass does without that one, and its verdicts say so."""
        if self.trouble or p is None:
            return blank
        try:
            return make(p)
        except Exception as error:
            log.exception("Memorization Guard: an error, the next pass goes on without its %s", name)
            self._unready[name] = error
            return blank

    def _versions_of(self, p: object) -> list[versions.Versions]:
        rewords = self.settings.mode == "damp" and self.settings.damping == "reword" and self._profile(p) is not None
        return versions.of(p, self._negatives(p)) if rewords else []

    def _empty_of(self, p: object) -> tuple[tuple, list] | None:
        # Whether a probe will be wanted shows only while sampling: other extensions change guidance up to then.
        profile = self._profile(p)
        if profile is None or profile.probe is None or self.settings.probe == "never" or host.is_distilled(p.sd_model):
            return None  # a distilled model is asked for the prompt itself, at another scale
        model = p.sd_model
        made_for = model, getattr(model, "sd_checkpoint_info", None)
        if not self._out_of_reach(p):
            return made_for, ENCODINGS.of(p, [""], negative=True)
        known = ENCODINGS.known(p, "", negative=True)
        return None if known is None else (made_for, [known])

    def _out_of_reach(self, p: object) -> bool:
        """Whether the pass has begun already, on a host that may take the network out of memory to make room for the text encoder."""
        return self.adopted and host.forge_unet(p.sd_model) is not None

    def _profile(self, p: object) -> Profile | None:
        """The profile that may judge the coming pass; None where nothing can, so that nothing is prepared for it either."""
        return None if host.guided_by_pictures(p) else self._serve(p.sd_model, p).profile

    def _serve(self, model: object, p: object) -> Served:
        """What judges the checkpoint that is loaded as `model` in the pass of `p`, with the networks that are on."""
        described = replace(host.describe(model), networks=networks.active(model, p))
        return self.library.serve(self.settings.profile, described, self.general, self.ignoring)

    @staticmethod
    def _negatives(p: object) -> list[str]:
        hires = getattr(p, "is_hr_pass", False) and getattr(p, "hr_negative_prompts", None)
        return list(hires or getattr(p, "negative_prompts", None) or [getattr(p, "negative_prompt", "")])

    def step(self, call: SimpleNamespace) -> torch.Tensor | None:
        """One evaluation, see :meth:`.passes.Pass.step`; an error is logged once and ends the pass for the guard, not for the host."""
        if self.trouble:
            return None
        p = call.denoiser.p
        key = (getattr(p, "iteration", 0), bool(getattr(p, "is_hr_pass", False)))
        try:
            if self._fresh or self._current is None or self._current[0] != key:
                self._close_current()
                prepared = self._empty, self._negatives(p), self._versions, self.locate, self._unready
                more = {"skips": not self.adopted, "recalled": self.recalled.get(key[1], ())}
                self._begin(key, lambda: Pass(call.denoiser, self.settings, self._serve, *prepared, **more))
            return self._current[1].step(call)
        except Exception as error:
            if type(error) not in self._logged:
                log.exception("Memorization Guard: an error, an evaluation of this pass is not judged")
                self._logged.add(type(error))
            if self._current is None or self._current[0] != key:
                failed = Failed(len(call.x), error)
                self._begin(key, lambda: failed)
            self._current[1].miss(error, len(call.x))
            return None

    def miss(self, error: Exception) -> None:
        """An evaluation did not even reach :meth:`step`; whoever noticed has logged it."""
        if self._fresh or self._current is None:
            self._missed.append(error)
        else:
            self._current[1].miss(error)

    def _begin(self, key: Key, make: Callable[[], Pass | Failed]) -> None:
        self._fresh = False
        self._current = None
        self._current = key, make()
        self._logged = set()
        self.passes.setdefault(key, []).append(self._current[1])
        for error in self._missed:
            self._current[1].miss(error)
        self._missed = []

    def _close_current(self) -> None:
        if self._current is not None:
            why = host.cut_short()
            if why:
                self._current[1].cut_short(why)
            self._current[1].close()

    # -- afterwards ------------------------------------------------------------------------------------------------------------------

    def batch_done(self, iteration: int) -> None:
        """The host has sampled this batch: results become plain numbers."""
        self.rest()
        self.forget()
        self.sampled.add(iteration)
        if any(one.skipped for hires in (False, True) for one in self.passes.get((iteration, hires), [])):
            # Skipping was ours, to save time; a batch that the host takes for skipped would not be saved, and its verdicts be lost.
            from modules import shared

            shared.state.skipped = False

    def rest(self) -> None:
        """The host has sampled a pass to its end: the next evaluation opens another one."""
        self._close_current()
        self._current, self._fresh = None, True

    def forget(self) -> None:
        """Nothing is sampled again of what was sampled up to here."""
        self.begun = resampling.Begun()
        for each in self.passes.values():
            for one in each:
                one.remembered = ()
        for renewed in self.renewed.values():
            for one in (renewed.job, renewed.first and renewed.first[0]):
                if one is not None:
                    one.forget()

    def again(self, mode: str, recalled: dict[bool, Sequence[Recalled | None]]) -> Job:
        """A job for images of this one that are sampled again."""
        chosen, p = replace(self.settings, mode=mode), self.owner()
        return Job(p, chosen, self.library, self.general, self.trouble, self.locate, self.ignoring, recalled=recalled)

    def failed(self, iteration: int, position: int, hires: bool) -> Recalled | None:
        """What was found out in a pass about an image that is a copy all the same; None of any other."""
        for one in self.passes.get((iteration, hires), []):
            verdicts = one.results()[0]
            if position < len(verdicts) and verdicts[position].failed and position < len(one.remembered):
                return one.remembered[position]
        return None

    def note_inner(self, where: tuple[int, int | None], inner: object) -> None:
        """Another tool samples inside this job, see :mod:`.inner`."""
        self.inner.setdefault(where, []).append(inner)

    def said(self) -> list[Verdict]:
        """What is known of an inner job by now, in at most one verdict."""
        self.rest()
        found = self.gravest()
        if found is None and self.adopted:  # made because something was sampled
            missed = f"error {type(self._missed[0]).__name__}" if self._missed else ""
            found = Verdict(NOT_JUDGED, reason=self.trouble or missed or "nothing judged")
        return [] if found is None else [found]

    def inner_verdict(self, iteration: int, position: int) -> Verdict | None:
        """The gravest of what other tools have sampled inside this job to finish one image; None where they have not."""
        jobs = [*self.inner.get((iteration, position), ()), *self.inner.get((iteration, None), ())]
        found = [verdict for one in jobs for verdict in one.said()]
        return gravest(found) if found else None

    def close(self) -> None:
        """Let go of everything but the results."""
        self.over = True
        self._close_current()
        self.forget()
        self._current, self._empty, self._versions = None, None, []

    def verdict(self, iteration: int, position: int, hires: bool = False) -> Verdict | None:
        """What is known of one image by now; None for a pass that has not happened (yet)."""
        renewed = self.renewed.get((iteration, position))
        before = self._verdict(iteration, position, hires)
        return before if renewed is None else renewed.verdict(before, iteration, hires)

    def _verdict(self, iteration: int, position: int, hires: bool) -> Verdict | None:
        """The same, of the first time that it was sampled."""
        found = [one.results()[0] for one in self.passes.get((iteration, hires), [])]
        parts = [verdicts[position] for verdicts in found if position < len(verdicts)]
        if parts:
            return gravest(parts)
        if hires or (iteration not in self.sampled and not self.trouble):
            return None
        missed = f"error {type(self._missed[0]).__name__}" if self._missed else ""
        return Verdict(NOT_JUDGED, reason=self.trouble or missed or "nothing sampled")

    def map(self, iteration: int, position: int, hires: bool = False) -> LocalMap | None:
        """Where a flagged image is unstable, if that was asked for."""
        renewed = self.renewed.get((iteration, position))
        if renewed is not None and renewed.job is not None:
            return renewed.job.map(iteration, renewed.position, hires)
        found = [one.results()[2] for one in self.passes.get((iteration, hires), [])]
        return next((maps[position] for maps in found if position < len(maps) and maps[position]), None)

    def evaluations(self, iteration: int, position: int, hires: bool) -> list:
        """What was seen at each of a pass of one image, see :mod:`..guard.history`."""
        seen = [one.results()[1] for one in self.passes.get((iteration, hires), [])]
        return [one for each in seen if position < len(each) for one in each[position]]

    def served(self) -> str:
        """The profiles that served, in order, each as "name (own calibration)"."""
        return " + ".join(dict.fromkeys(one.label for one in self._served()))

    def foreign(self) -> bool:
        """Whether a profile served that is not bundled, or networks were left out of account."""
        return any(one.profile.origin != ORIGINS[0] or one.ignored for one in self._served())

    def _served(self) -> list[Served]:
        return [one for each in self.passes.values() for p in each for one in p.served if one.profile]

    def profiles(self) -> list[Profile]:
        """What judged, in order."""
        return [one.profile for one in self._served()]

    def gravest(self) -> Verdict | None:
        """The gravest verdict of the job, for what shows all of its images; None before anything was sampled."""
        found = []
        for (iteration, hires), each in self.passes.items():
            size = max((len(one.results()[0]) for one in each), default=0)
            found += [verdict for position in range(size) if (verdict := self.verdict(iteration, position, hires)) is not None]
        found += [verdict for each in self.inner.values() for one in each for verdict in one.said()]
        # Of two equally grave ones the picture that still shows it.
        return gravest(sorted(found, key=lambda one: one.steered)) if found else None

    def images(self) -> int:
        """How many images were sampled by now."""
        sizes: dict[int, int] = {}
        for (iteration, _), each in self.passes.items():
            sizes[iteration] = max([sizes.get(iteration, 0), *(len(one.results()[0]) for one in each)])
        return sum(sizes.values())


def attach(p: object, job: Job) -> None:
    """Make `job` the guard of `p`."""
    setattr(p, ATTRIBUTE, job)


def detach(p: object) -> None:
    """Take any guard off `p`."""
    if hasattr(p, ATTRIBUTE):
        delattr(p, ATTRIBUTE)
