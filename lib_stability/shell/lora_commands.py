"""``lora`` on the command line: what is done to a LoRA's file itself, without a web UI and without an accelerator."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..networks.filtering import Row


def add_command(commands: argparse._SubParsersAction, bounded: Callable, parser_class: type) -> None:
    """Add the command; `bounded` makes an argparse type for a range."""
    lora = commands.add_parser("lora", help="clean a LoRA's file of what its training pictures left in it")
    actions = lora.add_subparsers(dest="action", required=True, metavar="action", parser_class=parser_class)
    clean = actions.add_parser("clean", help="suppress the parts of a LoRA that lie outside its base checkpoint's main directions")
    clean.add_argument("source", type=Path, metavar="IN", help="a LoRA as .safetensors, in kohya's names")
    clean.add_argument("target", type=Path, metavar="OUT", help="file to write")
    clean.add_argument("--base", type=Path, required=True, metavar="CHECKPOINT", help="the Stable Diffusion 1.x or SDXL .safetensors of its training")
    clean.add_argument("--share", type=bounded(float, 0, 1), default=0.5, help="share of its channels that go, the least aligned (%(default)s)")
    clean.add_argument("--force", action="store_true", help="write over a file that is there")


def main(arguments: argparse.Namespace) -> int:
    """Run the command; ValueError or OSError for bad use."""
    from ..networks import files, filtering
    from ..networks.base import Base

    source, target = arguments.source, arguments.target
    for path in (source, arguments.base):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file")
    if target.suffix != ".safetensors":
        raise ValueError(f"{target}: the file to write has to end in .safetensors")
    if target.exists() and not arguments.force:
        raise FileExistsError(f"{target} is there; --force writes over it")
    network = files.read(source)
    cleaned, rows, missing = filtering.clean(network, Base(arguments.base), arguments.share)
    about = {**network.about, "cleaned": f"base-anchored filtering, {arguments.share:g} of the channels suppressed"}
    # What a file says of its own hash is no longer true.
    about = {name: text for name, text in about.items() if name not in ("sshs_model_hash", "sshs_legacy_hash")}
    files.write(target, files.Network(cleaned.layers, cleaned.others, about))
    print(report(rows, missing))
    if network.others:
        print(f"\n{len(network.others)} tensors of other kinds (LyCORIS, DoRA and the like) stay as they are, such as {min(network.others)}")
    print(f"\nWritten to {target}. Compare pictures of both: what it does to yours is not known.")
    return 0


def report(rows: Sequence[Row], missing: Sequence[str]) -> str:
    """Before and after: channels and energy of each block, and the layers that were not found."""
    from ..networks.filtering import block

    blocks: dict[str, list[Row]] = {}
    for row in rows:
        blocks.setdefault(block(row.layer), []).append(row)
    width = max(map(len, blocks))
    lines = [f"{'block':{width}}  layers  channels kept  energy kept"]
    for name, own in [*blocks.items(), ("all", list(rows))]:
        kept, every = sum(row.kept for row in own), sum(row.channels for row in own)
        energy = sum(row.energy for row in own)
        share = f"{sum(row.energy_kept for row in own) / energy:.0%}" if energy else "–"
        lines.append(f"{name:{width}}  {len(own):6}  {f'{kept} of {every}':>13}  {share:>11}")
    if missing:
        lines.append(f"\n{len(missing)} layers are not in the base checkpoint, or in another shape, and stay as they are: {', '.join(missing)}")
    return "\n".join(lines)
