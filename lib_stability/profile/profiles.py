"""Profiles: the JSON files that hold a model's regions, and which of them serves a checkpoint."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import SCORED_GUIDANCE, StabilityRegion
from ..guard.sensitivity import false_alarm_table
from ..sentences import Sentence, joined
from ..validation import Field
from . import networks as extra
from . import plausibility

log = logging.getLogger(__name__)

#: Profiles of a checkpoint alone are written as version 1; version 2 has networks, which an older reader would pass over.
FORMAT, VERSION = "memorization-guard-profile", 2
KINDS = ("prior", "calibrated")
PREDICTIONS = ("epsilon", "v", "flow")
#: Where a profile comes from: with the extension, from a calibration here, from elsewhere.
ORIGINS = ("bundled", "own", "imported")
ANY = "any"
#: Fewer reference runs make a trial, which serves only where it is chosen by name: they do not resolve the rates of the levels.
FEW = 100
#: The profile setting that leaves the choice to :func:`choose`; no profile may be called so.
AUTO = "Auto"
#: What :attr:`Profile.standing` may be; of one that was read from no folder without the first word.
STANDINGS = tuple(f"{origin} {kind}".strip() for origin in (*ORIGINS, "") for kind in ("calibration", "trial", "prior"))
#: What people are told of models and profiles, and why one serves.
TEXTS = {
    "speaks": "{prediction} prediction",
    "distilled": "{prediction} prediction with distilled guidance",
    "few": "only {runs} reference runs",
    "runs": "{runs} runs",
    "told": "distilled guidance",
    "with": "with {networks}",
    "checkpoint": "made for this checkpoint",
    "networks": "made for this checkpoint and these networks",
    "family": "made for the family {family}",
    "general": "no profile for this checkpoint or family, a general prior",
    "none": "no profile for {speaks} fits",
}
_SHA256 = re.compile(r"[0-9a-f]{64}|")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


@dataclass(frozen=True)
class Model:
    """What a profile was made for. `family` is "sd1", "sdxl", …, or "any"; `prediction` "epsilon", "v" or "flow"; `sha256` may be empty.

    Parameters
    ----------
    family, prediction, checkpoint, sha256 : str
        The checkpoint's name is for people; it is known by the SHA-256 of its file, 64 lower-case hexadecimal digits.
    distilled : bool
        Whether guidance is distilled into the model, with its scale as an input (Flux dev). Then guidance scales are those of that input.
    networks : tuple of Network
        The extra networks that are applied to it.
    """

    family: str
    prediction: str
    checkpoint: str = ""
    sha256: str = ""
    distilled: bool = False
    networks: extra.Networks = ()

    @property
    def speaks(self) -> str:
        """For people: the kind of its prediction, and of its guidance."""
        return Sentence(TEXTS["distilled" if self.distilled else "speaks"], prediction=self.prediction)

    def to_json(self) -> dict:
        """As a file has it, where the profile's provenance tells of distilled guidance."""
        found = {key: value for key, value in vars(self).items() if key not in ("distilled", "networks")}
        return {**found, **({"networks": extra.to_json(self.networks)} if self.networks else {})}


@dataclass(frozen=True)
class Profile:
    """A named pair of regions and what they were made for and from.

    Parameters
    ----------
    name : str
        What people see and choose by.
    kind : "prior" or "calibrated"
        Built from stated numbers, or fitted to this model's own runs.
    model : Model
    watch : StabilityRegion
        Of the guided prediction.
    probe : StabilityRegion, optional
        Of the virtual prediction against the empty prompt.
    probe_guidance : float
        Guidance scale of the virtual prediction.
    negative : str
        SHA-256 of the negative prompt that the watch was fitted with, "" for the empty one.
    provenance : dict
        Plain JSON values: runs, prompts (as a hash), software, or a prior's assumptions.
    origin : str
        One of :data:`ORIGINS`, known once it was read from a folder.

    Examples
    --------
    >>> from lib_stability import Profile
    >>> from lib_stability.profile.storage import BUNDLED, read
    >>> profile = read(BUNDLED / "sd1-prior.json")
    >>> profile.name, profile.kind, profile.model.family, profile.watch.guidance_
    ('SD 1.x prior', 'prior', 'sd1', (1.0, 15.0))
    >>> Profile.from_json(profile.to_json()).name
    'SD 1.x prior'
    """

    name: str
    kind: str
    model: Model
    watch: StabilityRegion
    probe: StabilityRegion | None = None
    probe_guidance: float = REFERENCE_GUIDANCE
    negative: str = ""
    provenance: dict = field(default_factory=dict)
    origin: str = ""

    @property
    def runs(self) -> int:
        """Reference runs: those that it states, as far as its scores bear that out (of the watch about two thirds have one)."""
        scored = max(len(region.scores_) for region in (self.watch, self.probe) if region is not None)
        stated = self.provenance.get("runs")
        return stated if type(stated) is int and scored <= stated <= 2 * scored else scored

    @property
    def weight(self) -> int:
        """How much evidence it rests on: its runs in steps of a factor of 1.4, so that a few runs left out do not count."""
        return round(2 * math.log2(max(self.runs, 1)))

    @property
    def trial(self) -> str:
        """Why it is only a trial, which serves where it is chosen by name; "" for any other."""
        if self.kind != "calibrated":
            return ""
        # Runs left out as copies were made all the same.
        left_out = self.provenance.get("left_out")
        made = self.runs + (min(max(left_out, 0), self.runs // 19) if type(left_out) is int else 0)
        return Sentence(TEXTS["few"], runs=self.runs) if made < FEW else Sentence(str(self.provenance.get("trial") or ""))

    @property
    def standing(self) -> str:
        """For people: "bundled prior", "own calibration", "imported trial", …"""
        kind = "trial" if self.trial else "calibration" if self.kind == "calibrated" else self.kind
        return Sentence(f"{self.origin} {kind}".strip())

    @property
    def evidence(self) -> str:
        """For people: what it is and what it rests on."""
        facts = [self.standing, Sentence(TEXTS["runs"], runs=self.runs) if self.kind == "calibrated" else ""]
        facts.append(Sentence(TEXTS["told"]) if self.model.distilled else "")
        facts.append(Sentence(TEXTS["with"], networks=extra.describe(self.model.networks)) if self.model.networks else "")
        facts.append(str(self.provenance.get("date") or "")[:10])
        return joined(", ", facts)

    def to_json(self) -> dict:
        """The file's content as plain JSON values."""
        regions = {"watch": self.watch, "probe": self.probe}
        return {
            "format": FORMAT,
            "version": VERSION if self.model.networks else 1,
            "name": self.name,
            "kind": self.kind,
            "model": self.model.to_json(),
            "provenance": {**self.provenance, **({"distilled": True} if self.model.distilled else {})},
            "negative": self.negative,
            "probe_guidance": self.probe_guidance,
            **{key: region and region.to_json() | {"false_alarms": false_alarm_table(region)} for key, region in regions.items()},
        }

    @classmethod
    def from_json(cls, data: object, source: str = "profile") -> Profile:
        """Read a profile.

        Raises
        ------
        ValidationError
            Naming `source` and the field at fault.
        """
        root = Field(data, source).object()
        root.format(FORMAT, VERSION)
        model = root["model"].object()
        probe = root.get("probe", None)
        if root["name"].name().lower() == AUTO.lower():
            root["name"].fail(f"{AUTO!r} is the setting that leaves the choice to the software")
        provenance = root.get("provenance", {}).mapping()
        try:
            length = len(json.dumps(provenance, allow_nan=False))
        except (ValueError, RecursionError):
            root["provenance"].fail("holds a number that is not finite, or is nested too deeply")
        if length > 20_000:
            root["provenance"].fail("is longer than 20000 characters")
        self = cls(
            name=root["name"].name(),
            kind=root["kind"].choice(KINDS),
            model=Model(
                model["family"].text(40, _FAMILY),
                model["prediction"].choice(PREDICTIONS),
                model.get("checkpoint", "").text(300),
                model.get("sha256", "").text(64, _SHA256),
                provenance.get("distilled") is True,
                extra.read(model.get("networks", [])),
            ),
            watch=StabilityRegion.from_json(root["watch"].value, f"{source}.watch"),
            probe=None if probe.value is None else StabilityRegion.from_json(probe.value, probe.path),
            probe_guidance=root.get("probe_guidance", REFERENCE_GUIDANCE).number(SCORED_GUIDANCE, 100),  # below, a copy looks as ordinary runs do
            negative=root.get("negative", "").text(64, _SHA256),
            provenance=provenance,
        )
        for region in (self.watch, self.probe):
            if region is not None and (region.parameterisation == "flow") != (self.model.prediction == "flow"):
                model["prediction"].fail(f"does not go with a region in the parameterisation {region.parameterisation!r}")
        plausibility.check(self.watch, f"{source}.watch", self.kind == "calibrated")
        if self.model.networks and not self.model.sha256:
            model["networks"].fail("wants the checkpoint's sha256 beside it")
        if self.probe is not None:
            plausibility.check(self.probe, f"{source}.probe", self.kind == "calibrated", self.probe_guidance, fixed=True)
        return self


def choose(
    profiles: Iterable[Profile],
    sha256: str = "",
    family: str = "",
    prediction: str = "epsilon",
    distilled: bool = False,
    networks: extra.Networks = (),
) -> tuple[Profile | None, str]:
    """The profile that serves a checkpoint, and why: by hash, else by family, else one for any family; never a trial or one of another prediction.

    Among equals a calibrated profile goes before a prior, one for the empty negative prompt before one for another, then the one with more reference
    runs (see :attr:`Profile.weight`), then the later in order (a user's own folder comes last).

    Parameters
    ----------
    profiles : iterable of Profile
    sha256 : str
        Of the checkpoint's file, lower-case hexadecimal digits; "" where it is not known.
    family : str
        "sd1", "sd2", "sdxl", …; "" where it is not known.
    prediction : "epsilon", "v" or "flow"
    distilled : bool
        Whether guidance is distilled into the checkpoint: profiles of such models serve no others, and none other serves them.
    networks : tuple of Network
        Extra networks that are on: with any, only a profile of this checkpoint that was calibrated with the same ones serves, the one of the nearest
        weights first (see :func:`.networks.distance`); such a profile serves nothing else.

    Returns
    -------
    Profile or None, and the reason as a text for people. Raises for nothing: None says that nothing fits.

    Examples
    --------
    >>> from lib_stability import choose_profile, load_profiles
    >>> from lib_stability.profile.storage import BUNDLED
    >>> profile, why = choose_profile(load_profiles([BUNDLED])[0], family="sd1")
    >>> profile.name, why
    ('SD 1.x prior', 'made for the family sd1')
    >>> choose_profile([profile], prediction="flow")
    (None, 'no profile for flow prediction fits')
    """
    wanted = prediction, distilled
    fitting = [profile for profile in profiles if (profile.model.prediction, profile.model.distilled) == wanted and not profile.trial]
    measured = [(profile, extra.distance(profile.model.networks, networks)) for profile in fitting]
    away = {id(profile): far for profile, far in measured if far is not None}
    fitting = [profile for profile in fitting if id(profile) in away]
    ranked = sorted(fitting, key=lambda profile: (profile.kind == "calibrated", not profile.negative, -away[id(profile)], profile.weight))
    for profile in reversed(ranked):
        if sha256 and profile.model.sha256 == sha256:
            return profile, Sentence(TEXTS["networks" if networks else "checkpoint"])
    if networks:
        return None, extra.unknown(networks)
    # A calibration of another checkpoint is not a guess at this one unless it names no hash.
    for profile in reversed(ranked):
        if family and profile.model.family == family and not profile.model.sha256:
            return profile, Sentence(TEXTS["family"], family=family)
    for profile in reversed(ranked):
        if profile.model.family == ANY and not profile.model.sha256:
            return profile, Sentence(TEXTS["general"])
    return None, Sentence(TEXTS["none"], speaks=Model(family, prediction, distilled=distilled).speaks)
