"""The testbed's networks: Stable Diffusion 1's layout in small, from diffusers and transformers parts.

Latents have 4 channels at an eighth of the picture's size, the noise schedule is SD 1's scaled-linear one with epsilon prediction, captions are
padded to 77 tokens as SD 1 pads them. Only the embeddings of the words in use are kept; `token_ids` says where they stand in CLIP's vocabulary.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from ..world import eight_bits
from ..world.kinds import all_words
from .variants import MAIN, PLAIN, VARIANTS, Variant

MAX_TOKENS = 77
BOS, EOS = 0, 1
CLIP_BOS, CLIP_EOS = 49406, 49407
LATENT_CHANNELS = 4
#: First and last beta of the noise schedule, and how many there are.
LINEAR_START, LINEAR_END, TIMESTEPS = 0.00085, 0.012, 1000
#: What a flow model's U-Net is told at the time 1, where all is noise, and a distilled one for one unit of its guidance scale.
FLOW_TIME, SCALE_UNIT = 1000.0, 100.0
LATENT_SIZE = MAIN.side
_NESTED = "text_model."
WEIGHTS = MAIN.weights

VAE_CONFIG = dict(
    in_channels=3,
    out_channels=3,
    block_out_channels=(32, 32, 64, 64),
    layers_per_block=1,
    latent_channels=LATENT_CHANNELS,
    norm_num_groups=32,
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
)
UNET_CONFIG = MAIN.unet()
TEXT_CONFIG = dict(
    hidden_size=128,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=MAX_TOKENS,
    hidden_act="quick_gelu",
)


def betas() -> np.ndarray:
    """SD 1's scaled-linear noise schedule, shape (1000,), float64.

    By numpy's single operations, each rounded as IEEE 754 says: torch's `linspace` gives other last bits on other processors, and an exported
    checkpoint, which holds the schedule, is known by its hash.
    """
    first, last = math.sqrt(LINEAR_START), math.sqrt(LINEAR_END)
    return np.square(first + np.arange(TIMESTEPS) / (TIMESTEPS - 1) * (last - first))


def alphas_cumprod() -> torch.Tensor:
    """The products of 1 - beta, shape (1000,), float32."""
    return torch.from_numpy(np.cumprod(1 - betas())).float()


def token_ids(words: Sequence[str] | None = None) -> dict[str, int]:
    """Each word of the captions (of the main world's, if no others are given) and its token in CLIP's own vocabulary."""
    from clip.simple_tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    found = {}
    for word in words or all_words():
        tokens = tokenizer.encode(word)
        if len(tokens) != 1:
            raise ValueError(f"{word!r} is not a single token of CLIP's vocabulary")
        found[word] = tokens[0]
    return found


def tokenize(captions: list[str], known: Sequence[str] | None = None) -> torch.Tensor:
    """Rows of the testbed's own token numbers, int64 of shape (batch, 77): BOS, words, then EOS to the end.

    `known` are the words in the order of their embeddings, by default the main world's.

    Raises
    ------
    ValueError
        A word that no caption of the testbed holds.
    """
    numbers = {word: index + 2 for index, word in enumerate(known or all_words())}
    rows = torch.full((len(captions), MAX_TOKENS), EOS, dtype=torch.long)
    rows[:, 0] = BOS
    for row, caption in zip(rows, captions):
        words = caption.lower().replace(",", " ").split()
        unknown = [word for word in words if word not in numbers]
        if unknown:
            raise ValueError(f"the testbed does not know the word {unknown[0]!r}")
        for position, word in enumerate(words[: MAX_TOKENS - 2], start=1):
            row[position] = numbers[word]
    return rows


def _opened(path: Path | str) -> safe_open:
    """A file of weights whose card says that they are the testbed's; else ValueError, which names the command that makes what is not there."""
    if not Path(path).exists():
        known = [name for name, one in VARIANTS.items() if one.weights == Path(path)]
        raise ValueError(f"{path} is not there" + (f": python -m lib_stability testbed train --variant {known[0]} --install" if known else ""))
    try:
        file = safe_open(str(path), framework="pt")
        if "testbed" in (file.metadata() or {}):
            return file
    except SafetensorError:
        pass
    raise ValueError(f"{path} holds no weights of the testbed")


@dataclass
class Testbed:
    """The three networks and the latent scale (SD 1's `scaling_factor`)."""

    __test__ = False  # not a test case, whatever its name suggests

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text: CLIPTextModel
    scale: float = 1.0
    variant: Variant = MAIN

    @classmethod
    def create(cls, variant: Variant = MAIN) -> Testbed:
        """Fresh networks with random weights."""
        text = CLIPTextConfig(vocab_size=len(variant.world.all_words()) + 2, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=EOS, **TEXT_CONFIG)
        return cls(AutoencoderKL(**VAE_CONFIG), UNet2DConditionModel(**variant.unet()), CLIPTextModel(text), variant=variant)

    @classmethod
    def load(cls, path: Path | str = WEIGHTS) -> Testbed:
        """The trained networks from a safetensors file, float32, in eval mode. All have the autoencoder of the main one's file, and flow models its
        text encoder.

        Raises
        ------
        ValueError
            The file holds no weights of the testbed.
        """
        parts: dict[str, dict] = {"vae": {}, "unet": {}, "text": {}}
        with _opened(path) as file:
            card = json.loads(file.metadata()["testbed"])
            self = cls.create(VARIANTS[card.get("variant", MAIN.name)])
            self.scale = float(card["scale"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
        for key, value in eight_bits.unpacked(tensors).items():
            part, name = key.split(".", 1)
            parts[part][name] = value
        # transformers before 5 has the text model's networks one level further down.
        nested = next(iter(self.text.state_dict())).startswith(_NESTED)
        parts["text"] = {(_NESTED if nested else "") + name: value for name, value in parts["text"].items()}
        main = None if all(parts.values()) else cls.load()
        for part, state in parts.items():
            getattr(self, part).load_state_dict(state or getattr(main, part).state_dict())
        return self.eval()

    def save(self, path: Path | str, **card) -> None:
        """Write all weights as safetensors in eight bits (:mod:`.eight_bits`); `card` goes into the file's metadata."""
        own = (("vae",) if self.variant in (MAIN, PLAIN) else ()) + (("unet",) if self.variant.flow else ("unet", "text"))
        tensors = {f"{part}.{name.removeprefix(_NESTED)}": value for part in own for name, value in getattr(self, part).state_dict().items()}
        card |= {"scale": self.scale} if self.variant is MAIN else {"scale": self.scale, "variant": self.variant.name}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_file(eight_bits.packed(tensors), str(path), metadata={"testbed": json.dumps(card)})

    def eval(self) -> Testbed:
        for part in (self.vae, self.unet, self.text):
            part.eval().requires_grad_(False)
        return self

    def encode_text(self, captions: list[str]) -> torch.Tensor:
        """Conditioning of shape (batch, 77, 128)."""
        return self.text(tokenize(captions, self.variant.world.all_words())).last_hidden_state

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Scaled latents (batch, 4, h, w) of pictures (batch, 3, 8h, 8w) in -1..1."""
        return self.vae.encode(pixels).latent_dist.mode() * self.scale

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures (batch, 3, 8h, 8w), clamped to -1..1."""
        return self.vae.decode(latents / self.scale).sample.clamp(-1, 1)
