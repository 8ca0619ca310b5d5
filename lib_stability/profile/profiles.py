"""Profiles: the JSON files that hold a model's regions, and which of them serves a checkpoint."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import StabilityRegion
from ..guard.sensitivity import false_alarm_table
from ..validation import Field, ValidationError
from . import plausibility

log = logging.getLogger(__name__)

FORMAT, VERSION = "memorization-guard-profile", 1
KINDS = ("prior", "calibrated")
PREDICTIONS = ("epsilon", "v", "flow")
#: Where a profile comes from: with the extension, from a calibration here, from elsewhere.
ORIGINS = ("bundled", "own", "imported")
ANY = "any"
#: Fewer reference runs make a trial, which serves only where it is chosen by name: they do not resolve the rates of the levels.
FEW = 100
#: The profile setting that leaves the choice to :func:`choose`; no profile may be called so.
AUTO = "Auto"
MAX_BYTES = 4_000_000
BUNDLED = Path(__file__).resolve().parents[2] / "regions"
#: Where calibrated profiles go: beside the bundled ones, but not tracked, so that an update of the extension leaves them alone.
USER_FOLDER = BUNDLED.parent / "user-profiles"
_SHA256 = re.compile(r"[0-9a-f]{64}|")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}")


@dataclass(frozen=True)
class Model:
    """What a profile was made for. `family` is "sd1", "sdxl", …, or "any"; `prediction` "epsilon", "v" or "flow"; `sha256` may be empty.

    Parameters
    ----------
    family, prediction, checkpoint, sha256 : str
        The checkpoint's name is for people; it is known by the SHA-256 of its file, 64 lower-case hexadecimal digits.
    """

    family: str
    prediction: str
    checkpoint: str = ""
    sha256: str = ""


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
    >>> from lib_stability.profile.profiles import BUNDLED, read
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
        few = f"only {self.runs} reference runs" if made < FEW else ""
        return few or str(self.provenance.get("trial") or "")

    @property
    def standing(self) -> str:
        """For people: "bundled prior", "own calibration", "imported trial", …"""
        kind = "trial" if self.trial else "calibration" if self.kind == "calibrated" else self.kind
        return f"{self.origin} {kind}".strip()

    @property
    def evidence(self) -> str:
        """For people: what it is and what it rests on."""
        facts = [self.standing, f"{self.runs} runs" if self.kind == "calibrated" else "", str(self.provenance.get("date") or "")[:10]]
        return ", ".join(fact for fact in facts if fact)

    def to_json(self) -> dict:
        """The file's content as plain JSON values."""
        regions = {"watch": self.watch, "probe": self.probe}
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "kind": self.kind,
            "model": dict(vars(self.model)),
            "provenance": self.provenance,
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
            ),
            watch=StabilityRegion.from_json(root["watch"].value, f"{source}.watch"),
            probe=None if probe.value is None else StabilityRegion.from_json(probe.value, probe.path),
            probe_guidance=root.get("probe_guidance", REFERENCE_GUIDANCE).number(1, 100),
            negative=root.get("negative", "").text(64, _SHA256),
            provenance=provenance,
        )
        for region in (self.watch, self.probe):
            if region is not None and (region.parameterisation == "flow") != (self.model.prediction == "flow"):
                model["prediction"].fail(f"does not go with a region in the parameterisation {region.parameterisation!r}")
        plausibility.check(self.watch, f"{source}.watch", self.kind == "calibrated")
        if self.probe is not None:
            plausibility.check(self.probe, f"{source}.probe", self.kind == "calibrated", self.probe_guidance)
        return self


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def read(path: Path) -> Profile:
    """Read one profile file.

    Raises
    ------
    ValidationError
        Naming the file, and the field where it got that far.
    """
    raw = _bytes(path)
    if len(raw) > MAX_BYTES:
        raise ValidationError(f"{path.name}: larger than {MAX_BYTES} bytes")
    try:
        data = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValidationError(f"{path.name}: not JSON ({error})") from None
    profile = Profile.from_json(data, path.name)
    return replace(profile, origin=_origin(profile, path))


def _origin(profile: Profile, path: Path) -> str:
    """What the folder says goes before what the file does."""
    if path.parent.resolve() == BUNDLED:
        return ORIGINS[0]
    stated = profile.provenance.get("origin")
    # Calibrations of older versions say nothing, but have named their file after themselves.
    return stated if stated in ORIGINS[1:] else ORIGINS[1] if path.name == f"{profile.name}.json" else ORIGINS[2]


def _bytes(path: Path) -> bytes:
    """The content of a file, one byte more than a profile may have at most. What is no file is not waited for."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValidationError(f"{path.name}: not a file")
        return file.read(MAX_BYTES + 1)


def write(profile: Profile, path: Path) -> None:
    """Write a profile so that a reader never sees half of it: to a temporary file in the same folder, then renamed."""
    text = json.dumps(profile.to_json(), indent=1, allow_nan=False) + "\n"
    # Lists of numbers on one line; a text never holds a raw newline, so none is touched.
    text = re.sub(r"\[\n\s*([-+\d.eE,\s]+?)\n\s*\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def try_to_write(folder: Path) -> None:
    """Make sure that a profile could be written to a folder, before the work that makes one. It leaves nothing behind.

    Raises
    ------
    OSError
        It could not.
    """
    new = [one for one in (folder, *folder.parents) if not one.exists()]
    trial = folder / f".{uuid4().hex}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"{}")
    finally:
        with suppress(OSError):
            trial.unlink(missing_ok=True)
            for one in new:
                one.rmdir()


def listed(folders: Iterable[Path]) -> tuple[list[tuple[Path, os.stat_result]], list[str]]:
    """The profile files of the folders, in their order, and messages about what bears the name of one and is none: a dangling link, a pipe."""
    found, odd = [], []
    for folder in folders:
        try:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".json") and not name.endswith(".schema.json"))
        except FileNotFoundError:
            continue
        except OSError as error:
            odd.append(f"{folder}: {error.strerror}")
            continue
        for name in names:
            path = Path(folder) / name
            try:
                status = path.stat()
            except OSError as error:
                odd.append(f"{name}: {error.strerror}")
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((path, status))
            else:
                odd.append(f"{name}: not a file")
    return found, odd


def load_all(folders: Iterable[Path]) -> tuple[list[Profile], list[str]]:
    """All readable profiles of the folders, in their order, and the messages about those refused. Raises for none of them.

    Parameters
    ----------
    folders : iterable of Path
        Every ``*.json`` directly in them is read but schemas; a folder that does not exist has none.

    Returns
    -------
    list of Profile, list of str

    Examples
    --------
    >>> from lib_stability import load_profiles
    >>> from lib_stability.profile.profiles import BUNDLED
    >>> profiles, refused = load_profiles([BUNDLED])
    >>> sorted(profile.name for profile in profiles if profile.kind == "prior"), refused
    (['Generic prior', 'Generic prior v', 'SD 1.x prior'], [])
    """
    paths, refused = listed(folders)
    found = []
    for path, _ in paths:
        try:
            found.append(read(path))
        except (OSError, ValidationError) as error:
            refused.append(str(error))
    for message in refused:
        log.warning("Memorization Guard: profile refused: %s", message)
    return found, refused


def choose(profiles: Iterable[Profile], sha256: str = "", family: str = "", prediction: str = "epsilon") -> tuple[Profile | None, str]:
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

    Returns
    -------
    Profile or None, and the reason as a text for people. Raises for nothing: None says that nothing fits.

    Examples
    --------
    >>> from lib_stability import choose_profile, load_profiles
    >>> from lib_stability.profile.profiles import BUNDLED
    >>> profile, why = choose_profile(load_profiles([BUNDLED])[0], family="sd1")
    >>> profile.name, why
    ('SD 1.x prior', 'made for the family sd1')
    >>> choose_profile([profile], prediction="flow")
    (None, 'no profile for flow prediction fits')
    """
    fitting = [profile for profile in profiles if profile.model.prediction == prediction and not profile.trial]
    ranked = sorted(fitting, key=lambda profile: (profile.kind == "calibrated", not profile.negative, profile.weight))
    for profile in reversed(ranked):
        if sha256 and profile.model.sha256 == sha256:
            return profile, "made for this checkpoint"
    # A calibration of another checkpoint is not a guess at this one unless it names no hash.
    for profile in reversed(ranked):
        if family and profile.model.family == family and not profile.model.sha256:
            return profile, f"made for the family {family}"
    for profile in reversed(ranked):
        if profile.model.family == ANY and not profile.model.sha256:
            return profile, "no profile for this checkpoint or family, a general prior"
    return None, f"no profile for {prediction} prediction fits"
