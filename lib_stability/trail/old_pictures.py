"""Finished pictures that are to be judged afterwards: what their infotext says of how they came about, as far as that can be done again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from .containers import Unreadable
from .image_row import NO_VERDICT, UNREADABLE, Item, is_picture
from .imagetext import OTHERS, read_text
from .reading import Reading, verdicts_of

#: Bounds of what a web UI is asked for: characters of a prompt, sides, seeds.
LONGEST, SIDES, SEEDS = 2000, (64, 4096), (0, 2**32 - 1)
NETWORKS = "made with networks"
_NETWORK = re.compile(r"<\w+:[^<>]+>")
NOT_READ = "pictures of this kind are not read"


class Picture(NamedTuple):
    """One file.

    Attributes
    ----------
    file, prompt, model : str
        `model` is the checkpoint's name, "" where the infotext does not say.
    seed, width, height : int
        Of the first pass.
    said : str
        The verdict that it has from when it was made; "no verdict" without one.
    note : str
        In what the look back differs from how it was made.
    problem : str
        Why it cannot be judged; "" where it can.
    """

    file: str
    prompt: str = ""
    model: str = ""
    seed: int = 0
    width: int = 0
    height: int = 0
    said: str = NO_VERDICT
    note: str = ""
    problem: str = ""

    @property
    def networks(self) -> bool:
        return NETWORKS in self.note

    @property
    def asked(self) -> tuple[str, int, int, int]:
        """What it was made of: pictures that share it are judged once."""
        return self.prompt, self.seed, self.width, self.height


def read(items: Iterable[Item]) -> list[Picture]:
    """The pictures among what :func:`.audit.find` has found; never raises for one of them. Texts without a picture are nobody's."""
    return [_read(item) for item in items if is_picture(item.path)]


def _read(item: Item) -> Picture:
    text, problem = None, "no infotext"
    try:
        text = None if item.path.lower().endswith(OTHERS) else read_text(item.path)
        problem = NOT_READ if item.path.lower().endswith(OTHERS) else problem
    except (Unreadable, OSError) as error:
        problem = str(error)
    except Exception as error:  # whatever the file did, the others are judged
        problem = f"cannot be read ({type(error).__name__})"
    if text is None and item.beside:
        with suppress(Unreadable, OSError):
            text = read_text(item.beside)
    if text is None:
        return Picture(item.path, said=NO_VERDICT if problem == "no infotext" else UNREADABLE, problem=problem)
    return _of(item.path, verdicts_of(text))


def _of(path: str, found: Reading) -> Picture:
    params = found.params
    said = found.first.verdict if found.first else NO_VERDICT
    picture = Picture(path, found.prompt, str(params.get("Model", ""))[:300], said=said, note=", ".join(_notes(found)))
    try:
        width, height = (int(side) for side in params["Size"].split("x"))
        picture = picture._replace(seed=int(params["Seed"]), width=width, height=height)
    except (KeyError, ValueError, AttributeError):
        return picture._replace(problem="its infotext names no seed and size")
    return picture._replace(problem=_problem(picture))


def _problem(picture: Picture) -> str:
    if not picture.prompt.strip():
        return "no prompt"
    if len(picture.prompt) > LONGEST:
        return f"its prompt is longer than {LONGEST} characters"
    if not SEEDS[0] <= picture.seed <= SEEDS[1]:
        return "its seed is out of range"
    if any(side % 8 or not SIDES[0] <= side <= SIDES[1] for side in (picture.width, picture.height)):
        return f"its size, {picture.width}x{picture.height}, is none that can be sampled"
    return ""


def _notes(found: Reading) -> list[str]:
    """In what the same seed's noise is not where this picture began, or the model not what it was."""
    params, notes = found.params, []
    if "Denoising strength" in params and not any(key.startswith("Hires") for key in params):
        notes.append("made from a picture")
    if "Variation seed" in params:
        notes.append("made with a variation seed")
    if _NETWORK.search(found.prompt):
        notes.append(NETWORKS)
    return notes
