"""The tables of ``locality.json`` as Markdown."""

from __future__ import annotations

import numpy as np

from .tables import markdown, rate

ALL = "all settings"


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _label(row: dict) -> str:
    return f"{row['sampler']} {row['steps']}, w {row['guidance']:g}"


def localisation(result: dict) -> str:
    """The shipped map, one line a setting and kind."""
    numbers = ("AUC of positions", "average precision", "IoU", "IoU of everything", "covered", "IoU, flagged or not")
    head = ["what is memorized", "setting", "copies", "flagged", *numbers]
    lines = []
    for row in result["localisation"]:
        found = next(iter(row["maps"].values()), None)
        cells = [row["kind"], _label(row), rate(row["copies"], 0), "–" if row["flagged"] is None else rate(row["flagged"], 0)]
        if found is None:
            lines.append([*cells, "–", "–", "–", "–", "–", _number(row["of_all"])])
            continue
        numbers = [_number(found[key]) for key in ("auc", "average_precision", "iou")]
        lines.append([*cells, *numbers, _number(row["everything_iou"]), rate(found["covered"], 0), _number(row["of_all"])])
    return markdown(head, lines)


def candidates(result: dict) -> str:
    """All candidate maps, means over the settings weighted by flagged copies, one line each."""
    rows = [row for row in result["localisation"] if row["maps"]]
    kinds = [kind for kind in dict.fromkeys(row["kind"] for row in rows) if kind != "whole"]
    lines = []
    for name in dict.fromkeys(name for row in rows for name in row["maps"]):
        cells = [name]
        for kind in kinds:
            own = [row for row in rows if row["kind"] == kind]
            weight = [row["judged"] for row in own]
            mean = {}
            for key in ("auc", "iou"):
                known = [(row["maps"][name][key], share) for row, share in zip(own, weight) if row["maps"][name][key] is not None]
                values, weights = zip(*known) if known else ((), ())
                mean[key] = float(np.average(values, weights=weights)) if known else None
            cells.append(f"{_number(mean['auc'])} / {_number(mean['iou'])}")
        lines.append(cells)
    everything, of_all = ["everything"], ["the first, of all copies, flagged or not"]
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        everything.append(f"0.500 / {_number(float(np.average([r['everything_iou'] for r in own], weights=[r['judged'] for r in own])))}")
        every = [row for row in result["localisation"] if row["kind"] == kind and row["of_all"] is not None]
        weights = [row["copies"] * row["runs"] for row in every]
        of_all.append(f"– / {_number(float(np.average([row['of_all'] for row in every], weights=weights)))}")
    return markdown(["map", *(f"{kind}: AUC / IoU" for kind in kinds)], [lines[0], of_all, *lines[1:], everything])


def pooled(result: dict, kind: str, name: str) -> dict:
    """Scores over all settings, in units of each score's threshold: AUC, TPR at 1 % FPR, caught and false alarms."""
    from ...ranking import auc, tpr_at

    rows = [row["scores"][name] for row in result["detection"] if row["kind"] == kind]
    above, below = (np.concatenate([row[key] for row in rows]) for key in ("scores", "ordinary_scores"))
    return {
        "runs": len(above),
        "ordinary_runs": len(below),
        "auc": auc(above, below),
        "tpr_at_1pct_fpr": tpr_at(above, below),
        "caught": float((above > 1).mean()),
        "false_alarms": float((below > 1).mean()),
    }


def scores(result: dict) -> str:
    """Global and local scores, one line a kind and score, over all settings."""
    head = ["what is memorized", "score", "runs", "AUC", "TPR at 1 % FPR", "caught at Medium", "false alarms at Medium"]
    lines = []
    for kind in dict.fromkeys(row["kind"] for row in result["detection"]):
        for name in result["limits"]:
            one = pooled(result, kind, name)
            areas = [_number(one["auc"], 4), rate(one["tpr_at_1pct_fpr"]), rate(one["caught"]), rate(one["false_alarms"])]
            lines.append([kind, name, f"{one['runs']} / {one['ordinary_runs']}", *areas])
    return markdown(head, lines)


def by_setting(result: dict) -> str:
    """What each score catches at its Medium threshold, one line a setting and kind."""
    names = list(result["limits"])
    lines = [[row["kind"], _label(row), *(rate(row["scores"][name]["caught"], 0) for name in names)] for row in result["detection"]]
    return markdown(["what is memorized", "setting", *names], lines)


def report(result: dict) -> str:
    """Everything, with a line on how to read each table."""
    chosen = ", ".join(f"{name} {limit:.2f}" for name, limit in result["chosen"].items())
    settings = list(dict.fromkeys(map(_label, result["localisation"])))
    return "\n\n".join(
        [
            "# Where the memorized part is",
            f"The guard's map of every flagged copy (of composites: run) against the truth; IoU at {next(iter(result['chosen'].values())):.2f} "
            "times an ordinary norm.",
            localisation(result),
            f"Other maps than the shipped (first) one, {ALL}; each at the threshold that served best on captions of its own ({chosen}).",
            candidates(result),
            f"Scores over {ALL} ({'; '.join(settings)}), regions fitted to the same {result['references']} reference runs.",
            scores(result),
            "Caught at Medium, by setting:",
            by_setting(result),
        ]
    )
