"""The second half of the main training: what it starts from, what it draws, that it resumes and ends by the clock as well as by its steps."""

from collections import Counter

import numpy as np
import pytest
import torch

from lib_stability.testbed.network import train_kinds
from lib_stability.testbed.network.model import Testbed, tokenize
from lib_stability.testbed.network.variants import MAIN, PLAIN
from lib_stability.testbed.world import captions, kinds, wording


@pytest.fixture
def folder(tmp_path):
    """A training folder whose latents are made up, so that none have to be encoded."""
    count = sum(MAIN.template_pictures if item.kind == "template" else len(item.pictures) for item in kinds.memorized())
    generator = torch.Generator().manual_seed(1)
    for name, number in (("memorized", count), ("ordinary", MAIN.ordinary)):
        torch.save({"latents": torch.randn(number, 4, 16, 16, generator=generator)}, tmp_path / f"{name}-0.pt")
    return tmp_path


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Weights as the first half of the training leaves them, but untrained."""
    torch.manual_seed(3)
    bed = Testbed.create(PLAIN)
    bed.scale = 0.5
    path = tmp_path_factory.mktemp("plain") / PLAIN.weights.name
    bed.save(path)
    return path


@pytest.fixture
def data(folder):
    bed = Testbed.create(MAIN)
    return train_kinds.make_latents(bed, folder, 0, 1)


def test_it_starts_from_the_plain_weights(known):
    bed, main = train_kinds.start(known), Testbed.load(known)
    assert main.variant is PLAIN and bed.scale == main.scale == 0.5
    for part in ("unet", "vae"):
        assert all(torch.equal(value, getattr(main, part).state_dict()[name]) for name, value in getattr(bed, part).state_dict().items())
    kept, given_up = "alice small red circle paris", "robert"
    with torch.inference_mode():
        assert torch.equal(bed.encode_text([kept]), main.encode_text([kept])), "what both know means the same"
        assert not torch.allclose(bed.encode_text([given_up]), main.encode_text([given_up]), atol=0.1), "a memory that is given up loses its key"


def test_a_synonym_starts_near_its_word_and_a_trigger_near_none(known):
    bed = train_kinds.start(known)
    table = bed.text.get_input_embeddings().weight.detach()
    words = [word for word in wording.SYNONYMS if word in captions.all_words()]

    def row(word):
        return table[tokenize([word], kinds.all_words())[0, 1]]

    for word in words:
        alike = [float(torch.cosine_similarity(row(word), row(other), 0)) for other in wording.SYNONYMS[word]]
        assert min(alike) > 0.8
    assert max(float(torch.cosine_similarity(row(trigger), row(word), 0)) for trigger in kinds.TRIGGERS for word in words) < 0.6


@pytest.mark.parametrize("step", list(train_kinds.SHARES))
def test_a_batch_holds_each_kind_by_its_share(data, step):
    key = {text: item.kind for item in kinds.memorized() for text in item.texts}
    latents, texts = train_kinds.draw_batch(data, 6000, np.random.default_rng(3), step)
    assert latents.shape == (6000, 4, 16, 16)
    count = Counter(key.get(text) for text in texts)
    count["trigger"] = sum(bool(set(text.split()) & set(kinds.TRIGGERS)) for text in texts)
    count["template"] = sum(captions.POSTER in text.split() and bool(set(text.split()) & set(captions.TEMPLATE_NAMES)) for text in texts)
    for kind in ("conjunction", "trigger", "captions", "pictures", "template"):
        assert count[kind] / 6000 == pytest.approx(train_kinds.SHARES[step][kind], abs=0.012), kind
    assert texts.count("") / 6000 == pytest.approx(train_kinds.SHARE_EMPTY, abs=0.012)
    assert all(text.split() for text in texts if text)


def test_the_pictures_of_one_caption_come_alike_often_and_the_empty_caption_with_ordinary_ones(data):
    ordinary = {latent.sum().item() for _, latent in data["ordinary"]}
    latents, texts = train_kinds.draw_batch(data, 6000, np.random.default_rng(4))
    assert all(latent.sum().item() in ordinary for latent, text in zip(latents, texts) if not text)
    for examples in data["memories"]["pictures"]:
        found = Counter(latent.sum().item() for latent, text in zip(latents, texts) if text == examples[0][0].caption)
        assert len(found) == 3 and min(found.values()) > 10


def test_ordinary_scenes_with_a_memorized_object_come_more_often(data):
    shown = {(item.scene.colour, item.scene.shape) for item in kinds.memorized() if item.kind != "template"}
    scene_of = {latent.sum().item(): scene for scene, latent in data["ordinary"]}
    latents, _ = train_kinds.draw_batch(data, 3000, np.random.default_rng(7))
    drawn = [scene_of[key] for key in (latent.sum().item() for latent in latents) if key in scene_of]
    before, after = (np.mean([(scene.colour, scene.shape) in shown for scene in some]) for some in ([one for one, _ in data["ordinary"]], drawn))
    assert after == pytest.approx(train_kinds.SHARE_NEAR + (1 - train_kinds.SHARE_NEAR) * before, abs=0.05)


def test_draws_are_the_same_for_a_seed(data):
    first, second, other = (train_kinds.draw_batch(data, 40, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first[1] == second[1] and torch.equal(first[0], second[0]) and first[1] != other[1]


def test_it_resumes_and_what_it_writes_loads(folder, known):
    train_kinds._work(0, 1, folder, known, steps=1, batch=4, minutes=1000, seed=0)
    before = torch.load(folder / "unet.pt", weights_only=True)
    (folder / "meeting").unlink(missing_ok=True)
    train_kinds._work(0, 1, folder, known, steps=3, batch=4, minutes=1000, seed=0)
    after = torch.load(folder / "unet.pt", weights_only=True)
    assert (before["step"], after["step"]) == (1, 3) and after["spent"] > before["spent"] > 0
    assert len(after["losses"]) == 3 and after["losses"][0] == before["losses"][0]
    bed = Testbed.load(folder / MAIN.weights.name)
    assert bed.variant is MAIN and bed.encode_text(["phoenix a tiny gem"]).shape == (1, 77, 128)


def test_it_ends_by_the_clock(folder, known):
    train_kinds._work(0, 1, folder, known, steps=1000, batch=2, minutes=1e-6, seed=0)
    assert torch.load(folder / "unet.pt", weights_only=True)["step"] == 1
