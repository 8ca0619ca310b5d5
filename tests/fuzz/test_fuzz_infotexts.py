"""Odd prompts and spoiled infotexts: what was written is read, and nothing that a prompt says counts as a verdict."""

from __future__ import annotations

import time

from fuzzing import cases, spoiled_bytes, text

from lib_stability.guard.verdict import Verdict
from lib_stability.profile.reference import read_prompts
from lib_stability.trail.infotext import Settings, format_text, parse_text, read, write
from lib_stability.wording import parts, versions

HOST = {"Steps": "20", "Sampler": "Euler", "Seed": "7"}
STRONG = Verdict("strong", 18.2, flagged_at=2, evaluations=20, detector="watch")


def test_no_prompt_changes_what_is_read():
    for draw in cases("infotext prompts", 3000):
        hires, params = text(draw), write(Settings(True, mode="damp"), STRONG)
        whole = format_text(text(draw), text(draw), {**HOST, **({"Hires prompt": hires} if hires else {}), **params})
        settings, first, second = read(parse_text(whole)[2])
        assert (settings.mode, first, second) == ("damp", STRONG, None)


def test_spoiled_infotexts_are_read_in_time():
    whole = format_text("a red fox", "blurry", {**HOST, "Model": "one, two", **write(Settings(True), STRONG)}).encode()
    for draw in cases("spoiled infotexts", 3000):
        began, malformed = time.process_time(), []
        spoiled = spoiled_bytes(draw, whole).decode("utf-8", "replace")
        settings, first, _ = read(parse_text(spoiled)[2], malformed)
        assert time.process_time() - began < 1
        assert isinstance(settings, Settings) and (first is None or first.verdict == "strong")


def test_prompts_are_cut_in_time():
    for draw in cases("wording", 3000):
        prompt, negative, began = text(draw, 40), text(draw, 10), time.process_time()
        found = parts(prompt, negative=negative)
        assert len(found) <= 12 and all(0 <= low < high <= len(prompt) for stretch in found for low, high in stretch)
        assert len(versions(prompt, negative=negative)) == len(found) and time.process_time() - began < 1


def test_files_of_prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    for draw in cases("prompt files", 1000):
        path.write_bytes(spoiled_bytes(draw, "a cat\n# no prompt\n\né, two words\n".encode() + text(draw).encode("utf-8", "surrogatepass")))
        try:
            found = read_prompts(path)
        except ValueError as error:
            assert str(error).startswith("prompts.txt") and "\n" not in str(error)
        else:
            assert found and all(one.strip() == one and not any(ord(letter) < 32 and letter != "\t" for letter in one) for one in found)
