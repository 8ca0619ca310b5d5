"""What the guard has the host encode: nothing before an image is flagged, nothing twice, and afterwards the network is where it samples."""

from __future__ import annotations

import pytest
import torch
from conftest import FORGE
from test_judging import FULL, MEMORIZED, pixels, verdict

from lib_stability.testbed.network.model import Testbed
from lib_stability.webui.host import encodings, versions

ORDINARY = "small blue square plain"
DAMP = {"mode": "damp", "damping": "reword"}


@pytest.fixture
def encoded(host, monkeypatch):
    """The texts that the loaded model encodes, as they are asked for."""
    encodings.ENCODINGS.forget()
    seen, model = [], host.shared.sd_model
    make = model.get_learned_conditioning
    monkeypatch.setattr(model, "get_learned_conditioning", lambda texts: seen.extend(texts) or make(texts))
    yield seen
    encodings.ENCODINGS.forget()


def spent(encoded: list, generate, *args, **fields) -> list[str]:
    encoded.clear()
    generate(*args, **fields)
    return list(encoded)


def test_an_unflagged_image_has_nothing_encoded_but_the_empty_prompt_once(generate, encoded):
    fields = {"prompt": f"{ORDINARY} large red circle", "batch_size": 4, **FULL}
    off = spent(encoded, generate, None, **fields)
    first = spent(encoded, generate, DAMP, **fields)
    assert sorted(first) == sorted([*off, ""])
    assert spent(encoded, generate, DAMP, **{**fields, "n_iter": 2}) == spent(encoded, generate, None, **{**fields, "n_iter": 2})
    assert spent(encoded, generate, {"mode": "report", "probe": "always"}, **fields) == off


def test_a_flagged_image_has_one_stage_encoded_and_the_next_job_nothing(generate, encoded):
    fields = {"prompt": [MEMORIZED, ORDINARY], "batch_size": 2, **FULL}
    off = spent(encoded, generate, None, **fields)
    extra = spent(encoded, generate, DAMP, **fields)
    (own,) = versions.of(type("Job", (), {"prompts": [MEMORIZED]}), [""])
    assert sorted(extra) == sorted([*off, "", *own.stage(0)])
    assert spent(encoded, generate, DAMP, **fields) == off


@pytest.mark.parametrize("kind", ["sd1", "sdxl"])
def test_a_model_that_is_told_the_size_has_it_encoded_anew(host, checkpoint, encoded, kind):
    checkpoint("sized", kind)
    p = host.processing.StableDiffusionProcessingTxt2Img(prompt="", width=128, height=128)
    first = encodings.ENCODINGS.of(p, ["red circle"])
    p.width = 64
    assert (encodings.ENCODINGS.known(p, "red circle") is None) == (kind == "sdxl")
    assert (encodings.ENCODINGS.of(p, ["red circle"]) == first) == (kind == "sd1")


@pytest.mark.parametrize("what", ["clip skip", "model"])
def test_nothing_is_kept_that_would_be_encoded_otherwise(host, generate, encoded, options, what):
    fields = {"prompt": MEMORIZED, **FULL}
    spent(encoded, generate, DAMP, **fields)
    off = spent(encoded, generate, None, **fields)
    if what == "clip skip":
        options.set("CLIP_stop_at_last_layers", 2)
    else:
        encodings.ENCODINGS._model = lambda: None  # what a weak reference to a model that is gone says
    assert len(spent(encoded, generate, DAMP, **fields)) > len(off)


def test_what_is_kept_has_a_bound(generate, encoded, monkeypatch):
    monkeypatch.setattr(encodings, "MOST", 0)
    fields = {"prompt": MEMORIZED, **FULL}
    one, other = (spent(encoded, generate, DAMP, **fields) for _ in range(2))
    assert one == other and encodings.ENCODINGS._kept == []


def test_kept_and_new_encodings_make_the_same_picture(generate, encoded):
    fields = {"prompt": MEMORIZED, **FULL}
    first, second = (generate(DAMP, **fields) for _ in range(2))
    assert verdict(first).damped > 5 and pixels(first) == pixels(second)


@pytest.mark.skipif(not FORGE, reason="A1111 moves what it has to by itself")
def test_after_encoding_the_network_is_where_it_samples(host, generate, encoded):
    done = generate(DAMP, prompt=MEMORIZED, **FULL)
    assert verdict(done).damped > 5 and verdict(done).reason == ""
    assert host.shared.sd_model.forge_objects.unet.model.loaded


def test_a_text_encoder_that_fails_costs_the_rewording_alone(host, generate, encoded, monkeypatch, logged):
    fields = {"prompt": MEMORIZED, **FULL}
    generate(None, **fields)
    monkeypatch.setattr(encodings, "while_sampling", lambda call, texts: 1 / 0)
    found = verdict(generate(DAMP, **fields))
    assert found.flagged and found.damped > 0 and found.reason == "error ZeroDivisionError in the reword"
    logged.clear()


def test_repeated_tokens_change_no_prediction():
    """What makes conditionings of several lengths one batch."""
    bed = Testbed.load()
    text, z = bed.encode_text([ORDINARY, "circle"]), torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([500.0, 100.0])
    with torch.inference_mode():
        one, three = (bed.unet(z, t, versions._repeated(text, count * text.shape[1])).sample for count in (1, 3))
    assert torch.allclose(one, three, atol=1e-5) and not torch.equal(one[0], one[1])


@pytest.mark.parametrize("as_dict", [False, True])
def test_conditionings_of_several_lengths_become_one_batch(host, as_dict):
    from modules.prompt_parser import DictWithShape, ScheduledPromptConditioning

    def schedule(length: int) -> list:
        row = torch.arange(length * 2.0).view(length, 2)
        return [ScheduledPromptConditioning(20, DictWithShape({"crossattn": row, "vector": row[0]}) if as_dict else row)]

    found = versions.together([schedule(2), schedule(3), schedule(2)], 0)
    tokens = found["crossattn"] if as_dict else found
    assert tokens.shape == (3, 6, 2) and tokens[0].tolist() == schedule(2)[0].cond["crossattn" if as_dict else slice(None)].repeat(3, 1).tolist()
    assert not as_dict or (isinstance(found, DictWithShape) and found["vector"].shape == (3, 2))
