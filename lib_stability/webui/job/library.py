"""The profiles at hand in the web UI, and which of them serves the loaded checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...guard.sensitivity import thresholds
from ...profile import networks
from ...profile.displacing import Outlook, outlook
from ...profile.profiles import ANY, AUTO, Model, Profile, choose
from ...profile.storage import BUNDLED, listed, load_all
from ...sentences import Sentence
from ...trail.infotext import Settings
from ..host import texts
from . import places

GENERAL, NOTHING = "Judge by a general prior", "Do not judge"
#: For passes with networks that no profile knows.
IGNORE = "Judge by the checkpoint's own profile, and say so"


@dataclass(frozen=True)
class Served:
    """The profile chosen for a checkpoint, or None, and why; `ignored` are networks that are on and that it does not know."""

    profile: Profile | None
    why: str
    ignored: networks.Networks = ()
    #: What a verdict says where networks are the reason.
    reason: str = ""

    @property
    def label(self) -> str:
        """For people: the profile, whose it is, and the networks that it was made with, or does not know."""
        # Cut so that the end, which says where a profile comes from, is never lost.
        known, ignored = (networks.describe(one, 40) for one in (self.profile.model.networks, self.ignored))
        text = texts.LABELS[bool(known), bool(ignored)]
        return Sentence(text, name=self.profile.name[:60], standing=self.profile.standing, networks=known, ignored=ignored)

    def describe(self, settings: Settings) -> str:
        """One line for people: profile, kind, and what the chosen level costs."""
        if self.profile is None:
            return f"No profile: {self.why}. Images will say not judged."
        limits = thresholds(self.profile.watch, settings.sensitivity, settings.tau)
        return f"Profile {self.profile.name} ({self.profile.standing}; {self.why}): {limits.describe()}"


class Library:
    """Profiles of several folders, read again when a file changed.

    Parameters
    ----------
    folders : tuple of Path, optional
        By default the bundled profiles and the user's, wherever the setting puts those by now.
    """

    def __init__(self, folders: tuple[Path, ...] | None = None) -> None:
        self._follows = places.profiles if folders is None else None
        self._place: Path | None = None
        self._folders = (BUNDLED,) if folders is None else folders
        self._state: tuple | None = None
        self._profiles: list[Profile] = []
        self.refused: list[str] = []

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where profiles are read from; new ones go to the last."""
        if self._follows and self._follows() != self._place:
            self._place = self._follows()
            self._folders = (BUNDLED, self._place)
        return self._folders

    @folders.setter
    def folders(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def profiles(self) -> list[Profile]:
        """All readable profiles."""
        files, trouble = listed(self.folders)
        state = (*((path, stat.st_mtime_ns, stat.st_size) for path, stat in files), *trouble)
        if state != self._state:
            self._profiles, self.refused = load_all(self.folders)
            self._state = state
        return self._profiles

    def names(self) -> list[str]:
        """What the profile setting offers."""
        return [AUTO, *dict.fromkeys(profile.name for profile in self.profiles())]

    def outlook(self, new: Profile) -> Outlook:
        """What `new` would change here."""
        return outlook(new, self.profiles())

    def serve(self, name: str, model: Model, general: bool = True, ignoring: bool = False) -> Served:
        """The profile called `name`, or with "Auto" the one that fits `model`; `general` admits priors for any family, `ignoring` takes the one that
        would serve without networks where none knows those that are on."""
        found = self._serve(name, model, general)
        if found.profile is not None or not model.networks:
            return found
        if ignoring:
            return replace(self._serve(name, replace(model, networks=()), general), ignored=model.networks)
        return replace(found, reason=networks.unknown(model.networks))

    def _serve(self, name: str, model: Model, general: bool) -> Served:
        if not model.prediction:
            return Served(None, Sentence(texts.SERVED["unknown"]))
        if name != AUTO:
            named = [profile for profile in self.profiles() if profile.name == name]
            if not named:
                return Served(None, Sentence(texts.SERVED["missing"], name=name))
            wanted = model.prediction, model.distilled
            fitting = [profile for profile in named if (profile.model.prediction, profile.model.distilled) == wanted]
            if not fitting:
                return Served(None, Sentence(texts.SERVED["other"], name=name, wanted=named[-1].model.speaks, found=model.speaks))
            near = [profile for profile in fitting if networks.distance(profile.model.networks, model.networks) is not None]
            if not near:
                return Served(None, _unknown(fitting[-1], model))
            return Served(near[-1], Sentence(texts.SERVED["chosen"]))
        offered = [profile for profile in self.profiles() if general or profile.model.family != ANY]
        return Served(*choose(offered, model.sha256, model.family, model.prediction, model.distilled, model.networks))


def _unknown(profile: Profile, model: Model) -> str:
    """Why a profile chosen by name does not serve the networks that are on, or their absence."""
    if model.networks:
        return networks.unknown(model.networks)
    return Sentence(texts.SERVED["with"], name=profile.name, networks=networks.describe(profile.model.networks))


LIBRARY = Library()
