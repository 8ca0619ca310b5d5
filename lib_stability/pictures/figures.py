"""Pictures for people: trajectories against their region, and montages. Matplotlib is imported only when a plot is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..guard.region import STATISTICS, StabilityRegion, Trajectory
from ..sentences import Figure, spoken
from . import palette

LABELS = {"rate": "update norm per radian of noise angle, RMS(v)", "clean": "clean prediction, RMS(D)"}
#: What else is written into the picture of a region.
BAND_LABEL, NOISE, TITLE = "region, ±{spreads} spreads", "sigma (sampling runs to the right)", "Stability region at guidance {guidance}"
#: Colour-blind safe, and told apart by line style as well.
BAND, ORDINARY, FLAGGED = "#4477aa", "#228833", "#cc3311"


def region(
    path: Path,
    shape: StabilityRegion,
    guidance: float,
    threshold: float,
    ordinary: Sequence[Trajectory] = (),
    flagged: Sequence[Trajectory] = (),
    title: str = "",
    say: Callable[..., str] = spoken,
) -> None:
    """Both norms over noise level: the region's mean and its band up to `threshold` spreads at one guidance scale, and runs drawn over it.

    Where runs differ in guidance from `guidance` the band is not theirs; draw runs of one scale. `say` finds the words of another language; where no
    font has its letters they stay English.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    write = _drawable(say)
    sigma = torch.tensor(np.exp(shape.knots_) if shape.parameterisation == "sigma" else 1 / (1 + np.exp(-shape.knots_)), dtype=torch.float32)
    mean, spread, _ = (value.numpy() for value in shape.look_up(sigma, guidance))
    figure, panels = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for column, (panel, name) in enumerate(zip(panels, STATISTICS)):
        top = mean[:, column] * (1 + threshold * spread[:, column])
        low = np.maximum(mean[:, column] * (1 - threshold * spread[:, column]), 0)
        panel.fill_between(sigma, low, top, color=BAND, alpha=0.25, label=write(BAND_LABEL, spreads=Figure(f"{threshold:.2g}")))
        panel.plot(sigma, mean[:, column], color=BAND, lw=1.5)
        for runs, colour, style, label in ((ordinary, ORDINARY, "--", "ordinary runs"), (flagged, FLAGGED, "-", "memorized runs")):
            for index, run in enumerate(runs):
                panel.plot(run.sigma, getattr(run, name), style, color=colour, lw=0.8, alpha=0.7, label=label if index == 0 else None)
        panel.set(xscale="log", xlabel=write(NOISE), ylabel=write(LABELS[name]))
        panel.invert_xaxis()
        panel.grid(alpha=0.2)
    panels[0].legend(fontsize=8)
    figure.suptitle(write(title) if title else write(TITLE, guidance=Figure(f"{guidance:g}")))
    palette.save_figure(path, figure)
    plt.close(figure)


def _drawable(say: Callable[..., str]) -> Callable[..., str]:
    """The same words, English where the font would draw boxes in the place of letters."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))

    def write(text: str, **values: object) -> str:
        said = say(text, **values)
        return said if all(font.get_char_index(ord(letter)) for letter in said) else spoken(text, **values)

    return write


def scatter(path: Path, rows: Sequence[dict], title: str) -> None:
    """Damping rows: copies left over against attributes kept, relative to ordinary runs; colour and fill tell the policy, markers the case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    def case(row: dict) -> str:
        negative = "" if row["negative"] == "none" else ", with a negative prompt"
        return f"{row['sampler']} {row['steps']}{negative}"

    def point(colour: str, fill: str, marker: str) -> dict:
        return dict(color=colour, fillstyle=fill, marker=marker, markersize=8, linestyle="none", markeredgewidth=1.3)

    looks = dict(zip(dict.fromkeys(row["policy"] for row in rows), zip((ORDINARY, BAND, FLAGGED), ("full", "none", "left"))))
    markers = dict(zip(dict.fromkeys(map(case, rows)), itertools.cycle("osD^vP*X")))
    figure, panel = plt.subplots(figsize=(9, 4.5), layout="constrained")
    panel.axhline(0, color="grey", lw=0.8)
    panel.axvline(0, color="grey", lw=0.8)
    for row in rows:
        x, y = 100 * (row["copies_after"] - row["copies_by_chance"]), 100 * (row["attributes"] - row["attributes_ordinary"])
        panel.plot(x, y, **point(*looks[row["policy"]], markers[case(row)]))
    panel.set(xlabel="copies above chance, points (less is better)", ylabel="attributes against ordinary runs, points", title=title)
    handles = [Line2D([], [], label=policy, **point(*look, "o")) for policy, look in looks.items()]
    handles += [Line2D([], [], label=name, **point("grey", "full", marker)) for name, marker in markers.items()]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False)
    palette.save_figure(path, figure)
    plt.close(figure)


def to_image(pixels: torch.Tensor) -> Image.Image:
    """One picture ``(3, h, w)`` in -1..1 as an RGB image."""
    array = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(array.permute(1, 2, 0).cpu().numpy())


def montage(
    columns: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[Image.Image | None]]], group: int = 1, cell: int = 128
) -> Image.Image:
    """A labelled grid of pictures.

    Parameters
    ----------
    columns : headings, one per column
    rows : pairs of labels (one per `group` of columns) and pictures (None leaves a cell grey)
    group : columns that belong together
    cell : side of a picture in pixels
    """
    line, margin, gap = 16, 4, 14
    lefts = [margin + column * (cell + margin) + (column // group) * gap for column in range(len(columns))]
    sheet = Image.new("RGB", (lefts[-1] + cell + margin, line + len(rows) * (cell + line + margin)), "white")
    draw = ImageDraw.Draw(sheet)
    for left, heading in zip(lefts, columns):
        draw.text((left, 3), heading, fill="black")
    for index, (labels, pictures) in enumerate(rows):
        top = line + index * (cell + line + margin)
        for number, label in enumerate(labels):
            draw.text((lefts[number * group], top + 2), label, fill=(70, 70, 70))
        for left, picture in zip(lefts, pictures):
            if picture is None:
                draw.rectangle((left, top + line, left + cell - 1, top + line + cell - 1), fill=(235, 235, 235))
            else:
                sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (left, top + line))
    return sheet
