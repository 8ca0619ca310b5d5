"""The profiles at hand in the web UI, and which of them serves the loaded checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...guard.sensitivity import thresholds
from ...profile.displacing import Outlook, outlook
from ...profile.profiles import ANY, AUTO, Model, Profile, choose
from ...profile.storage import BUNDLED, listed, load_all
from ...trail.infotext import Settings
from . import places

GENERAL, NOTHING = "Judge by a general prior", "Do not judge"


@dataclass(frozen=True)
class Served:
    """The profile chosen for a checkpoint, or None, and why."""

    profile: Profile | None
    why: str

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

    def serve(self, name: str, model: Model, general: bool = True) -> Served:
        """The profile called `name`, or with "Auto" the one that fits `model`; `general` admits priors for any family."""
        if not model.prediction:
            return Served(None, "the checkpoint's prediction type is unknown")
        if name != AUTO:
            named = [profile for profile in self.profiles() if profile.name == name]
            if not named:
                return Served(None, f"no profile is called {name}")
            wanted = model.prediction, model.distilled
            fitting = [profile for profile in named if (profile.model.prediction, profile.model.distilled) == wanted]
            if not fitting:
                return Served(None, f"the profile {name} is for {named[-1].model.speaks}, the checkpoint has {model.speaks}")
            return Served(fitting[-1], "chosen by name")
        offered = [profile for profile in self.profiles() if general or profile.model.family != ANY]
        return Served(*choose(offered, model.sha256, model.family, model.prediction, model.distilled))


LIBRARY = Library()
