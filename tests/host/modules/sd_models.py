"""The testbed in the clothes of a host's checkpoint."""

from __future__ import annotations

import copy
import hashlib
from functools import cache
from types import SimpleNamespace

import networks
import torch
from k_diffusion.external import CompVisDenoiser, CompVisVDenoiser
from modules import shape, shared
from modules.prompt_parser import DictWithShape
from remembered import Remembered

from lib_stability.testbed.network.model import Testbed, alphas_cumprod
from lib_stability.testbed.network.sample import FAST_BFLOAT16
from lib_stability.testbed.world.kinds import all_words

#: Batches of pictures whose encoding and decoding are remembered.
PICTURES = 300
#: Kinds of checkpoint that match flows.
FLOWS = ("flow", "kontext", "sd3", "distilled")


class CheckpointInfo:
    def __init__(self, name: str) -> None:
        self.name = self.filename = f"{name}.safetensors"
        self.name_for_extra, self.title = name, f"{name}.safetensors"
        self.sha256 = self.shorthash = None
        self.calculate_shorthash()

    def calculate_shorthash(self) -> str | None:
        """As the hosts do it: not with --no-hashing, and on ersatzForge only where a setting says so."""
        if not shared.cmd_opts.no_hashing and getattr(shared.opts, "use_real_SHA256", not shape.ERSATZ):
            self.sha256 = hashlib.sha256(self.name.encode()).hexdigest()
            self.shorthash = self.sha256[:10]
        return self.shorthash


@cache
def _bed() -> Testbed:
    return Testbed.load()


@cache
def _network() -> Remembered:
    """The testbed's network, which most tests ask what others have asked before."""

    def evaluate(z, t, cross):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=FAST_BFLOAT16):
            return _bed().unet(z, t, cross).sample.float()

    return Remembered("network", evaluate, networks.in_force)


@cache
def _autoencoder() -> tuple[Remembered, Remembered]:
    """From latents to pixels, and back; pictures are large, so few are kept, and none in files."""
    decode, encode = (Remembered(one.__name__, one, folder="", kept=PICTURES) for one in (_bed().decode, _bed().encode))
    return decode, encode


class Checkpoint:
    """What hosts call `sd_model`. `kind` is "sd1", "sdxl", "v", "edit", one of :data:`FLOWS`; "kontext" on Forge Neo alone."""

    def __init__(self, info: CheckpointInfo, kind: str = "sd1") -> None:
        self.sd_checkpoint_info, self.sd_model_hash, self.kind = info, info.shorthash, kind
        self.is_sdxl, self.is_sd1, self.is_sd2, self.is_sd3 = kind == "sdxl", kind in ("sd1", "v", "edit"), False, kind == "sd3"
        self.parameterization = "v" if kind == "v" else "eps"
        self.cond_stage_key = "edit" if kind == "edit" else "txt"
        self.use_distilled_cfg_scale = kind == "distilled"
        self.model = SimpleNamespace(conditioning_key="crossattn")
        self.alphas_cumprod = alphas_cumprod()
        self.device = torch.device("cpu")
        #: Evaluations of the network, and their rows: images times prompts.
        self.evaluations = self.rows = 0
        if shape.FORGE:
            network = SimpleNamespace(predictor=Predictor(kind), apply_model=self.denoise)
            unet = UnetPatcher(network)
            unet.lora_patches, self.current_lora_hash = {}, str([])
            self.forge_objects = SimpleNamespace(unet=unet, clip=SimpleNamespace(patcher=SimpleNamespace(lora_patches={})))
            self.extra_generation_params = {}
        else:
            self.lowvram = False
        if shape.NEO:
            self.is_inpaint, self.ini_latent, self.ref_latents = False, None, []

    def _note(self, texts):
        """The emphasis in the prompts, for the infotext; A1111's notes grow with every text, as its embeddings' hashes do."""
        for _ in (text for text in texts if "(" in text):
            if shape.NEO:
                from backend.args import dynamic_args

                dynamic_args.last_extra_generation_params["Emphasis"] = "Original"
            elif shape.FORGE:
                from backend.text_processing import classic_engine

                classic_engine.last_extra_generation_params["Emphasis"] = "Original"
            else:
                from modules.sd_hijack import model_hijack

                model_hijack.extra_generation_params["TI hashes"] = model_hijack.extra_generation_params.get("TI hashes", "") + "x"
                model_hijack.comments.append("used an embedding")

    def _take_pictures(self):
        """Forge Neo: the picture of img2img becomes one that the network reads, once."""
        from backend.args import dynamic_args

        pictures = [*self.ref_latents]
        if self.kind == "kontext" and self.ini_latent is not None:
            pictures.insert(0, self.ini_latent)
            self.ini_latent = None
        dynamic_args.ref_latents = pictures

    def get_learned_conditioning(self, texts):
        self._note(texts)
        if shape.FORGE:
            self.forge_objects.unet.model.loaded = False  # there is no room for both
        if shape.NEO and not texts.is_negative_prompt:
            self._take_pictures()
        known = set(all_words())
        words = [" ".join(w for w in text.lower().replace(",", " ").split() if w in known) for text in texts]
        cross = networks.told_text(_bed().encode_text(words))
        if self.is_sdxl:
            size = torch.tensor([float(getattr(texts, "width", None) or 0), float(getattr(texts, "height", None) or 0)])
            return DictWithShape({"crossattn": cross, "vector": size.expand(len(words), 2).contiguous()})
        if self.use_distilled_cfg_scale:
            scale = getattr(texts, "distilled_cfg_scale", None) or 3.5
            return DictWithShape({"crossattn": cross, "vector": cross.mean(1), "guidance": torch.full((len(words),), float(scale))})
        return cross

    def _epsilon(self, z, t, cross):
        self.evaluations, self.rows = self.evaluations + 1, self.rows + len(z)
        networks.apply()
        return _network()(z, t, cross)

    def apply_model(self, z, t, cond):
        """A1111: prediction of the network for a variance-preserving latent at a timestep."""
        cross = torch.cat(cond["c_crossattn"], 1) if "c_crossattn" in cond else cond["crossattn"]
        assert len(z) == len(t) == len(cross) == len(cond["c_concat"][0])
        eps = self._epsilon(z, t.float(), cross)
        if self.parameterization != "v":
            return eps
        level = self.alphas_cumprod[t.long().clamp(0, 999)].view(-1, 1, 1, 1)
        return (eps - (1 - level).sqrt() * z) / level.sqrt()

    def denoise(self, x, sigma, cross, guidance=None):
        """Forge: the clean latent, from the host's own x and sigma; of a distilled model the guided one, at the scale that it is told."""
        if self.use_distilled_cfg_scale:
            if guidance is None:
                raise ValueError("Didn't get guidance strength for guidance distilled model.")
            empty = self._denoise(x, sigma, _bed().encode_text([""] * len(x)))
            self.evaluations, self.rows = self.evaluations - 1, self.rows - len(x)  # for the host it is one
            return torch.lerp(empty, self._denoise(x, sigma, cross), guidance.view(-1, 1, 1, 1))
        return self._denoise(x, sigma, cross)

    def _denoise(self, x, sigma, cross):
        if shape.NEO and self.kind == "kontext":
            from backend.args import dynamic_args

            for picture in dynamic_args.ref_latents:
                x = x + 0.2 * picture
        if self.kind in FLOWS:  # x = sigma * noise + (1 - sigma) * clean
            keep = (1 - sigma).clamp_min(1e-3)
            x, sigma = x / keep.view(-1, 1, 1, 1), sigma / keep
            # Purer noise than the network knows is noise of the highest level that it knows.
            x, sigma = x * (14.6 / sigma).clamp_max(1).view(-1, 1, 1, 1), sigma.clamp_max(14.6)
        known = sigma.clamp(0.03, 14.6)  # less noise than the network knows is told as the least that it knows
        z = x / (1 + known**2).sqrt().view(-1, 1, 1, 1)
        return x - sigma.clamp_max(14.6).view(-1, 1, 1, 1) * self._epsilon(z, sigma_to_t(known), cross)

    def decode_first_stage(self, latents):
        return _autoencoder()[0](latents)

    def encode_first_stage(self, pixels):
        latent = _autoencoder()[1](pixels)
        if shape.NEO and self.kind == "kontext":
            self.ini_latent = latent
        return latent


@cache
def _log_sigmas() -> torch.Tensor:
    levels = alphas_cumprod()
    return (((1 - levels) / levels) ** 0.5).log()


def sigma_to_t(sigma: torch.Tensor) -> torch.Tensor:
    """Fractional timestep of a noise level."""
    table, wanted = _log_sigmas(), sigma.log()
    low = (torch.searchsorted(table, wanted) - 1).clamp(0, 998)
    return low + ((wanted - table[low]) / (table[low + 1] - table[low])).clamp(0, 1)


class Predictor:
    """Forge's noise schedule of a checkpoint."""

    def __init__(self, kind: str) -> None:
        self.prediction_type = {"v": "v_prediction", **dict.fromkeys(FLOWS, "const")}.get(kind, "epsilon")
        self.sigmas = torch.linspace(0.001, 1.0, 10_000 if kind == "distilled" else 1000) if kind in FLOWS else _log_sigmas().exp()

        self._kind = kind
        #: Whether an even schedule ("Normal") ends above the lowest level, as that of SD 3 does.
        self.shifts = kind in FLOWS and kind != "distilled"

    def sigma(self, place):
        """Noise level at a place of a schedule that is even in those: Flux takes the place for a level, SD 3 counts to a thousand."""
        if self._kind == "distilled":
            return place
        if self._kind == "sd3":
            return place / 1000
        return self.sigmas[place.round().long()]

    def noise_scaling(self, sigma, noise, latent):
        return sigma * noise + (1 - sigma) * latent if self.prediction_type == "const" else latent + sigma * noise


class UnetPatcher:
    """What Forge has around the network: options that extensions hang their functions into."""

    def __init__(self, network: SimpleNamespace) -> None:
        self.model, self.model_options, self.lora_patches = network, {}, {}
        self.controlnet_linked_list = self.extra_concat_condition = None

    def clone(self) -> UnetPatcher:
        made = UnetPatcher(self.model)
        made.model_options, made.lora_patches = copy.deepcopy(self.model_options), dict(self.lora_patches)
        made.controlnet_linked_list, made.extra_concat_condition = self.controlnet_linked_list, self.extra_concat_condition
        return made

    def set_model_sampler_post_cfg_function(self, post_cfg_function, disable_cfg1_optimization=False):
        before = self.model_options.get("sampler_post_cfg_function", [])
        self.model_options["sampler_post_cfg_function"] = [*before, post_cfg_function]
        if disable_cfg1_optimization:
            self.model_options["disable_cfg1_optimization"] = True


class ScheduleLinker(torch.nn.Module):
    """What Forge's denoiser has for an inner model: the schedule, with the checkpoint inside."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.inner_model, self.predictor = checkpoint, checkpoint.forge_objects.unet.model.predictor
        self.sigmas = self.predictor.sigmas


def wrap(checkpoint: Checkpoint) -> torch.nn.Module:
    """The k-diffusion side of a checkpoint."""
    if shape.FORGE:
        return ScheduleLinker(checkpoint)
    return (CompVisVDenoiser if checkpoint.parameterization == "v" else CompVisDenoiser)(checkpoint)


class FakeInitialModel:
    """Stands for the checkpoint on Forge until the first job loads it."""

    sd_checkpoint_info = None


class ModelData:
    def __init__(self):
        self.sd_model = FakeInitialModel() if shape.FORGE else None
        self.wanted = ("testbed", "sd1")

    def get_sd_model(self):
        if not isinstance(self.sd_model, Checkpoint):
            self.load(*self.wanted)
        return self.sd_model

    def load(self, name: str, kind: str = "sd1") -> None:
        """Load a checkpoint; on A1111 one of the same kind goes into the object that is there."""
        self.wanted = (name, kind)
        if not shape.FORGE and isinstance(self.sd_model, Checkpoint) and self.sd_model.kind == kind:
            self.sd_model.sd_checkpoint_info = info = CheckpointInfo(name)
            self.sd_model.sd_model_hash = info.shorthash
            return
        self.sd_model = Checkpoint(CheckpointInfo(name), kind)


model_data = ModelData()


def load(info: str | None = None) -> None:
    """Load the refiner `info`, or go back to the main checkpoint."""
    name, kind = model_data.wanted
    if info is not None:
        model_data.load(info, kind)
        model_data.wanted = (name, kind)
    elif shared.sd_model.sd_checkpoint_info.name_for_extra != name:
        model_data.load(name, kind)


# What extensions know it by.
if not shape.NEO:
    reload_model_weights = load
if shape.FORGE:
    forge_model_reload = load
