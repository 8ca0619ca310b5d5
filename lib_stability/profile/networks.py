"""The extra networks (LoRA and the like) that change a checkpoint: what a profile was calibrated with, and whether it knows those that are on.

A network moves the norms of everything that it touches: on one model the checkpoint's own region called seven of ten ordinary images copies once a
LoRA was on. So a profile serves the networks that it was calibrated with, and no others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ..sentences import Sentence, joined
from ..validation import Field

#: A weight this near to the calibrated one is served. On the testbed a profile made at 0.8 then flags at most 1.3 % of ordinary runs at Medium, as
#: at 0.8 itself; 0.2 higher 5 %, 0.4 higher 20 %, of a LoRA that has memorized (of one that has not, 0 and 1 %).
TOLERANCE = 0.1
#: Networks of one profile at most, and what a weight may be.
MOST, WEIGHTS = 16, (-100.0, 100.0)
#: How the reason begins where nothing serves networks that are on.
UNKNOWN = "networks that no profile knows"
#: What people are told.
TEXTS = {"unknown": f"{UNKNOWN} ({{networks}})", "more": "{count} more"}
_SHA256 = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True)
class Network:
    """One network as it is applied.

    Parameters
    ----------
    name : str
        For people.
    sha256 : str
        Of its file, 64 lower-case hexadecimal digits; "" where that is not known, then no profile knows it.
    unet, text : float
        Weights on the denoising network and on the text encoder.
    more : str
        What else it was told, such as weights of single blocks; has to be the same.
    """

    name: str
    sha256: str = ""
    unet: float = 1.0
    text: float = 1.0
    more: str = ""

    def __str__(self) -> str:
        weight = f"{self.unet:g}" if self.unet == self.text else f"{self.text:g}/{self.unet:g}"
        return f"{self.name} {weight}" + (f" {self.more}" if self.more else "")

    @property
    def rank(self) -> tuple:
        """Its place among others: two lists of the same networks are in the same order."""
        return self.sha256, self.more, self.unet, self.text

    @classmethod
    def from_json(cls, one: Field) -> Network:
        """Read one.

        Raises
        ------
        ValidationError
            Naming the field.
        """
        one.object()
        sha256 = one["sha256"].text(64, _SHA256)
        if not sha256:
            one["sha256"].fail("is missing: no network could be told to be this one")
        weights = {name: one[name].number(*WEIGHTS) for name in ("unet", "text")}
        return cls(one["name"].text(200), sha256, **weights, more=one.get("more", "").text(500))


#: Networks in the order of :attr:`Network.rank`.
Networks = tuple[Network, ...]


def read(field: Field) -> Networks:
    """The networks of a profile's file."""
    if not isinstance(field.value, list) or len(field.value) > MOST:
        field.fail(f"has to be a list of at most {MOST} networks")
    return ordered(Network.from_json(Field(one, f"{field.path}[{number}]")) for number, one in enumerate(field.value))


def ordered(networks: Iterable[Network]) -> Networks:
    """In the order that profiles and hosts share."""
    return tuple(sorted(networks, key=lambda one: one.rank))


def to_json(networks: Networks) -> list[dict]:
    """As plain values."""
    return [asdict(one) for one in networks]


def distance(known: Networks, on: Networks) -> float | None:
    """How far the weights of the networks that are on lie from those that are known, at most; None where they are others, or too far off."""
    if len(known) != len(on):
        return None
    farthest = 0.0
    for one, other in zip(ordered(known), ordered(on)):
        if not one.sha256 or (one.sha256, one.more) != (other.sha256, other.more):
            return None
        farthest = max(farthest, abs(one.unet - other.unet), abs(one.text - other.text))
    return farthest if farthest <= TOLERANCE + 1e-9 else None


def describe(networks: Networks, longest: int = 10**6) -> str:
    """For people: "mine 0.8 + other 1" in the order of their names, as many as fit."""
    said = sorted(map(str, networks))
    for count in range(len(said), 0, -1):
        left = len(said) - count
        text = joined(" + ", [*said[:count], *([Sentence(TEXTS["more"], count=left)] if left else [])])
        if len(text) <= longest:
            return text
    return said[0][: max(longest - 1, 0)] + "…" if said else ""


def key(networks: Networks) -> str:
    """A short text that differs for different networks and weights; "" where there are none."""
    if not networks:
        return ""
    told = [[one.sha256, one.unet, one.text, one.more] for one in ordered(networks)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]


def unknown(networks: Networks) -> str:
    """Why nothing serves them."""
    return Sentence(TEXTS["unknown"], networks=describe(networks, 44))
