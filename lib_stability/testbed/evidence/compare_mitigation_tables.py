"""The mitigation half of the comparison as Markdown tables and as a scatter of copies against attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...pictures import palette
from .tables import markdown, rate

HEAD = ["method", "parameters", "copies", "attributes", "error", "ordinary changed", "by RMS", "their error", "extra rows", "differentiated", "time"]
#: Colour-blind safe; ours are drawn over everything else.
OURS, RIVAL = "#cc3311", "#4477aa"
MARKERS = (*"osD^v<>PXhd8H", (4, 1, 0), (6, 1, 0), (8, 1, 0), (3, 1, 0))
OUR_MARKERS = {"Guard, reword": "*", "Guard, directional": "p", "Guard, radial": "$R$"}


def cases(result: dict) -> list[dict]:
    """The reference of each kind of caption and setting, with its lines under "rows" and our bars under "bar"."""
    same = ("kind", "sampler", "steps", "guidance")

    def of(reference: dict, name: str) -> list[dict]:
        return [line for line in result[name] if all(line[key] == reference[key] for key in same)]

    return [reference | {name: of(reference, name) for name in ("rows", "bar")} for reference in result["references"]]


def title(case: dict) -> str:
    """What a table or a panel is about."""
    return f"{case['kind']}, {case['sampler']} {case['steps']}, w = {case['guidance']:g}"


def _parameters(row: dict) -> str:
    shown = ", ".join(f"{name} {value:g}" if isinstance(value, (int, float)) else f"{name} {value}" for name, value in row["parameters"].items())
    return f"{row['variant']}: {shown}"


def lines(case: dict) -> list[list[str]]:
    """One line for each method and variant. Where the guard flags every memorized picture, a rival with our detector in front differs in ordinary
    pictures alone, and both are one line with two values there; else it has a line of its own."""
    groups: dict[tuple, list[dict]] = {}
    for row in case["rows"]:
        groups.setdefault((row["method"], row["variant"]), []).append(row)
    found = []
    for group in groups.values():
        alike = all(row[name] == group[0][name] for row in group for name in ("copies", "attributes", "error"))
        for shown in [group] if alike else [[row] for row in group]:
            found.append(_line(shown))
    return found


def _line(shown: list[dict]) -> list[str]:
    row = shown[0]
    label = f"**{row['method']}**" if row["ours"] else row["method"]
    label += ", with our detector" if row["trigger"] == "our detector" else ""
    changed = [" / ".join(_or_dash(one.get(name), form) for one in shown) for name, form in _ORDINARY]
    cells = [label, _parameters(row), rate(row["copies"]), rate(row["attributes"]), f"{row['error']:.3f}", *changed]
    return [*cells, f"{row['rows_forward']:.0f}", f"{row['rows_backward']:.0f}", f"{row['seconds_ratio']:.2f}"]


_ORDINARY = (("ordinary_changed", lambda v: rate(v, 0)), ("ordinary_rms", "{:.1f}".format), ("ordinary_error", "{:.3f}".format))


def _or_dash(value: float | None, form) -> str:
    return "–" if value is None else form(value)


def table(case: dict) -> str:
    """One table with the sentence above it and our bar below."""
    chance = (
        f"ordinary twins: {rate(case['copies_by_chance'])} copies, attributes {rate(case['attributes_ordinary'])}, error {case['error_ordinary']:.3f}"
    )
    before = f"undamped: {rate(case['copies'])} copies, attributes {rate(case['attributes'])}, error {case['error']:.3f}"
    flags = f"the guard flags {rate(case['flagged'])} of the {case['runs']} memorized and {rate(case['ordinary_flagged'])} of the ordinary runs"
    name = title(case)
    head = f"{name[0].upper()}{name[1:]} ({before}; {chance}; {flags}):"
    return f"{head}\n\n{markdown(HEAD, lines(case))}\n\n{verdict(case['bar'])}"


def verdict(bar: Sequence[dict]) -> str:
    """For each of our lines whether a rival has both fewer copies and better attributes, and by how much."""
    parts = []
    for one in bar:
        beaten = "; ".join(
            f"{by['method']}, {by['variant']}{', with our detector' if by['trigger'] == 'our detector' else ''} "
            f"(copies fewer by {100 * by['fewer_copies']:.1f} points, attributes better by {100 * by['better_attributes']:.1f})"
            for by in one["dominated_by"]
            if not (by["trigger"] == "our detector" and any(_same(by, other) for other in one["dominated_by"]))
        )
        parts.append(f"{one['method']}, {one['variant']}: {f'dominated by {beaten}' if beaten else 'not dominated'}.")
    return " ".join(parts)


def _same(one: dict, other: dict) -> bool:
    """Whether the two are one method with and without our detector, with equal results."""
    names = ("method", "variant", "fewer_copies", "better_attributes")
    return other["trigger"] != "our detector" and all(one[name] == other[name] for name in names)


def tables(result: dict) -> str:
    """All tables, with what the columns mean."""
    text = (
        "Mitigation. Copies and attributes are of memorized captions; error is the RMS that the model itself changes when it denoises the finished "
        "latent once more (grain raises it). Ordinary pictures: share changed, RMS of the change in levels of 255, and their denoising error; where "
        "two values are given the second is with our detector in front, which leaves what it does not flag alone. Extra rows of the U-Net, rows "
        "differentiated through, and time (1 is undamped) are per memorized picture."
    )
    if result["tried"]:
        text += f" Tuned for the {result['criterion']} on other captions."
    return "\n\n".join([text, *(table(case) for case in cases(result))])


def scatter(path: Path, result: dict) -> None:
    """One panel per setting: copies against attributes, one marker per method, ours emphasised; hollow as published, filled as tuned."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = cases(result)
    across = 2 if len(shown) == 4 else min(len(shown), 3)
    down = -(-len(shown) // across)
    figure, panels = plt.subplots(down, across, figsize=(4.6 * across + 2.6, 3.9 * down), layout="constrained", squeeze=False)
    names = list(dict.fromkeys(row["method"] for row in result["rows"]))
    markers = dict(zip([name for name in names if not name.startswith("Guard")], MARKERS))
    for panel, case in zip(panels.flat, shown):
        for row in sorted(case["rows"], key=lambda row: row["ours"]):
            if row["trigger"] == "our detector":
                continue
            tuned, ours = row["variant"] == "tuned", row["ours"]
            colour = OURS if ours else RIVAL
            marker = OUR_MARKERS[row["method"]] if ours else markers[row["method"]]
            style = {"facecolor": colour if tuned else "white", "edgecolor": colour, "linewidth": 1.6 if ours else 1.1, "alpha": 0.95}
            panel.scatter(100 * row["copies"], 100 * row["attributes"], s=220 if ours else 60, marker=marker, zorder=3 + ours, **style)
        panel.scatter(100 * case["copies"], 100 * case["attributes"], s=70, marker="x", color="black", zorder=3)
        panel.axhline(100 * case["attributes_ordinary"], color="grey", lw=0.9, ls="--", zorder=1)
        panel.set(title=title(case), xlabel="copies, % (less is better)", ylabel="attributes right, %", xlim=(-4, 104))
        panel.grid(alpha=0.2)
    for panel in list(panels.flat)[len(shown) :]:
        panel.axis("off")
    figure.legend(handles=_handles(names, markers), loc="outside right upper", fontsize=9, frameon=False, labelspacing=0.8)
    palette.save_figure(path, figure)
    plt.close(figure)


def _handles(names: Sequence[str], markers: dict[str, str]) -> list:
    from matplotlib.lines import Line2D

    def point(label: str, marker: str, colour: str, size: float, fill: str = "white") -> Line2D:
        return Line2D([], [], ls="", marker=marker, color=colour, markerfacecolor=fill, markersize=size, label=label)

    found = []
    for name in names:
        ours = name not in markers
        marker = OUR_MARKERS[name] if ours else markers[name]
        found.append(point(name, marker, OURS if ours else RIVAL, 14 if ours else 8))
    found.append(point("undamped", "x", "black", 8))
    found.append(Line2D([], [], color="grey", ls="--", lw=0.9, label="attributes of ordinary twins"))
    return [*found, point("hollow: as published, as it ships", "o", "grey", 8), point("filled: tuned", "o", "grey", 8, "grey")]
