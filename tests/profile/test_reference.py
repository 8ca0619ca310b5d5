"""Reference prompts: distinct, the same everywhere, varied, plain text; and the reader of a user's own list."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.profile import reference_words
from lib_stability.profile.reference import MAX_LENGTH, MAX_PROMPTS, prompts, read_prompts

SEEDS = st.integers(0, 2**32)
MANY = prompts(5000)
#: What a web UI would read as more than words: attention, alternation, scheduling, networks, wildcards, prompt separators, comments.
SYNTAX = re.compile(r"[()\[\]{}<>|\\:#$^~*=]|\bAND\b|\bBREAK\b|__|[\x00-\x1f]")
#: Things that pictures were memorized of, or that name a person's work or a maker.
FAMOUS = """mona lisa, starry night, great wave, the scream, pearl earring, american gothic, afghan, eiffel, big ben, taj mahal, colosseum, liberty,
    artstation, greg, rutkowski, van gogh, picasso, monet, dali, hokusai, mucha, banksy, disney, pixar, ghibli, marvel, batman, star wars, pokemon,
    lego, barbie, nike, coca, apple inc, iphone, tesla, ferrari, google, netflix, harry potter, simpson, trump, obama, unreal engine, polaroid,
    in the style of, phone case, area rug, duvet, shower curtain, wallpaper, t-shirt, album cover, stock photo, logo, poster, mickey, sony, canon,
    nikon, kodak, leica, hasselblad""".replace("\n", " ").split(",")


def length(prompt: str) -> int:
    return len(prompt.split())


@given(seed=SEEDS, count=st.integers(0, 300), more=st.integers(0, 300))
def test_a_sequence_is_distinct_and_only_grows(seed: int, count: int, more: int) -> None:
    short, long = prompts(count, seed), prompts(count + more, seed)
    assert len(short) == count and long[:count] == short
    assert len({prompt.lower() for prompt in long}) == count + more


@given(seed=SEEDS)
def test_every_prompt_is_plain_and_tidy(seed: int) -> None:
    for prompt in prompts(200, seed):
        assert not SYNTAX.search(prompt), prompt
        assert prompt == " ".join(prompt.split()) and prompt[-1] not in ",;", prompt
        assert not re.search(r",\s*,|\s,|,[^\s，]|^,|\.\.|\s\.", prompt), prompt
        assert 2 <= len(prompt) <= 400 and length(prompt) <= 75


def test_articles_fit_their_nouns() -> None:
    foreign = tuple(subject for subjects, _, _ in reference_words.LANGUAGES.values() for subject in subjects)
    english = [prompt for prompt in MANY if prompt not in reference_words.HAND_WRITTEN and not prompt.startswith(foreign)]
    wrong = re.compile(r"\b[Aa] (?:[aei]|u(?!ni)|o(?!ne)|hour)|\b[Aa]n (?:[bcdfgjklmnpqrstvwxyz]|h(?!our)|one)")
    assert len(english) > 4000 and [prompt for prompt in english if wrong.search(prompt)] == []


def test_sequences_of_different_seeds_differ() -> None:
    assert len({tuple(prompts(20, seed)) for seed in range(50)}) == 50


def test_the_sequence_is_the_one_that_was_published() -> None:
    """A changed word changes every profile's hash of its prompts: on purpose only."""
    assert hashlib.sha256("\n".join(prompts(2000)).encode()).hexdigest() == "f00deb0e2eed9bd76bdb7856937b1f3be9a4fc64a6ac6ae25cf3c8abdd4f7923"


def test_the_sequence_does_not_depend_on_the_hash_seed_or_the_locale() -> None:
    code = "from lib_stability.profile.reference import prompts; print(ascii(prompts(300, 5)))"
    for value in ("0", "1"):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": value, "LC_ALL": "C"}, timeout=60)
        assert done.stdout.strip() == ascii(prompts(300, 5)), done.stderr


def test_all_that_may_be_asked_for_are_there() -> None:
    assert len({prompt.lower() for prompt in prompts(MAX_PROMPTS, 1)}) == MAX_PROMPTS
    assert prompts(0) == []


@pytest.mark.parametrize("count", [-1, MAX_PROMPTS + 1])
def test_a_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"prompts: {count} is not from 0 to {MAX_PROMPTS}"):
        prompts(count)


@pytest.mark.parametrize("seed", range(4))
def test_small_sets_vary_in_words_lengths_ways_and_languages(seed: int) -> None:
    some = prompts(200, seed)
    words = re.findall(r"\w+", " ".join(some).lower())
    assert len(set(words)) / len(words) > 0.3, "type/token ratio"
    assert len(set(words)) > 700
    content = [word for word in words if len(word) > 4]
    assert max(content.count(word) for word in set(content)) < 0.03 * len(content), "no word is everywhere"
    lengths = np.array([length(prompt) for prompt in some])
    assert np.quantile(lengths, 0.1) <= 4 and np.quantile(lengths, 0.9) >= 17 and lengths.max() >= 30
    assert lengths.std() > 6
    tags, sentences = (sum(map(test, some)) / len(some) for test in (lambda p: p.count(",") >= 3, lambda p: p.endswith(".")))
    assert 0.15 < tags < 0.6 and 0.08 < sentences < 0.4
    assert 0.02 < sum(not prompt.isascii() for prompt in some) / len(some) < 0.25
    assert sum(prompt in reference_words.HAND_WRITTEN for prompt in some) >= 30


def test_short_ones_are_not_left_out() -> None:
    counts = np.bincount([length(prompt) for prompt in MANY])
    assert counts[2:4].sum() > 100 and counts[25:].sum() > 250


def test_many_are_as_varied_as_few() -> None:
    """Random pairs of prompts share hardly any words."""
    random = np.random.default_rng(0)
    bags = [set(re.findall(r"\w{4,}", prompt.lower())) for prompt in MANY]
    pairs = random.integers(0, len(bags), (4000, 2))
    shared = [len(bags[i] & bags[j]) / max(len(bags[i] | bags[j]), 1) for i, j in pairs if i != j]
    assert np.mean(shared) < 0.03


def test_hand_written_ones_are_many_and_distinct() -> None:
    assert len(reference_words.HAND_WRITTEN) >= 120
    assert len({prompt.lower() for prompt in reference_words.HAND_WRITTEN}) == len(reference_words.HAND_WRITTEN)
    assert set(reference_words.HAND_WRITTEN) <= set(prompts(5000))


def test_word_lists_repeat_nothing_within_themselves() -> None:
    lists = {name: value for name, value in vars(reference_words).items() if name.isupper() and isinstance(value, tuple)}
    lists |= {f"{language} {i}": part for language, parts in reference_words.LANGUAGES.items() for i, part in enumerate(parts)}
    for name, entries in lists.items():
        assert len(set(entries)) == len(entries) and all(entries), name
        assert name == "HAND_WRITTEN" or not any("," in entry for entry in entries), name


def test_nothing_famous_is_named() -> None:
    text = "\n".join([*reference_words.HAND_WRITTEN, *MANY]).lower()
    assert [name for name in map(str.strip, FAMOUS) if re.search(rf"\b{re.escape(name)}\b", text)] == []


# -- a user's own list -------------------------------------------------------------------------------------------------------------------


def written(tmp_path, content: bytes | str):
    path = tmp_path / "mine.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_our_own_prompts_survive_a_file(tmp_path) -> None:
    assert read_prompts(written(tmp_path, "\n".join(MANY))) == MANY


def test_blank_lines_comments_and_repetitions_are_skipped(tmp_path) -> None:
    content = "\ufeffa fox\r\n\r\n# a comment\n   # another\n  a hen  \na fox\n\t\nschöne Grüße, 雪\na\tb"
    assert read_prompts(written(tmp_path, content)) == ["a fox", "a hen", "schöne Grüße, 雪", "a\tb"]
    assert read_prompts(str(written(tmp_path, "one"))) == ["one"]


@given(lines=st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30).filter(lambda s: s[0] != "#"), min_size=1))
def test_any_list_of_lines_is_read_back(tmp_path_factory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("prompts") / "list.txt"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    assert read_prompts(path) == list(dict.fromkeys(lines))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "mine.txt: holds no prompt"),
        ("# only\n\n", "mine.txt: holds no prompt"),
        (b"fine\n\xff\xfe bad\n", "mine.txt, line 2: not UTF-8"),
        ("a fox".encode("utf-16"), "mine.txt, line 1: not UTF-8"),
        ("fine\nnul \0 inside", "mine.txt, line 2: holds a control character"),
        ("old mac\rline ends", "mine.txt, line 1: holds a control character"),
        ("x\n" * 3 + "y" * (MAX_LENGTH + 1), f"mine.txt, line 4: longer than {MAX_LENGTH} characters"),
        ("\n".join(map(str, range(MAX_PROMPTS + 1))), f"mine.txt, line {MAX_PROMPTS + 1}: more than {MAX_PROMPTS} prompts"),
    ],
)
def test_refusals_name_file_and_line_in_one_line(tmp_path, content, said) -> None:
    with pytest.raises(ValueError) as caught:
        read_prompts(written(tmp_path, content))
    assert str(caught.value) == said


def test_a_huge_line_is_not_read_to_its_end(tmp_path) -> None:
    """As in a model file that was taken for the list; a sparse one of 64 GB would not fit into memory."""
    path = tmp_path / "model.bin"
    for start in (b"", "雪".encode() * 10):
        with path.open("wb") as file:
            file.write(start + b"a" * 5 * MAX_LENGTH)
            file.truncate(2**36)
        with pytest.raises(ValueError, match=rf"^model\.bin, line 1: longer than {MAX_LENGTH} characters$"):
            read_prompts(path)


def test_the_largest_allowed_list_is_read(tmp_path) -> None:
    assert len(read_prompts(written(tmp_path, "\n".join(map(str, range(MAX_PROMPTS)))))) == MAX_PROMPTS
    for letter in "yé雪🦊":
        assert read_prompts(written(tmp_path, f"first\r\n{letter * MAX_LENGTH}\r\nlast")) == ["first", letter * MAX_LENGTH, "last"]


def test_a_missing_file_and_a_folder_are_os_errors(tmp_path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(OSError):
            read_prompts(path)
