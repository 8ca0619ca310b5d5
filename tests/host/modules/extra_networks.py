"""Tags of networks in prompts: parsed, taken out, and handed to whoever is registered for their kind."""

from __future__ import annotations

import re
from collections import defaultdict

from modules import errors

extra_network_registry: dict[str, ExtraNetwork] = {}
extra_network_aliases: dict[str, ExtraNetwork] = {}
_TAG = re.compile(r"<(\w+):([^>]+)>")


class ExtraNetworkParams:
    def __init__(self, items):
        self.items = items
        self.named = dict(item.split("=", 1) for item in items if item.count("=") == 1)
        self.positional = [item for item in items if item.count("=") != 1]


class ExtraNetwork:
    def __init__(self, name):
        self.name = name

    def activate(self, p, params_list):
        raise NotImplementedError


def register_extra_network(one):
    extra_network_registry[one.name] = one


def register_extra_network_alias(one, alias):
    extra_network_aliases[alias] = one


def parse_prompts(prompts):
    """The prompts without tags, and the tags of the first of them: those count for the whole batch."""
    found = defaultdict(list)
    for tag in _TAG.finditer(prompts[0]) if prompts else ():
        found[tag[1]].append(ExtraNetworkParams(tag[2].split(":")))
    return [_TAG.sub("", prompt) for prompt in prompts], found


def activate(p, data):
    """Everyone who is registered is told, also of nothing."""
    asked = {one: [] for one in extra_network_registry.values()}
    for kind, params in (data or {}).items():
        owner = extra_network_registry.get(kind) or extra_network_aliases.get(kind)
        if owner is not None:
            asked[owner] += params
    for one, params in asked.items():
        try:
            one.activate(p, params)
        except Exception:
            errors.report(f"activating extra network {one.name}", exc_info=True)
            one.activate(p, [])  # whatever was on is off then
