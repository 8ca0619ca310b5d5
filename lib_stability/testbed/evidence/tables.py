"""The tables of ``evaluate.json`` as Markdown, for the terminal and the README."""

from __future__ import annotations


def markdown(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in [head, *rows]]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def rate(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def detection(rows: list[dict]) -> str:
    """Detection rows: one line each."""
    head = ["what", "sampler, steps", "w", "negative", "probe", "AUC", "after 3", "TPR at 1 % FPR"]
    head += [f"{level}: false / caught" for level in ("Low", "Medium", "High")] + ["extra evaluations"]
    lines = []
    for row in rows:
        schedule = "" if row["schedule"] == "uniform" else f" {row['schedule']}"
        cells = [row["kind"], f"{row['sampler']}{schedule} {row['steps']}", f"{row['guidance']:g}", row["negative"], "yes" if row["probe"] else "no"]
        if row["auc"] is None:
            cells += ["not judged", "", "", "", "", ""]
        else:
            cells += [f"{row['auc']:.4f}", f"{row['auc_after_3']:.4f}", rate(row["tpr_at_1pct_fpr"])]
            levels = [row["levels"][level] for level in ("low", "medium", "high")]
            cells += [f"{rate(level['false_alarms'])} / {rate(level['caught'])}" for level in levels]
        lines.append([*cells, f"{row['extra_evaluations']:.0f}"])
    return markdown(head, lines)


def damping(rows: list[dict]) -> str:
    """Damping rows: one line each."""
    head = ["what", "policy", "sampler", "w", "negative", "copies before", "after (of its own picture)", "by chance"]
    head += ["attributes (ordinary)", "error (ordinary)", "unflagged changed", "U-Net rows"]
    lines = [
        [
            row["kind"],
            row["policy"] + (" (default)" if row["default"] else ""),
            f"{row['sampler']} {row['steps']}",
            f"{row['guidance']:g}",
            row["negative"],
            rate(row["copies_before"]),
            f"{rate(row['copies_after'])} ({rate(row['copies_after_own'])})",
            rate(row["copies_by_chance"], 2),
            f"{rate(row['attributes'])} ({rate(row['attributes_ordinary'])})",
            f"{row['error']:.3f} ({row['error_ordinary']:.3f}, ratio {row['error'] / row['error_ordinary']:.2f})",
            rate(row["unflagged_changed"], 0),
            f"× {row['rows_ratio']:.2f}",
        ]
        for row in rows
    ]
    return markdown(head, lines)
