"""What tells the copies of a LoRA, as Markdown."""

from __future__ import annotations

from . import tables
from .lora_runs import BANK


def report(result: dict) -> str:
    """The tables."""
    runs = ", ".join(f"{captions} {name} captions × {seeds} seeds" for name, (captions, seeds) in result["sets"].items())
    parts = ["# What tells a LoRA's copies", f"Euler 20, w = 7.5; {runs}. Copies by picture: likeness above the limit."]
    head = ["network, weight", "pictures", "epochs", "limit", "copies: training", "trigger", "ordinary", "colour: trigger", "ordinary"]
    rows = [
        [one["name"], str(one["pictures"]), str(one["epoch"]), f"{one['limit']:.2f}"]
        + [tables.rate(one[name]["copies"], 0) for name in result["sets"]]
        + [f"{one[name]['colour']:.2f}" for name in ("trigger", "ordinary")]
        for one in result["cases"]
    ]
    parts += ["## How much they copy", tables.markdown(head, rows)]
    names = list(dict.fromkeys(name for one in result["cases"] for name in one["medium"]))
    rows = [
        [
            one["name"],
            *(
                " / ".join(tables.rate(one["medium"][name][what], 0) for what in ("ordinary", "trigger", "caught")) if name in one["medium"] else "–"
                for name in names
            ),
        ]
        for one in result["cases"]
    ]
    parts += ["## Flagged at Medium: ordinary captions / others with the trigger word / copies", tables.markdown(["network, weight", *names], rows)]
    told = list(dict.fromkeys(name for one in result["cases"] for name in one["told"]))
    some = [one for one in result["cases"] if any(one["told"].values())]
    head = ["network, weight", "copies, others", *told]
    rows = [
        [one["name"], f"{one['positives']}, {one['negatives']}", *(_cell((one["told"].get(name) or {}).get("auc")) for name in told)] for one in some
    ]
    parts += ["## Copies against runs of other captions, AUC of single runs", tables.markdown(head, rows)]
    rows = [[one["name"], "{}, {}".format(*one["by caption"]["captions"]), *(_cell(one["by caption"].get(name)) for name in told)] for one in some]
    parts += [
        "## Captions that copy against captions that do not, AUC of the mean over seeds",
        tables.markdown(["network, weight", "captions", *told], rows),
    ]
    if result["prompts"]:
        head = [
            "network, weight",
            "copies: ordinary",
            "nearest of other prompts: ordinary",
            "AUC, early",
            "finished",
            "finished, copies of any caption",
        ]
        rows = [
            [one["name"], tables.rate(one["copies"], 0), f"{one['ordinary']:.2f}"]
            + [_cell((found or {}).get("auc")) for found in (*one["told"].values(), one["any copies"])]
            for one in result["prompts"]
        ]
        parts += [f"## Likeness to the nearest of {BANK} runs of other prompts with the network on", tables.markdown(head, rows)]
    rows = [
        [one["name"], *(f"{one['channels'][name]:.3g}" for name in ("energy", "rank", "alignment"))] for one in result["cases"] if one["weight"] == 1
    ]
    parts += ["## The file alone", tables.markdown(["network", "energy", "rank in use", "alignment with the base (1 is chance)"], rows)]
    if result.get("tolerance"):
        weights = list(result["tolerance"][0]["weights"])
        rows = [[one["name"], *(tables.rate(one["weights"][weight]["flagged"], 1) for weight in weights)] for one in result["tolerance"]]
        title = f"## Flagged at Medium at other weights, by a region of {result['own']} runs made at {result['tolerance'][0]['at']:g}"
        parts += [title, tables.markdown(["network", *weights], rows)]
    if result["cleaning"]:
        head = [
            "network",
            "channels suppressed",
            "energy kept",
            "copies",
            "likeness",
            "colour",
            "the same energy by weight: copies",
            "colour",
        ]
        rows = []
        for one in result["cleaning"]:
            cells = [one["name"], tables.rate(one["share"], 0), tables.rate(one["energy kept"], 0), tables.rate(one["cleaned"]["copies"], 0)]
            cells += [f"{one['cleaned']['likeness']:.2f}", f"{one['cleaned']['colour']:.2f}"]
            rows.append([*cells, tables.rate(one["by weight"]["copies"], 0), f"{one['by weight']['colour']:.2f}"])
        parts += ["## Cleaning", tables.markdown(head, rows)]
    return "\n\n".join(parts) + "\n"


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
