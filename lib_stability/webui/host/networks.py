"""Extra networks on a host: which are on for a pass, and which some tags would switch on. Asked of what the host itself keeps, not of the prompt:
a tag may name what is not there, and a job without extra networks leaves on what the one before had.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ...profile.networks import Network, Networks, ordered
from ...sentences import Sentence, joined, listed
from ...wording import TAG, without_tags
from . import host, texts

LORA, HYPERNETWORK = "lora", "hypernet"
#: What no host tells more of.
_PATCHED = "patches of another extension"


# -- what is on --------------------------------------------------------------------------------------------------------------------------


def active(model: object, p: object = None) -> Networks:
    """What is applied to the loaded checkpoint's `model` now; the tags of the pass of `p` say what weights alone do not.

    Files are hashed the first time they are seen. Nothing waits for the device.
    """
    told = _told(p)
    parts = _on_forge(model) if host.forge_unet(model) is not None else _on_a1111()
    found = [_network(file, unet, text, told.get(file, "")) for file, unet, text in parts]
    return ordered(one for one in [*found, *_hypernetworks(), *_others(p)] if one.unet or one.text)


def _network(file: str, unet: object, text: object, more: str = "") -> Network:
    """Of weights that are no plain numbers (some extensions have them change while sampling) nothing but their text is known."""
    odd = "" if all(map(_is_number, (unet, text))) else f"{unet} {text}"
    weights = (1.0, 1.0) if odd else (float(unet), float(text))
    return Network(Path(file).stem, _hash_of(file), *weights, " ".join(filter(None, (odd, more)))[:500])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


#: A file and its weights on the denoising network and on the text encoder.
_Part = tuple[str, object, object]


def _on_a1111() -> list[_Part]:
    loaded = getattr(sys.modules.get("networks"), "loaded_networks", [])
    return [(one.network_on_disk.filename, one.unet_multiplier, one.te_multiplier) for one in loaded]


def _on_forge(model: object) -> list[_Part]:
    """The patches count. Of the host's list the weights are taken: Forge Neo empties it while a refiner samples with everything on."""
    unet, clip = host.forge_unet(model), getattr(getattr(model.forge_objects, "clip", None), "patcher", None)
    listed = _listed(getattr(model, "current_lora_hash", None))
    if not hasattr(unet, "lora_patches"):  # reForge and Forge Classic keep no names beside the patches
        if not (getattr(unet, "patches", None) or getattr(clip, "patches", None)):
            return []
        return listed or [(_PATCHED, 1.0, 1.0)]
    on_unet, on_clip = (_patches(patcher) for patcher in (unet, clip))
    found = []
    for file in dict.fromkeys([*on_unet, *on_clip]):
        alone = on_unet.get(file) or on_clip[file]
        found += [one for one in listed if one[0] == file] or [(file, unet, text) for unet, text in zip(alone, on_clip.get(file) or alone)]
    return found


def _patches(patcher: object) -> dict[str, list]:
    """Weights of every file that patches anything."""
    found: dict[str, list] = {}
    for (file, weight, *_), keys in (getattr(patcher, "lora_patches", None) or {}).items():
        if keys:
            found.setdefault(str(file), []).append(weight)
    return found


def _listed(text: object) -> list[_Part]:
    """Forge keeps what it has applied as the text of a list: file, weight on the network, weight on the text encoder."""
    try:
        return [(file, unet, clip) for file, unet, clip, *_ in ast.literal_eval(text)]
    except (ValueError, TypeError, SyntaxError):
        return []


def _hypernetworks() -> list[Network]:
    from modules import shared

    found = []
    for one in getattr(shared, "loaded_hypernetworks", None) or []:
        layers = [layer for pair in one.layers.values() for layer in pair]
        weight = layers[0].multiplier if layers else 1.0
        found.append(_network(one.filename, weight, weight, HYPERNETWORK))
    return found


# -- what tags say -----------------------------------------------------------------------------------------------------------------------


def _told(p: object) -> dict[str, str]:
    """By file, what the tags of a pass say beside weights."""
    entries = [(_entry(one.items[0]), _parse(one.items)[2]) for kind, params in _data(p) if _owner(kind) == LORA for one in params]
    return {entry.filename: more for entry, more in entries if entry is not None and more}


def _data(p: object) -> list[tuple[str, list]]:
    name = "hr_extra_network_data" if getattr(p, "is_hr_pass", False) else "extra_network_data"
    return list((getattr(p, name, None) or {}).items())


def _others(p: object) -> list[Network]:
    """Networks of kinds that other extensions have brought: nobody here knows what they do."""
    known = (LORA, HYPERNETWORK, "")
    return [
        Network(f"{kind} {one.items[0]}", more=":".join(map(str, one.items[1:])))
        for kind, params in _data(p)
        if _owner(kind) not in known
        for one in params
    ]


def _owner(kind: str) -> str:
    """The kind that takes care of tags of this kind, "" where the host knows none."""
    from modules import extra_networks

    found = extra_networks.extra_network_registry.get(kind) or getattr(extra_networks, "extra_network_aliases", {}).get(kind)
    return getattr(found, "name", "")


def _entry(name: str) -> object | None:
    """The file that the host knows by a name or an alias."""
    module = sys.modules.get("networks")
    ambiguous = name.lower() in getattr(module, "forbidden_network_aliases", ())
    return getattr(module, "available_networks" if ambiguous else "available_network_aliases", {}).get(name)


def _parse(items: list[str]) -> tuple[float, float, str]:
    """Weights on network and text encoder as the hosts read them from a tag, and what else it says."""
    positional = [item for item in items[1:] if "=" not in item]
    named = dict(item.split("=", 1) for item in items[1:] if "=" in item)
    odd = [item for item in positional[:2] if _number(item) is None]
    text = _number(named.pop("te", None) or next(iter(positional), None))
    unet = _number(named.pop("unet", None) or next(iter(positional[1:]), None))
    text = 1.0 if text is None else text
    dyn = named.pop("dyn", None) or next(iter(positional[2:]), None)
    said = [*odd, *([f"dyn={dyn}"] if dyn else []), *positional[3:], *(f"{name}={value}" for name, value in sorted(named.items()))]
    return text if unet is None else unet, text, ":".join(said)


def _number(text: str | None) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def wanted(text: str) -> Networks:
    """What some tags would switch on; nothing is loaded for it.

    Raises
    ------
    ValueError
        Naming what is no tag, which network the host cannot find, or what of a tag the host does not read: block weights (``lbw=``) and the like are
        other extensions' to apply, who work them into the loaded weights only while they take part in a job. Here they would not be on.
    """
    rest = without_tags(text).strip(" ,;\n\t")
    if rest:
        raise ValueError(Sentence(texts.NETWORKS_ON["no tag"], tag=repr(rest[:60])))
    found = [_wanted(*tag.groups()) for tag in TAG.finditer(text)]
    return ordered(one for one in found if one.unet or one.text)


def _wanted(kind: str, told: str) -> Network:
    name, *_ = items = told.split(":")
    owner = _owner(kind)
    if owner == HYPERNETWORK:
        from modules import shared

        file = getattr(shared, "hypernetworks", {}).get(name)
        weight = _number(items[1]) if len(items) > 1 else 1.0
    elif owner == LORA:
        if _entry(name) is None:
            sys.modules["networks"].list_available_networks()  # as the hosts do: it may have come a moment ago
        file = getattr(_entry(name), "filename", None)
    else:
        raise ValueError(Sentence(texts.NETWORKS_ON["kind"], tag=f"<{kind}:…>"))
    if file is None:
        raise ValueError(Sentence(texts.NETWORKS_ON["none"], name=repr(name), tag=f"<{kind}:{told}>"))
    if owner == HYPERNETWORK:
        return _network(file, weight, weight, HYPERNETWORK)
    unet, text, more = _parse(items)
    foreign = more.removeprefix("dyn=").partition(":")[2] if more.startswith("dyn=") else more
    if foreign:
        raise ValueError(Sentence(texts.NETWORKS_ON["foreign"], part=foreign, tag=f"<{kind}:{told}>"))
    return _network(file, unet, text, more)


# -- files -------------------------------------------------------------------------------------------------------------------------------


def _hash_of(file: str) -> str:
    """SHA-256 of a file, "" where there is none. What a file says of its own hash may be another file's."""
    try:
        stat = os.stat(file)
        return _hashed(file, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return ""


@lru_cache(maxsize=1000)
def _hashed(file: str, changed: int, size: int) -> str:
    found = hashlib.sha256()
    with open(file, "rb") as opened:
        for part in iter(lambda: opened.read(1 << 20), b""):
            found.update(part)
    return found.hexdigest()


def differ(wanted: Iterable[Network], found: Iterable[Network]) -> str:
    """Why a host has not done as asked, for people; "" where it has. What only has another name is the same."""
    wanted, found = ordered(wanted), ordered(found)
    if [one.rank for one in wanted] == [one.rank for one in found]:
        return ""
    missing = [str(one) for one in wanted if one.rank not in {other.rank for other in found}]
    extra = [str(one) for one in found if one.rank not in {other.rank for other in wanted}]
    said = [Sentence(texts.NETWORKS_ON["missing"], networks=listed(missing))] if missing else []
    return joined("; ", [*said, *([Sentence(texts.NETWORKS_ON["many" if len(extra) > 1 else "one"], networks=listed(extra))] if extra else [])])
