"""The comparison's tables as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from .tables import markdown, rate


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def summary(result: dict) -> str:
    """AUC and false alarms of every detector (lines) under every setting (columns), and where the guard is below the best rival."""
    rows = result["rows"]
    settings = list(dict.fromkeys(row["differs"] for row in rows))
    cells = {(_label(row), row["differs"]): row for row in rows}
    labels = list(dict.fromkeys(_label(row) for row in rows))
    lines = []
    for label in labels:
        found = [cells.get((label, name)) for name in settings]
        shown = ["–" if row is None or row["auc"] is None else f"{row['auc']:.4f} / {100 * row['false_alarms']:.0f} %" for row in found]
        lines.append([label, *shown])
    missed = [f"{one['differs']} by {one['below']:.4f} ({one['rival']})" for one in result["bar"] if not one["met"]]
    verdict = "The guard's AUC is the highest, or tied within 0.0005, in every column"
    verdict += "." if not missed else f", but for: {'; '.join(missed)}."
    head = "AUC, and false alarms at the threshold that was set for 1 % as calibrated (DDIM 20, w = 7.5, no negative prompt):"
    parts = [head, markdown(["detector", *settings], lines), verdict]
    return "\n\n".join([*parts, labelled(result["labels"])] if result.get("labels") else parts)


def labelled(labels: Sequence[dict]) -> str:
    """How many runs of each setting the figures rest on."""

    def span(counts: list[int]) -> str:
        return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"

    copies = span([one["memorized_that_copy"] for one in labels])
    others = span([one["ordinary"] - one["ordinary_that_copy"] for one in labels])
    return (
        f"Labelled by their pictures: in each column {copies} of {labels[0]['memorized']} runs of memorized captions hand out a memorized picture "
        f"and {others} of {labels[0]['ordinary']} of ordinary captions do not. The rest is left out."
    )


def _label(row: dict) -> str:
    # The guard's automatic choice differs from setting to setting.
    variant = "" if row["variant"].startswith("automatic") else row["variant"]
    return f"{row['detector']}, {variant}" if variant else row["detector"]


def details(rows: list[dict]) -> str:
    """Every detector under every setting, one line each."""
    head = ["differs from the calibration", "detector", "AUC", "after 1", "after 3", "TPR at 1 % FPR", "false alarms", "caught"]
    head += ["extra evaluations", "time"]
    lines = []
    for row in rows:
        label = f"{row['detector']}, {row['variant']}" if row["variant"] else row["detector"]
        areas = ["not judged" if row["auc"] is None else _number(row["auc"]), _number(row["auc_after_1"]), _number(row["auc_after_3"])]
        rates = [rate(row[key]) for key in ("tpr_at_1pct_fpr", "false_alarms", "caught")]
        lines.append([row["differs"], label, *areas, *rates, f"{row['extra_evaluations']:g}", f"{row['seconds_ratio']:.3f}"])
    return markdown(head, lines)
