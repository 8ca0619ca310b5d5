"""Profiles: the JSON files that hold a model's regions, and which of them serves a checkpoint."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from ..guard.probe import REFERENCE_GUIDANCE
from ..guard.region import StabilityRegion
from ..guard.sensitivity import false_alarm_table
from ..validation import Field, ValidationError

log = logging.getLogger(__name__)

FORMAT, VERSION = "memorization-guard-profile", 1
KINDS = ("prior", "calibrated")
PREDICTIONS = ("epsilon", "v", "flow")
ANY = "any"
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
    """What a profile was made for. `family` is "sd1", "sdxl", …, or "any"; `prediction` "epsilon", "v" or "flow"; `sha256` may be empty."""

    family: str
    prediction: str
    checkpoint: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Profile:
    """A named pair of regions: `watch` for the guided prediction, `probe` (optional) for the virtual one at `probe_guidance`.

    `negative` holds the hash of the negative prompt that the watch was fitted with, "" for the empty one.
    """

    name: str
    kind: str
    model: Model
    watch: StabilityRegion
    probe: StabilityRegion | None = None
    probe_guidance: float = REFERENCE_GUIDANCE
    negative: str = ""
    provenance: dict = field(default_factory=dict)

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
        provenance = root.get("provenance", {}).object().value
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
    return Profile.from_json(data, path.name)


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
    """All readable profiles of the folders, in their order, and the messages about those refused."""
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
    """The profile that serves a checkpoint, and why: by hash, else by family, else one for any family; never one of another prediction.

    Among equals a calibrated profile goes before a prior, then the later in order wins (a user's own folder comes last).
    """
    fitting = [profile for profile in profiles if profile.model.prediction == prediction]
    ranked = sorted(fitting, key=lambda profile: profile.kind == "calibrated")
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
