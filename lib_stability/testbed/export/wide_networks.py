"""The testbed's networks in Stable Diffusion 1.5's sizes: other tensors, the same function.

Where the wide networks have more blocks than the testbed's, those do nothing: nothing comes out of their last layer. Heads of attention keep their
numbers in the first places of the wider heads; softmax divides by the square root of a head's width, which the queries make up for. The time
embedding is another one (`wide_time`) and two group norms need a U-Net that was trained for them (`regroup`).

Each function returns tensors by the names that diffusers and transformers give them, float64.
"""

from __future__ import annotations

import torch
from torch import nn

from ..network.model import UNET_CONFIG
from .wide_channels import Spread

#: What Forge knows Stable Diffusion 1.5 by, or takes from its own copy of that model's configuration. The U-Net's levels and blocks it reads off the
#: checkpoint, so those stay the testbed's; where the number of channels changes between levels it has to change in the wide one too.
UNET_WIDTHS, UNET_HEADS, CONTEXT, TIME = (320, 640, 640), 8, 768, 1280
UNET_SPREADS = {narrow: Spread.groups(narrow, wide) for narrow, wide in zip(UNET_CONFIG["block_out_channels"], UNET_WIDTHS)}
VAE_WIDTHS, VAE_DEPTH, VAE_SCALE = (128, 256, 512, 512), 2, 0.18215
TEXT_LAYERS, TEXT_HEADS, TEXT_HIDDEN = 12, 12, 3072

Tensors = dict[str, torch.Tensor]


def _join(parts: dict[str, Tensors]) -> Tensors:
    return {f"{name}.{key}": value for name, tensors in parts.items() for key, value in tensors.items()}


def _layer(layer: nn.Module, into: Spread | None, out: Spread | None, gain: float = 1.0) -> Tensors:
    """A linear layer or convolution between two spreads; None for an end that stays as it is."""
    found = {name: gain * value.detach().double() for name, value in layer.named_parameters()}
    if out is not None:
        found = {name: out.write(value) for name, value in found.items()}
    return found if into is None else found | {"weight": into.read(found["weight"])}


def _norm(norm: nn.Module, spread: Spread) -> Tensors:
    return {"weight": spread.scale(norm.weight), "bias": spread.scale(norm.bias)}


def _resnet(block: nn.Module, into: Spread, out: Spread, time: Spread | None = None) -> Tensors:
    parts = {
        "norm1": _norm(block.norm1, into),
        "conv1": _layer(block.conv1, into, out),
        "norm2": _norm(block.norm2, out),
        "conv2": _layer(block.conv2, out, out),
    }
    if time is not None:
        parts["time_emb_proj"] = _layer(block.time_emb_proj, time, out)
    if block.conv_shortcut is not None:
        parts["conv_shortcut"] = _layer(block.conv_shortcut, into, out)
    elif into.wide != out.wide:
        weight = into.read(out.matrix)
        parts["conv_shortcut"] = {"weight": weight[:, :, None, None], "bias": torch.zeros(out.wide)}
    return _join(parts)


def _heads(narrow: int, heads: int, wide: int, wide_heads: int) -> tuple[Spread, float]:
    """Where the heads' channels go, and the factor on queries that softmax's other divisor asks for."""
    width, wide_width = narrow // heads, wide // wide_heads
    places = torch.arange(heads)[:, None] * wide_width + torch.arange(width)
    return Spread.at(places.flatten(), wide), (wide_width / width) ** 0.5


def _attention(block: nn.Module, into: Spread, source: Spread, heads: int) -> Tensors:
    inner, gain = _heads(block.to_q.out_features, block.heads, into.wide, heads)
    return _join(
        {
            "to_q": _layer(block.to_q, into, inner, gain),
            "to_k": _layer(block.to_k, source, inner),
            "to_v": _layer(block.to_v, source, inner),
            "to_out.0": _layer(block.to_out[0], inner, into),
        }
    )


def _transformer(block: nn.Module, spread: Spread, context: Spread) -> Tensors:
    """One block of cross-attention with its norm and its two projections."""
    parts = {"norm": _norm(block.norm, spread), "proj_in": _layer(block.proj_in, spread, spread), "proj_out": _layer(block.proj_out, spread, spread)}
    inner, name = block.transformer_blocks[0], "transformer_blocks.0"
    hidden = Spread.first(inner.ff.net[2].in_features, 4 * spread.wide)
    parts |= {f"{name}.{norm}": _norm(getattr(inner, norm), spread) for norm in ("norm1", "norm2", "norm3")}
    parts[f"{name}.attn1"] = _attention(inner.attn1, spread, spread, UNET_HEADS)
    parts[f"{name}.attn2"] = _attention(inner.attn2, spread, context, UNET_HEADS)
    gated = _layer(inner.ff.net[0].proj, spread, None)  # values, then gates
    parts[f"{name}.ff.net.0.proj"] = {key: torch.cat([hidden.write(half) for half in value.chunk(2)]) for key, value in gated.items()}
    parts[f"{name}.ff.net.2"] = _layer(inner.ff.net[2], hidden, spread)
    return _join(parts)


def unet(net: nn.Module, time_embedding: Tensors) -> Tensors:
    """The U-Net; `time_embedding` are the tensors that `wide_time` found for it, by their names in that layer."""
    by_width = UNET_SPREADS
    # A skip connection's channels lie behind the level's own; in the testbed those are never fewer.
    stacks = {one + two: by_width[one].beside(by_width[two]) for one in by_width for two in by_width if one >= two}
    context, time = Spread.copies(net.config.cross_attention_dim, CONTEXT), Spread.first(net.time_embedding.linear_2.out_features, TIME)
    first = by_width[net.config.block_out_channels[0]]
    parts = {"conv_in": _layer(net.conv_in, None, first), "conv_norm_out": _norm(net.conv_norm_out, first)}
    parts["conv_out"] = _layer(net.conv_out, first, None)
    parts["time_embedding"] = time_embedding | {name: time.write(time_embedding[name]) for name in ("linear_2.weight", "linear_2.bias")}
    for name, block in net.named_modules():
        kind = type(block).__name__
        if kind == "ResnetBlock2D":
            into, out = block.conv1.in_channels, block.conv1.out_channels
            parts[name] = _resnet(block, by_width.get(into) or stacks[into], by_width[out], time)
        elif kind == "Transformer2DModel":
            parts[name] = _transformer(block, by_width[block.proj_in.in_channels], context)
        elif kind in ("Downsample2D", "Upsample2D"):
            spread = by_width[block.conv.in_channels]
            parts[f"{name}.conv"] = _layer(block.conv, spread, spread)
    return _join(parts)


def _still(width: int) -> Tensors:
    """A residual block from which nothing comes out."""
    ends = {f"{part}.{kind}": torch.zeros(width) for part in ("norm1", "conv1", "norm2", "conv2") for kind in ("weight", "bias")}
    return ends | {f"{part}.weight": torch.zeros(width, width, 3, 3) for part in ("conv1", "conv2")}


def vae(net: nn.Module, scale: float) -> Tensors:
    """The autoencoder, with Stable Diffusion's latent scale instead of `scale`."""
    spreads = [Spread.copies(narrow, width) for narrow, width in zip(net.config.block_out_channels, VAE_WIDTHS)]
    last, parts = spreads[-1], {}
    for half, order in (("encoder", spreads), ("decoder", spreads[::-1])):
        side, now = getattr(net, half), order[0]
        ends = {"conv_in": _layer(side.conv_in, None, now), "conv_norm_out": _norm(side.conv_norm_out, order[-1])}
        ends["conv_out"] = _layer(side.conv_out, order[-1], None)
        attention = side.mid_block.attentions[0]
        ends |= {f"mid_block.resnets.{index}": _resnet(block, last, last) for index, block in enumerate(side.mid_block.resnets)}
        ends["mid_block.attentions.0"] = _attention(attention, last, last, 1) | _join({"group_norm": _norm(attention.group_norm, last)})
        parts |= {f"{half}.{name}": tensors for name, tensors in ends.items()}
        blocks, resize = (side.down_blocks, "downsamplers") if half == "encoder" else (side.up_blocks, "upsamplers")
        for level, (block, spread) in enumerate(zip(blocks, order)):
            name = f"{half}.{'down' if half == 'encoder' else 'up'}_blocks.{level}"
            for index, resnet in enumerate(block.resnets):
                parts[f"{name}.resnets.{index}"] = _resnet(resnet, now, spread)
                now = spread
            for index in range(len(block.resnets), VAE_DEPTH if half == "encoder" else VAE_DEPTH + 1):
                parts[f"{name}.resnets.{index}"] = _still(spread.wide)
            for change in getattr(block, resize) or ():
                parts[f"{name}.{resize}.0.conv"] = _layer(change.conv, spread, spread)
    ratio, channels = scale / VAE_SCALE, net.config.latent_channels
    moments, post = _layer(net.quant_conv, None, None), _layer(net.post_quant_conv, None, None)
    for value in moments.values():
        value[:channels] *= ratio
    moments["bias"][channels:] += 2 * torch.tensor(ratio, dtype=torch.float64).log()
    post["weight"] /= ratio
    return _join(parts | {"quant_conv": moments, "post_quant_conv": post})


def text(net: nn.Module, table: torch.Tensor) -> Tensors:
    """CLIP's text encoder; `table` is the token table to take, (tokens, width) of the testbed's own."""
    net = getattr(net, "text_model", net)
    spread = Spread.copies(table.shape[1], CONTEXT)
    hidden = Spread.first(net.config.intermediate_size, TEXT_HIDDEN)
    places = {"token_embedding": table, "position_embedding": net.embeddings.position_embedding.weight}
    parts = {f"embeddings.{name}": {"weight": spread.write(value.T).T} for name, value in places.items()}
    for index, layer in enumerate(net.encoder.layers):
        own = layer.self_attn
        inner, gain = _heads(own.q_proj.out_features, own.num_heads, CONTEXT, TEXT_HEADS)
        found = {name: _norm(getattr(layer, name), spread) for name in ("layer_norm1", "layer_norm2")}
        found |= {f"self_attn.{name}": _layer(getattr(own, name), spread, inner) for name in ("k_proj", "v_proj")}
        found["self_attn.q_proj"] = _layer(own.q_proj, spread, inner, gain)
        found["self_attn.out_proj"] = _layer(own.out_proj, inner, spread)
        found |= {"mlp.fc1": _layer(layer.mlp.fc1, spread, hidden), "mlp.fc2": _layer(layer.mlp.fc2, hidden, spread)}
        parts[f"encoder.layers.{index}"] = _join(found)
    final = net.final_layer_norm
    parts["final_layer_norm"] = {"weight": spread.write(final.weight), "bias": spread.write(final.bias)}
    found = _join(parts)
    empty = {name: torch.zeros_like(value) for name, value in found.items() if name.startswith("encoder.layers.0.")}
    for index in range(len(net.encoder.layers), TEXT_LAYERS):
        found |= {name.replace(".0.", f".{index}.", 1): value for name, value in empty.items()}
    return found
