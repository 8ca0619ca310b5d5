"""One sampling pass of one batch on a host: its guards, fed evaluation by evaluation, and the verdicts when it is over."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace

import torch

from ...guard.guard import UNKNOWN_NEGATIVE, Guard
from ...guard.history import history
from ...guard.locality import LocalMap
from ...guard.norms import rms
from ...guard.probe import USUAL, Probe, virtual
from ...guard.recalling import Recalled
from ...guard.verdict import CHANGED, NOT_JUDGED, Verdict, merge
from ...profile import scatter
from ...profile.profiles import Profile
from ...trail.infotext import Settings
from ..host import host, probing
from ..host.latents import LEAST_COVERAGE, View
from ..host.predictions import LEAST_CHANGE, combined, has_negative, predictions
from ..host.stopping import Poll
from ..host.versions import Reworder, Versions
from .library import Served
from .pace import Stopwatch

log = logging.getLogger(__name__)
#: What the conditioning of the empty prompt was made for, beginning with model and checkpoint, and that conditioning.
Empty = tuple[tuple, list]
#: Verdict, evaluations and map of every image.
Results = tuple[list[Verdict], list[list], list[LocalMap | None]]
#: Why a pass of a flow model cannot be judged: at CFG 1 the prompt alone moves nothing that the watch could see, and the probe is off; or the latents
#: are not the mixture of picture and noise that the model was made for.
UNGUIDED, UNFIT = "flow model without guidance and no probe", "sampler not made for flow models"


def knows_negatives(profile: Profile, negatives: list[str]) -> bool:
    """Whether the watch of `profile` was fitted with every one of these negative prompts."""
    hashes = {hashlib.sha256(text.strip().encode()).hexdigest() if text.strip() else "" for text in negatives}
    return hashes <= {profile.negative}


class Pass:
    """First or hires pass of one batch.

    Parameters
    ----------
    denoiser : the host's CFGDenoiser
    settings : Settings
    serve : callable
        Of the loaded model and `p`, the profile that judges it.
    empty : Empty or None
        See :class:`.encodings.Encodings`; None rules the probe out.
    negatives : list of str
        Negative prompts of the batch.
    versions : sequence of Versions
        Of the prompts, for the damping policy "reword"; may be empty.
    locate : bool
        Whether flagged images are mapped.
    unready : dict of Exception
        Detectors and dampers, by name, that an error keeps this pass from having.
    skips : bool
        Whether the host may be told to skip a batch of which every image is blanked.
    recalled : sequence of Recalled or None
        See :class:`..guard.guard.Guard`, of images that are sampled again.
    """

    def __init__(
        self,
        denoiser: object,
        settings: Settings,
        serve: Callable[[object, object], Served],
        empty: tuple[tuple, list] | None,
        negatives: list[str],
        versions: Sequence[Versions] = (),
        locate: bool = False,
        unready: dict[str, Exception] | None = None,
        skips: bool = True,
        recalled: Sequence[Recalled | None] = (),
    ) -> None:
        self._recalled = recalled
        #: Of every flagged image what was found out about it, once the pass is over.
        self.remembered: list[Recalled | None] = []
        self._skips = skips and settings.mode == "stop"
        self.settings, self._serve, self.negatives = settings, serve, negatives
        self.weights = host.prompt_weights(denoiser)
        self.view = View(denoiser)
        self.options = replace(settings.to_options(), locate=locate)
        self.served: list[Served] = []
        self.guards: list[Guard] = []
        self._empty, self._loaded, self._call = empty, None, None
        #: The scale that a distilled model is told, 1 for any other.
        self._told = 1.0
        self._poll, self._watch = Poll(), Stopwatch()
        #: Whether another extension tells the network prompts of its own.
        self._regions = False
        self._pixels = math.prod(probing.size(denoiser.p))
        #: How often the network is asked for an image in an evaluation of the host.
        self._asked = 1
        self._over: Results | None = None
        #: Whether this pass told the host to skip the rest of its batch.
        self.skipped = False
        #: Images, by what the host has handed over so far; and errors around the guards before there was one.
        self.batch, self._missed = 0, []
        self._unready = unready or {}
        self._planned = int(getattr(denoiser, "total_steps", None) or 0)
        sums = host.weight_sums(denoiser, self.weights)
        self._multiple: float | torch.Tensor = sums[0] if len(set(sums)) == 1 else torch.tensor(sums) if sums else 1.0
        self._doubt = self._why_in_doubt(denoiser)
        # Prompts joined by AND have no versions.
        self._versions = versions if all(len(parts) == 1 for parts in self.weights) else ()

    def _why_in_doubt(self, denoiser: object) -> str:
        if host.guided_by_pictures(denoiser.p):
            return "guided by a picture too"
        if any(weight < 0 for parts in self.weights for weight in parts):
            return "no probe and a part of the prompt with negative weight"
        if host.rescaled_by_the_host():
            return f"no probe and {CHANGED}"
        return ""

    def _open(self, denoiser: object, model: object) -> None:
        """A guard for the model that evaluates from now on; a refiner gets its own."""
        described = host.describe(model)
        flow, unguided = described.prediction == "flow", host.nominal_guidance(denoiser) == 1.0
        served = self._serve(model, denoiser.p)
        profile, doubt, probe = served.profile, self._doubt, None
        if self.view.coverage < LEAST_COVERAGE:
            profile, doubt = None, "inpainting mask too small"
        elif flow and host.unfit_for_flow(denoiser):
            profile, doubt = None, UNFIT
        elif host.guided_by_pictures(denoiser.p):
            profile = None
        elif profile is None:
            doubt = served.reason
        elif not doubt and not knows_negatives(profile, [] if described.distilled and unguided else self.negatives):
            doubt = UNKNOWN_NEGATIVE  # at CFG 1 a distilled model is told no negative prompt
        taken = host.sampler_name(denoiser), host.evaluations(denoiser) or USUAL
        # A refiner that takes over at the first evaluation has other conditioning than was made for the base; what a distilled model is asked for is
        # the job's own.
        ready = self._empty is not None and self._empty[0][:2] == (model, getattr(model, "sd_checkpoint_info", None)) and not self.guards
        broken = self._unready.get("probe")
        if profile is not None and profile.probe is not None and (ready or broken or described.distilled):
            # A probe that an error keeps away fails when it is wanted, not before.
            probe = Probe(
                scatter.probe(profile, *taken),
                _raising(broken) if broken else self._virtual,
                self.settings.probe,
                self.settings.probe_evaluations,
                profile.probe_guidance,
                taken[1],
            )
        if profile is not None and flow and unguided and not described.distilled:
            doubt = self._doubt or UNGUIDED  # also where a prompt has parts, whose weights add up to more; the probe may judge all the same
        parameterisation = "flow" if flow else "sigma"
        region = scatter.watch(profile, *taken, host.nominal_guidance(denoiser)) if profile else None
        rewording = None
        if self._versions and not self.guards:
            scale = profile.probe_guidance if probe else 1.0
            empty = self._empty[1] if self._empty else None
            rewording = Reworder(self._versions, empty, lambda: self._call, self.view.read, scale, described.distilled).rewording()
        self.served.append(served)
        self._regions = self._regions or host.regions_of_others(denoiser)
        # Of a distilled model the parts are its own to weigh, and a refiner has nothing to say that the base has not.
        apart = self._apart if probe and ready and not described.distilled and not broken else None
        self.guards.append(Guard(region, self.options, probe, parameterisation, doubt, rewording, apart, () if self.guards else self._recalled))
        if "reword" in self._unready:
            self.guards[-1].trouble.damping["reword"] = type(self._unready["reword"]).__name__
        for error in self._missed:
            self.guards[-1].miss(error, self.batch)
        self._missed = []
        if len(self.guards) > 1:
            self.guards[-1].succeed(self.guards[-2])

    def step(self, call: SimpleNamespace) -> torch.Tensor | None:
        """Judge one evaluation, see :func:`.host.call_of`; what the host is to go on with, or None to leave its prediction alone."""
        self.batch = max(self.batch, len(call.x))
        self._watch.tick()
        from modules import shared

        # A refiner may load its weights into the same object.
        model = shared.sd_model
        loaded = model, getattr(model, "sd_checkpoint_info", None)
        if self._loaded is None or any(one is not other for one, other in zip(loaded, self._loaded)):
            self._open(call.denoiser, model)
            self._loaded, self._told, self._asked = loaded, host.distilled_scale(call), 1 + has_negative(call)
        guard = self.guards[-1]
        if isinstance(self._multiple, torch.Tensor):
            self._multiple = self._multiple.to(call.sigma.device, non_blocking=True)
        call.cfg = host.guidance(call.denoiser, call.sigma, self._multiple)
        call.guidance = call.cfg * self._told
        read = self.view.read(call, call.out)
        self._call = call
        result = guard.step(*read, call.guidance, lambda: self._difference(call), self._plain(call, read[1]))
        self._call = None
        if self._skips and guard.stopped is not None and self._poll.is_true(guard.stopped.all()):
            shared.state.skipped = self.skipped = True
            # The host hands out this where a batch is skipped; the prediction that it holds is the copy.
            call.denoiser.sampler.last_latent = torch.zeros_like(call.x)
        return None if result is read[1] else self.view.write(call, read, result)

    def _plain(self, call: SimpleNamespace, denoised: torch.Tensor) -> torch.Tensor | None:
        """The mask ``(batch,)`` of images whose guidance is plain, whatever stands in its place; None where nothing does."""
        if not host.guided_by_others(call.denoiser):
            return None
        made = combined(call)
        if made is None:
            return torch.zeros(len(denoised), dtype=torch.bool, device=denoised.device)
        made = self.view.read(call, made)[1]
        return rms(denoised - made) <= LEAST_CHANGE * rms(made)

    def _difference(self, call: SimpleNamespace) -> torch.Tensor | None:
        known = predictions(call)
        if known is None or known.negative is None:
            return None
        return self.view.read(call, known.conditional)[1] - self.view.read(call, known.negative)[1]

    def miss(self, error: Exception, batch: int = 0) -> None:
        """An evaluation could not be judged for an error around the guards; the next ones are judged all the same."""
        self.batch = max(self.batch, batch)
        self._call = None
        if self.guards:
            self.guards[-1].miss(error, self.batch)
        else:
            self._missed.append(error)

    def _virtual(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        call = self._call
        scale, weights = self.guards[-1].probe.guidance, self.weights or [[1.0]] * len(x)
        if host.is_distilled(self._loaded[0]):
            out = probing.at_distilled_scale(call, call.params.text_cond, weights, scale)
        else:
            out = probing.virtual_prediction(call, self._empty[1], weights, scale, call.cfg)
        return self.view.read(call, out)[1]

    def _apart(self, x: torch.Tensor, sigma: torch.Tensor) -> list[torch.Tensor]:
        """The virtual predictions of the parts of the prompts, see :class:`..guard.detectors.parts.Parts`."""
        from modules import prompt_parser

        call, scale = self._call, self.guards[-1].probe.guidance
        empty = prompt_parser.reconstruct_cond_batch(self._empty[1], call.denoiser.step)
        conds = probing.parts_apart(call, self.weights or [[1.0]] * len(x), empty)
        if len(conds) < 2:
            return []
        nothing = probing.unconditional(call, self._empty[1])
        return [self.view.read(call, virtual(nothing, probing.conditional_alone(call, cond), scale))[1] for cond in conds]

    def results(self) -> Results:
        """Verdicts, evaluations and maps of every image; waits for the device. An error in the latter two costs no verdict."""
        if self._over is not None:
            return self._over
        parts = [guard.report() for guard in self.guards]
        batch = max(map(len, parts), default=0)
        verdicts = [merge([part[image] for part in parts if image < len(part)]) for image in range(batch)]
        if self._regions:
            verdicts = [one.without_regions() for one in verdicts]
        if self._missed:  # no guard was ever made
            reason = f"error {type(self._missed[0]).__name__}"
            verdicts = [Verdict(NOT_JUDGED, evaluations=len(self._missed), reason=reason)] * max(self.batch, 1)
        batch = len(verdicts)
        return verdicts, extra(self._histories, batch, list), extra(self._maps, batch, lambda: None)

    def _histories(self, batch: int) -> list[list]:
        seen = [history(guard.seen()) for guard in self.guards]
        return [[one for part in seen if image < len(part) for one in part[image]] for image in range(batch)]

    def _maps(self, batch: int) -> list[LocalMap | None]:
        # A guard goes on with the map of the one before. Norms of an inpainted picture are scaled up to those of the freed part, positions are not.
        scale = self.view.coverage**0.5
        found = [None if one is None else LocalMap.of(one, scale) for one in (self.guards[-1].maps() if self.guards else [])]
        return found + [None] * (batch - len(found))

    def _remembered(self, batch: int) -> list[Recalled | None]:
        # Versions are the first guard's; what it has not flagged may be a refiner's.
        found = [guard.recalled() for guard in self.guards]
        return [next((each[image] for each in found if image < len(each) and each[image] is not None), None) for image in range(batch)]

    def cut_short(self, why: str) -> None:
        """The host has ended this pass before its time; what is known by now is kept, nothing of it is called stable."""
        if self._over is None and self.guards and not self.skipped:
            trouble = self.guards[-1].trouble
            trouble.cut_short, trouble.planned = why, self._planned

    def close(self) -> None:
        """Keep the results as plain numbers and let go of every tensor, model and host object."""
        if self._over is None:
            self._over = self.results()
            self.remembered = extra(self._remembered, len(self._over[0]), lambda: None)
            if self._loaded is not None:
                self._watch.note(host.describe(self._loaded[0]).checkpoint, self._pixels * self.batch * self._asked)
        self.guards, self._loaded, self._call, self._empty, self.view = [], None, None, None, None


def _raising(error: Exception) -> Callable:
    def predict(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        raise error

    return predict


def extra(make: Callable[[int], list], batch: int, blank: Callable[[], object]) -> list:
    """What accompanies the verdicts of a batch; blanks, and a line in the log, where it cannot be made."""
    try:
        return make(batch)
    except Exception:
        log.exception("Memorization Guard: an error beside the verdicts, they stand without it")
        return [blank() for _ in range(batch)]


class Failed:
    """Stands for a pass of `batch` images in which something around the guards raised `error`."""

    skipped = False
    remembered = ()

    def __init__(self, batch: int, error: Exception) -> None:
        self.served: list[Served] = []
        self._results = ([Verdict(NOT_JUDGED, reason=f"error {type(error).__name__}")] * batch, [[] for _ in range(batch)], [None] * batch)

    def step(self, call: SimpleNamespace) -> None:
        """Nothing is looked at any more."""

    def miss(self, error: Exception, batch: int = 0) -> None:
        """Nothing was judged anyway."""

    def cut_short(self, why: str) -> None:
        """Nothing was judged anyway."""

    def results(self) -> Results:
        return self._results

    def close(self) -> None:
        """Nothing is held."""
