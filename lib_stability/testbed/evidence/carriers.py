"""Whether the words that rewording names as carriers of a copy are those that carry it, where the world says which do."""

from __future__ import annotations

from collections.abc import Sequence

from ..world.captions import Memorized


def words_that_carry(item: Memorized) -> set[str]:
    """The words of a caption without any of which its picture does not come; empty where the world does not say."""
    if item.kind == "trigger":
        return {item.name}
    if item.kind == "template":
        return {item.name, "poster"}
    return set(item.caption.split()) if item.kind in ("conjunction", "pictures") else set()


def carriers(items: Sequence[Memorized], named: Sequence[str]) -> dict[str, float]:
    """Of the parts that were named, the share that holds such a word; and of such words the share that was named."""
    right, wrong, missed = 0, 0, 0
    for item, text in zip(items, named):
        truth = words_that_carry(item)
        if truth and text:
            parts = [set(part.split()) for part in text.split(" + ")]
            right, wrong = right + sum(bool(part & truth) for part in parts), wrong + sum(not part & truth for part in parts)
            missed += len(truth - set.union(*parts))
    return {"carriers_precision": right / (right + wrong), "carriers_recall": right / (right + missed)} if right else {}
