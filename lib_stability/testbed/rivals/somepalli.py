"""Random words in the prompt (Somepalli et al., "Understanding and Mitigating Copying in Diffusion Models", NeurIPS 2023, arXiv 2305.20086).

At inference, *random token addition* puts random tokens of the vocabulary at random places of the prompt; *caption word replacement* puts one in the
place of a word. Later comparisons add four, which stands for "as published" here; the number to replace is assumed to be one. The paper's other
inference-time variants (random numbers, repeated words, noise on the embedding) are left out.

The vocabulary is the testbed's own, names of memorized pictures included, as CLIP's includes everybody's. A drawn word never equals the one that it
replaces; a caption stays as short as the text encoder reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..network.model import MAX_TOKENS
from ..world.kinds import all_words
from .base import Mitigation


def added(caption: str, count: int, rng: np.random.Generator) -> str:
    """`caption` with `count` random words of the vocabulary at random places."""
    words, vocabulary = caption.split(), all_words()
    for _ in range(min(count, MAX_TOKENS - 2 - len(words))):
        words.insert(int(rng.integers(len(words) + 1)), vocabulary[int(rng.integers(len(vocabulary)))])
    return " ".join(words)


def replaced(caption: str, count: int, rng: np.random.Generator) -> str:
    """`caption` with `count` of its words (all, if it has fewer) replaced by random other ones."""
    words, vocabulary = caption.split(), all_words()
    for place in rng.permutation(len(words))[:count]:
        others = [word for word in vocabulary if word != words[place]]
        words[place] = others[int(rng.integers(len(others)))]
    return " ".join(words)


@dataclass(frozen=True)
class AddedWords(Mitigation):
    """Random words added, new ones for each picture."""

    words: int = 4
    name = "Somepalli, words added"

    def captions(self, captions: Sequence[str], seed: int) -> list[str]:
        return [added(caption, self.words, np.random.default_rng((seed, index))) for index, caption in enumerate(captions)]


@dataclass(frozen=True)
class ReplacedWords(Mitigation):
    """Random words in place of the prompt's, other ones for each picture."""

    words: int = 1
    name = "Somepalli, words replaced"

    def captions(self, captions: Sequence[str], seed: int) -> list[str]:
        return [replaced(caption, self.words, np.random.default_rng((seed, index))) for index, caption in enumerate(captions)]
