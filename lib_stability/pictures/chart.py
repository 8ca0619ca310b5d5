"""One image's trajectory as inline SVG: both norms over noise level, the region's band, flagged and damped evaluations."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..guard.history import Point

WIDTH, HEIGHT, MARGIN, GAP = 640, 230, 44, 24
#: Below the plots: a line more, for the scores of the probe.
FOOT = 16
#: Readable on light and on dark pages; text and axes take the page's own colour.
BAND, LINE, FLAG, DAMPED = "#4a7fd0", "#2e9e4f", "#e0483e", "#d99000"
CAPTIONS = {"rate": "update norm (rate)", "clean": "norm of the prediction (clean)"}
NOISE = "sigma"
LEGEND = ("band: ordinary runs up to the threshold", "their mean", "this image", "unstable", "damped", "scores of the probe:", "nothing was judged")


@dataclass(frozen=True)
class _Panel:
    """A plot area: `left` edge, and the ranges that it shows (both axes logarithmic)."""

    left: float
    width: float
    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, sigma: float, value: float) -> tuple[float, float]:
        """Pixels of a point; noise falls to the right, as sampling runs."""
        share = (self.x[1] - math.log(sigma)) / max(self.x[1] - self.x[0], 1e-9)
        height = (math.log(max(value, 1e-9)) - self.y[0]) / max(self.y[1] - self.y[0], 1e-9)
        return self.left + self.width * share, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(max(height, -0.05), 1.05)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))


def trajectory(
    evaluations: Sequence[Point],
    threshold: float,
    title: str = "",
    say: Callable[[str], str] = str,
    figure: Callable[[str], str] = str,
) -> str:
    """SVG of one image's run.

    Parameters
    ----------
    evaluations
        In order; those that the watch did not judge are left out, the probe's scores stand in words below.
    threshold : float
        In relative spreads: where the band ends.
    title : str
        Read out by screen readers, and shown when the pointer rests on the picture.
    say : callable, optional
        From an English text to that of the page's language.
    figure : callable, optional
        The same of a number.
    """
    # A sigma or mean of zero has no place on a logarithmic axis.
    needed = ("sigma", "rate_mean", "clean_mean"), ("rate", "clean", "rate_spread", "clean_spread")
    seen = [one for one in evaluations if all(getattr(one, n) for n in needed[0]) and all(getattr(one, n) is not None for n in needed[1])]
    label, height = html.escape(title or "Trajectory"), HEIGHT if seen else FOOT
    parts = [
        f'<svg class="memorization-guard-chart" viewBox="0 0 {WIDTH} {height + FOOT}" role="img" aria-label="{label}" '
        f'style="max-width:100%;height:auto;color:inherit" font-family="sans-serif" font-size="11" fill="currentColor"><title>{label}</title>'
    ]
    if seen:
        parts += [line for name, number in (("rate", 0), ("clean", 1)) for line in _panel(seen, name, number, threshold, say, figure)]
    parts.append(_words(evaluations, bool(seen), say, figure))
    return "".join(parts) + "</svg>"


def _panel(seen: Sequence[Point], name: str, number: int, threshold: float, say: Callable[[str], str], figure: Callable[[str], str]) -> list[str]:
    width = (WIDTH - MARGIN - GAP * 2) / 2
    values = [getattr(one, name) for one in seen]
    means = [getattr(one, f"{name}_mean") for one in seen]
    spreads = [getattr(one, f"{name}_spread") for one in seen]
    tops = [mean * (1 + threshold * spread) for mean, spread in zip(means, spreads)]
    lows = [mean * max(1 - threshold * spread, 0.05) for mean, spread in zip(means, spreads)]
    sigmas = [one.sigma for one in seen]
    everything = [math.log(max(value, 1e-9)) for value in (*values, *tops, *lows)]
    reach = (math.log(min(sigmas)), math.log(max(sigmas)))
    panel = _Panel(MARGIN + number * (width + GAP), width - GAP, reach, (min(everything), max(everything)))
    base, right = HEIGHT - MARGIN, panel.left + panel.width
    caption = html.escape(say(CAPTIONS[name]))
    band = panel.path([*zip(sigmas, tops), *reversed(list(zip(sigmas, lows)))])
    out = [
        f'<text x="{panel.left:.0f}" y="{MARGIN - 18}">{caption}</text>',
        f'<polygon points="{band}" fill="{BAND}" fill-opacity="0.25"/>',
        f'<polyline points="{panel.path(list(zip(sigmas, means)))}" fill="none" stroke="{BAND}" stroke-dasharray="4 3"/>',
        f'<polyline points="{panel.path(list(zip(sigmas, values)))}" fill="none" stroke="{LINE}" stroke-width="1.5"/>',
        f'<path d="M{panel.left:.1f},{MARGIN - 8} V{base} H{right:.1f}" fill="none" stroke="currentColor" stroke-opacity="0.5"/>',
        f'<text x="{panel.left:.0f}" y="{base + 14}">{html.escape(say(NOISE))} {figure(f"{max(sigmas):.3g}")}</text>',
        f'<text x="{right:.0f}" y="{base + 14}" text-anchor="end">{figure(f"{min(sigmas):.3g}")}</text>',
        f'<text x="{panel.left - 4:.0f}" y="{MARGIN - 2}" text-anchor="end">{figure(f"{math.exp(panel.y[1]):.2g}")}</text>',
        f'<text x="{panel.left - 4:.0f}" y="{base}" text-anchor="end">{figure(f"{math.exp(panel.y[0]):.2g}")}</text>',
    ]
    for one, value in zip(seen, values):
        x, y = panel.at(one.sigma, value)
        if one.damped:
            out.append(f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" fill="none" stroke="{DAMPED}" stroke-width="1.5"/>')
        if one.unstable:
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{FLAG}"/>')
    return out


def _words(evaluations: Sequence[Point], drawn: bool, say: Callable[[str], str], figure: Callable[[str], str]) -> str:
    ordinary, mean, own, unstable, damped, scores, nothing = (html.escape(say(one)) for one in LEGEND)
    probed = [figure(f"{one.probe:.1f}") for one in evaluations if one.probe is not None]
    legend = []
    if drawn:
        # The words in the page's own colour: not all of the others can be read on a light page.
        shown = [(BAND, "■", ordinary), (BAND, "- -", mean), (LINE, "—", own)]
        shown += [(FLAG, "●", unstable)] if any(one.unstable for one in evaluations) else []
        shown += [(DAMPED, "□", damped)] if any(one.damped for one in evaluations) else []
        legend += [f'<tspan fill="{colour}">{mark}</tspan> {word}' for colour, mark, word in shown]
    lines = ["  ".join(legend)] if legend else []
    lines += [f"{scores} {', '.join(probed)}"] if probed else []
    left, top = (MARGIN, HEIGHT - 8) if drawn else (0, FOOT)
    return "".join(f'<text x="{left}" y="{top + FOOT * row}">{line}</text>' for row, line in enumerate(lines or [nothing]))
