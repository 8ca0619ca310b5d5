"""LoRA as the hosts have it: files of a folder by name and alias, those that are loaded, and their weights added to the network's.

A1111 keeps what is on in `loaded_networks`, with the weights. Forge keeps it at the checkpoint: as the text of a list, and in patches; where it
does not find one, an error leaves none on. Forge Neo and ersatzForge leave out what they do not find.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import torch
from modules import extra_networks, shape, shared
from safetensors import safe_open
from safetensors.torch import load_file

available_networks: dict[str, NetworkOnDisk] = {}
available_network_aliases: dict[str, NetworkOnDisk] = {}
forbidden_network_aliases: dict[str, int] = {}
loaded_networks: list[SimpleNamespace] = []
#: What the network's weights are now: files with their weights, and the weights as they were.
_applied: tuple = ()
_in_force: tuple[tuple[str, float], ...] = ()
_before: dict[str, torch.Tensor] = {}


class NetworkOnDisk:
    def __init__(self, path: Path) -> None:
        self.name, self.filename = path.stem, str(path)
        with safe_open(path, "pt") as file:
            self.alias = (file.metadata() or {}).get("ss_output_name", self.name)
        self.hash = hashlib.sha256(path.read_bytes()).hexdigest()
        self.shorthash = self.hash[:12]


def list_available_networks() -> None:
    for known in (available_networks, available_network_aliases, forbidden_network_aliases):
        known.clear()
    for path in sorted(Path(shared.cmd_opts.lora_dir).glob("*.safetensors")) if shared.cmd_opts.lora_dir else ():
        entry = available_networks[path.stem] = NetworkOnDisk(path)
        if entry.alias in available_network_aliases:
            forbidden_network_aliases[entry.alias.lower()] = 1
        available_network_aliases[path.stem] = available_network_aliases[entry.alias] = entry


def _find(name: str) -> NetworkOnDisk | None:
    known = available_networks if name.lower() in forbidden_network_aliases else available_network_aliases
    return known.get(name)


def load_networks(names, te_multipliers, unet_multipliers, dyn_dims) -> None:
    loaded_networks.clear()
    entries = [_find(name) for name in names]
    if None in entries:
        list_available_networks()
        entries = [_find(name) for name in names]
    for entry, name, te, unet, dyn in zip(entries, names, te_multipliers, unet_multipliers, dyn_dims):
        if entry is not None or (shape.FORGE and not shape.FLAVOUR):
            told = {} if shape.FORGE else {"te_multiplier": te, "unet_multiplier": unet, "dyn_dim": dyn}
            assert entry is not None, f"no network {name}"
            loaded_networks.append(SimpleNamespace(name=name, network_on_disk=entry, mentioned_name=name, **told))
    if shape.FORGE:
        _patch([[entry.filename, unet, te, False] for entry, te, unet in zip(entries, te_multipliers, unet_multipliers) if entry is not None])


def _patch(targets: list[list]) -> None:
    model = shared.sd_model
    if model.current_lora_hash == str(targets):
        return
    model.current_lora_hash = str(targets)
    objects = model.forge_objects
    objects.unet = objects.unet.clone()
    objects.unet.lora_patches = {}
    objects.clip = SimpleNamespace(patcher=SimpleNamespace(lora_patches={}))
    for file, unet, te, online in targets:
        keys = load_file(file)
        if any(key.split(".")[0] in _modules() for key in keys):
            objects.unet.lora_patches[file, unet, 1.0, online] = {key: [unet] for key in keys}
        if "lora_te_all" in keys:
            objects.clip.patcher.lora_patches[file, te, 1.0, online] = {"all": [te]}


def _modules() -> dict[str, torch.nn.Module]:
    from modules import sd_models

    found = sd_models._bed().unet.named_modules()
    return {"lora_unet_" + name.replace(".", "_"): module for name, module in found if isinstance(module, torch.nn.Linear)}


def _weights(part: str) -> list[tuple[str, float]]:
    """Files that change a part, with their weights."""
    if not shape.FORGE:
        return [(one.network_on_disk.filename, one.te_multiplier if part == "text" else one.unet_multiplier) for one in loaded_networks]
    objects = shared.sd_model.forge_objects
    return [(file, weight) for file, weight, _, _ in (objects.clip.patcher if part == "text" else objects.unet).lora_patches]


def in_force() -> tuple[tuple[str, float], ...]:
    """What the network's weights are now: the files' digests, and their weights in it."""
    return _in_force


def apply() -> None:
    """Bring the network's weights up to date."""
    global _applied, _in_force
    wanted = tuple(_weights("unet"))
    if wanted == _applied:
        return
    modules = _modules()
    for name, weight in _before.items():
        modules[name].weight.data.copy_(weight)
    _before.clear()
    for file, weight in wanted:
        keys = load_file(file)
        for name in {key.split(".")[0] for key in keys} & modules.keys():
            _before.setdefault(name, modules[name].weight.data.clone())
            own = modules[name].weight.data
            if f"{name}.lokr_w1" in keys:  # LyCORIS
                own += weight * torch.kron(keys[f"{name}.lokr_w1"], keys[f"{name}.lokr_w2"])
                continue
            update = keys[f"{name}.lora_up.weight"] @ keys[f"{name}.lora_down.weight"]
            if f"{name}.dora_scale" in keys:  # the sum keeps the direction, its columns have lengths of their own
                whole = own + update
                update = whole / whole.norm(dim=0, keepdim=True) * keys[f"{name}.dora_scale"] - own
            own += weight * update
    _applied, _in_force = wanted, tuple((hashlib.sha256(Path(file).read_bytes()).hexdigest(), weight) for file, weight in wanted)


def told_text(cross: torch.Tensor) -> torch.Tensor:
    """What the text encoder says, with the networks that change it."""
    for file, weight in _weights("text"):
        cross = cross + weight * load_file(file).get("lora_te_all", torch.zeros(1))
    return cross


class ExtraNetworkLora(extra_networks.ExtraNetwork):
    def __init__(self):
        super().__init__("lora")

    def activate(self, p, params_list):
        rows = []
        for one in params_list:
            told = dict(zip(("name", "te", "unet", "dyn"), one.positional)) | one.named
            te = float(told.get("te", 1.0))
            rows.append((told["name"], te, float(told.get("unet", te)), told.get("dyn")))
        load_networks(*(list(column) for column in zip(*rows))) if rows else load_networks([], [], [], [])


def register() -> None:
    lora = ExtraNetworkLora()
    extra_networks.register_extra_network(lora)
    extra_networks.register_extra_network_alias(lora, "lyco")
    list_available_networks()
