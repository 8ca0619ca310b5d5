"""What calibration, scan and audit have in common in their options: read from a JSON body, errors that name the field."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ...profile import reference
from ...sentences import Sentence
from ...validation import Field
from ..host.texts import OPTIONS as WORDS

#: Range of a picture's side; 0 stands for the family's own.
SIDE = (64, 4096)
#: Pixels a side that a family was trained with.
SIDES = {"sd1": 512, "wan": 640, "qwenimage": 1328}
SIDES |= dict.fromkeys(("sdxl", "sd3", "flux", "flux2", "chroma", "chromadct", "lumina2", "zimage"), 1024)
SIDES |= dict.fromkeys(("anima", "cosmos", "ernie", "ernieimage", "krea2", "mugen"), 1024)


def fields(body: object, known: Collection[str]) -> dict[str, Field]:
    """The fields of a body that may only hold the `known` ones."""
    if not isinstance(body, dict):
        Field(body, "body").fail("has to be an object")
    found = {name: Field(value, str(name)[:60]) for name, value in body.items()}
    for name, field in found.items():
        if name not in known:
            field.fail(f"is not an option; there are {', '.join(known)}")
    return found


def integers(found: dict[str, Field], **spans: tuple[int, int]) -> dict[str, int]:
    """Whole numbers in their ranges, of those that are given."""
    return {name: found[name].integer(*span) for name, span in spans.items() if name in found}


def chosen(found: dict[str, Field], **readers: Callable[[Field], object]) -> dict[str, object]:
    """What each field's reader makes of it, of those that are given; the empty text stands for the default."""
    return {name: read(found[name]) for name, read in readers.items() if name in found and found[name].value != ""}


def text(found: dict[str, Field], name: str, most: int) -> str:
    """A text without blanks around it, empty where it is not given."""
    return found[name].text(most).strip() if name in found else ""


def yes_or_no(field: Field) -> bool:
    """True or false."""
    if not isinstance(field.value, bool):
        field.fail(WORDS["switch"])
    return field.value


def sides(found: dict[str, Field]) -> dict[str, int]:
    """`width` and `height`, multiples of 8, of those that are given."""
    values = {}
    for name in ("width", "height"):
        if name in found and found[name].value != 0:
            values[name] = found[name].integer(*SIDE)
            if values[name] % 8:
                found[name].fail(WORDS["multiple"])
    return values


def size(options: object, family: str) -> tuple[int, int]:
    """Width and height; a side that is not given is the other one's, or the family's."""
    usual = SIDES.get(family, 768)
    return options.width or options.height or usual, options.height or options.width or usual


def texts(field: Field, least: int = 0) -> tuple[str, ...]:
    """A list of texts without repetitions; blank ones are left out."""
    if not isinstance(field.value, list) or len(field.value) > reference.MAX_PROMPTS:
        field.fail(Sentence(WORDS["list"], most=reference.MAX_PROMPTS))
    found = [Field(text, f"{field.path}[{number}]").text(reference.MAX_LENGTH).strip() for number, text in enumerate(field.value)]
    found = [text for text in dict.fromkeys(found) if text]
    if len(found) < least:
        field.fail(WORDS["empty"])
    return tuple(found)
