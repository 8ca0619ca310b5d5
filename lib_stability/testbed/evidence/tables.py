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
    """Detection rows: one line for each setting, the kinds beside each other; then how often each kind is a copy at all."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    settings: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        settings.setdefault(tuple(row[name] for name in SETTING), {})[row["kind"]] = row
    memorized = [kind for kind in kinds if kind != "ordinary"]
    head = ["sampler, steps", "w", "negative", "by", "ordinary runs", "false alarms: Low", "Medium", "High"]
    head += [f"caught at Medium: {kinds[0]}", *kinds[1:-1], "copies of ordinary captions", "worst AUC", "worst TPR at 1 % FPR", "worst AUC after 3"]
    head += ["caught early", "rows more"]
    lines = []
    for (sampler, schedule, steps, guidance, negative, probe), found in settings.items():
        one = found[kinds[0]]
        cells = [f"{sampler}{'' if schedule == 'uniform' else f' {schedule}'} {steps}", f"{guidance:g}", negative]
        cells.append("probe too" if probe and one["detector"] == "watch" else one["detector"] or "–")
        known = [found[kind] for kind in memorized if found[kind]["auc"] is not None]
        if one["not_judged"]:
            lines.append([*cells, str(one["ordinary_runs"]), "not judged", *[""] * (len(head) - 7), f"{one['extra_evaluations']:.1f}"])
            continue
        cells += [str(one["ordinary_runs"]), *(rate(one["levels"][level]["false_alarms"]) for level in ("low", "medium", "high"))]
        cells += [rate(found[kind]["levels"]["medium"]["caught"], 0) for kind in kinds]
        for name, least in (("auc", "{:.4f}"), ("tpr_at_1pct_fpr", "{:.2f}"), ("auc_after_3", "{:.4f}")):
            cells.append(least.format(min(row[name] for row in known)) if known else "–")
        early = sum(row["caught_early"] for row in known) / len(known) if known else None
        lines.append([*cells, rate(early, 0), f"{one['extra_evaluations']:.1f}"])
    shares = {kind: [found[kind] for found in settings.values()] for kind in kinds}
    copied = [[kind, *(rate(pick(row["copies"] for row in shares[kind]), 0) for pick in (min, max)), rate(_mean(shares[kind]), 0)] for kind in kinds]
    return markdown(head, lines) + "\n\n" + markdown(["runs that are copies", "fewest", "most", "over all settings"], copied)


#: What tells one setting's rows from another's.
SETTING = ("sampler", "schedule", "steps", "guidance", "negative", "probe")


def _mean(rows: list[dict]) -> float:
    return sum(row["copies"] * row["runs"] for row in rows) / sum(row["runs"] for row in rows)


def damping(rows: list[dict]) -> str:
    """Damping rows: one line each."""
    head = ["kind", "policy", "sampler", "w", "negative", "copies before", "after (of its own picture)", "by chance"]
    head += ["attributes (ordinary)", "error (ordinary)", "unflagged changed", "U-Net rows", "carriers: precision, recall"]
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
            f"{row['carriers_precision']:.2f}, {row['carriers_recall']:.2f}" if "carriers_precision" in row else "–",
        ]
        for row in rows
    ]
    return markdown(head, lines)
