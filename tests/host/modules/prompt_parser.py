"""Prompts to conditioning: AND with weights, editing ``[from:to:when]``, and the schedule formats that hosts hand to their denoisers."""

from __future__ import annotations

import re
from collections import namedtuple

import torch

ScheduledPromptConditioning = namedtuple("ScheduledPromptConditioning", ["end_at_step", "cond"])
_EDIT = re.compile(r"\[([^\[\]:]*):([^\[\]:]*):([0-9.]+)\]")
_WEIGHT = re.compile(r"^(.*?)(?:\s*:\s*([-+]?\d*\.?\d+))?\s*$", re.DOTALL)


class SdConditioning(list):
    def __init__(self, prompts, is_negative_prompt=False, width=None, height=None, copy_from=None, distilled_cfg_scale=None):
        super().__init__(prompts)
        source = copy_from if copy_from is not None else prompts
        self.is_negative_prompt = is_negative_prompt or getattr(source, "is_negative_prompt", False)
        self.width, self.height = width or getattr(source, "width", None), height or getattr(source, "height", None)
        self.distilled_cfg_scale = distilled_cfg_scale or getattr(source, "distilled_cfg_scale", None)


class DictWithShape(dict):
    def __init__(self, x, shape=None):
        super().__init__(x)

    @property
    def shape(self):
        return self["crossattn"].shape


class ComposableScheduledPromptConditioning:
    def __init__(self, schedules, weight=1.0):
        self.schedules, self.weight = schedules, weight


class MulticondLearnedConditioning:
    def __init__(self, shape, batch):
        self.shape, self.batch = shape, batch


def _schedule(prompt: str, steps: int) -> list[tuple[int, str]]:
    edit = _EDIT.search(prompt)
    if edit is None:
        return [(steps, prompt)]
    when = float(edit[3])
    at = int(when * steps) if when < 1 or "." in edit[3] else int(when)
    early, late = (prompt[: edit.start()] + part + prompt[edit.end() :] for part in (edit[1], edit[2]))
    return [(min(at, steps), early), (steps, late)]


def get_learned_conditioning(model, prompts, steps, *_, **__):
    result, cache = [], {}
    for prompt in prompts:
        if prompt not in cache:
            schedule = _schedule(prompt, steps)
            texts = SdConditioning([text for _, text in schedule], copy_from=prompts)
            conds = model.get_learned_conditioning(texts)
            rows = [{k: v[i] for k, v in conds.items()} if isinstance(conds, dict) else conds[i] for i in range(len(schedule))]
            cache[prompt] = [ScheduledPromptConditioning(end, row) for (end, _), row in zip(schedule, rows)]
        result.append(cache[prompt])
    return result


def get_multicond_learned_conditioning(model, prompts, steps, *_, **__):
    batch = []
    for prompt in prompts:
        parts = []
        for text in re.split(r"\bAND\b", prompt):
            words, weight = _WEIGHT.match(text).groups()
            (schedules,) = get_learned_conditioning(model, SdConditioning([words.strip()], copy_from=prompts), steps)
            parts.append(ComposableScheduledPromptConditioning(schedules, 1.0 if weight is None else float(weight)))
        batch.append(parts)
    return MulticondLearnedConditioning((len(prompts),), batch)


def _at(schedules, step):
    return next((one.cond for one in schedules if step <= one.end_at_step), schedules[-1].cond)


def _stack(rows):
    if isinstance(rows[0], dict):
        return DictWithShape({key: torch.stack([row[key] for row in rows]) for key in rows[0]})
    return torch.stack(rows)


def reconstruct_cond_batch(c, current_step):
    return _stack([_at(schedules, current_step) for schedules in c])


def reconstruct_multicond_batch(c, current_step):
    rows, conds_list = [], []
    for parts in c.batch:
        conds_list.append([(len(rows) + number, part.weight) for number, part in enumerate(parts)])
        rows += [_at(part.schedules, current_step) for part in parts]
    stacked = _stack(rows)
    return (conds_list, stacked)
