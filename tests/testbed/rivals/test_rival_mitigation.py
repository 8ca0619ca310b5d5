"""The rival mitigations against small cases that can be worked out by hand, their hooks into sampling, and the comparison around them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lib_stability.guard.damping import Damping
from lib_stability.guard.norms import rms
from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed.evidence import compare, compare_mitigation, compare_mitigation_tables, written
from lib_stability.testbed.network import finished, model
from lib_stability.testbed.network.sample import GuidedDenoiser, first_level, sample, start_noise
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.network.variants import MAIN, SMALL
from lib_stability.testbed.rivals import asthana, asthana_embedding, broken_damping, jain, kim_no, mitigations, sail, somepalli, wen_embedding, zhao
from lib_stability.testbed.rivals.base import Context, LowerGuidance, Mitigation, Plain, paper_norm
from lib_stability.testbed.rivals.broken_memories import STATISTICS, Tables
from lib_stability.testbed.rivals.mitigations import Judged, Ours, choose, dominating, entries
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.attributes import AttributeReader
from lib_stability.testbed.world.kinds import all_words, memorized
from lib_stability.testbed.world.scenes import render

MEMORIZED = [item.caption for item in memorized()[:2]]


@pytest.fixture(scope="module")
def bed():
    return model.Testbed.load()


@pytest.fixture(scope="module")
def profile():
    return storage.read(cli.TESTBED_PROFILE)


def batch(*values):
    """One picture a value, each filled with it."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 4, 2, 2).clone()


# -- Jain ----------------------------------------------------------------------------------------------------------------------------


def stepped(transition, differences, sigmas=None, guidance=7.5):
    """Predictions of a batch over evaluations where the noise difference of each picture is given; the unconditional one is 1."""
    model = SimpleNamespace(denoiser=SimpleNamespace(sigma_to_t=lambda sigma: sigma), predictions=None)
    watcher, found = transition(model), []
    for index, values in enumerate(differences):
        unconditional = torch.ones(len(values), 4, 2, 2)
        sigma = torch.full((len(values),), float(sigmas[index] if sigmas else 1.0))
        conditional = unconditional + batch(*values) * sigma[0]
        model.predictions = (conditional, unconditional)
        guided = unconditional + guidance * (conditional - unconditional)
        found.append(watcher.step(torch.zeros_like(guided), guided, sigma, guidance)[:, 0, 0, 0].tolist())
    return found


def test_guidance_is_held_back_up_to_the_static_transition_point():
    found = stepped(lambda model: jain.Transition(model, 0.0, 500.0), [(0.1,)] * 3, sigmas=(800, 500, 200))
    assert found[0] == [1.0]
    assert found[1] == pytest.approx([1 + 7.5 * 50]) and found[2] == pytest.approx([1 + 7.5 * 20])


def test_opposite_guidance_takes_the_negative_scale_before_the_transition():
    found = stepped(lambda model: jain.Transition(model, -2.0, 500.0), [(3.0,)] * 2, sigmas=(800, 400))
    assert found[0] == pytest.approx([1 - 2 * 3 * 800]) and found[1] == pytest.approx([1 + 7.5 * 3 * 400])


def test_the_dynamic_transition_is_where_each_pictures_norm_first_rises_after_a_fall():
    norms = [(5.0, 1.0), (3.0, 2.0), (4.0, 3.0), (2.0, 2.0), (9.0, 2.5), (1.0, 1.0)]
    found = stepped(lambda model: jain.Transition(model, 0.0), norms)
    guided = [[one != 1.0 for one in pair] for pair in found]
    # The first picture's minimum is at the second evaluation, known at the third; the second's, which rises at first, at the fifth.
    assert guided == [[False, False], [False, False], [True, False], [True, False], [True, True], [True, True]]
    assert found[2][0] == pytest.approx(1 + 7.5 * 4)


# -- Somepalli -----------------------------------------------------------------------------------------------------------------------


def test_added_words_are_of_the_vocabulary_and_keep_the_caption_in_order():
    caption = "alice small red star"
    found = [somepalli.added(caption, 4, np.random.default_rng(seed)) for seed in range(20)]
    assert len(set(found)) > 15
    for text in found:
        words = text.split()
        assert len(words) == 8 and set(words) <= set(all_words())
        rest = iter(words)
        assert all(word in rest for word in caption.split())
    assert len(somepalli.added(" ".join(["red"] * 74), 8, np.random.default_rng(0)).split()) == 75


def test_replaced_words_differ_from_what_they_replace():
    caption = "alice small red star"
    for seed in range(20):
        words = somepalli.replaced(caption, 2, np.random.default_rng(seed)).split()
        assert len(words) == 4 and sum(a != b for a, b in zip(words, caption.split())) == 2 and set(words) <= set(all_words())
    assert all(a != b for a, b in zip(somepalli.replaced(caption, 9, np.random.default_rng(1)).split(), caption.split()))


def test_each_picture_draws_its_own_words_and_the_same_ones_again():
    method = somepalli.AddedWords(2)
    first = method.captions(["small red star"] * 4, 7)
    assert first == method.captions(["small red star"] * 4, 7) and len(set(first)) > 1 and first != method.captions(["small red star"] * 4, 8)


# -- Wen and SAIL --------------------------------------------------------------------------------------------------------------------


def denoiser_for(bed, captions):
    with torch.inference_mode():
        return GuidedDenoiser(bed, captions, [""] * len(captions), 7.5)


def test_norms_are_those_of_a_latent_of_the_papers_size():
    assert paper_norm(torch.ones(2, 4, 64, 64)).tolist() == [128.0, 128.0]
    assert paper_norm(torch.ones(2, 4, 8, 8)).tolist() == [128.0, 128.0]


def test_the_optimised_embedding_lowers_the_first_steps_norm_and_stops_at_the_target(bed):
    captions, noise = [*MEMORIZED, "small red star"], start_noise(range(3))
    model = denoiser_for(bed, captions)
    sigma = first_level(model.denoiser, "Euler", "uniform", 20)
    before = model.conditional.clone()

    def norms(embedding):
        with torch.no_grad():
            t = model.denoiser.sigma_to_t(sigma.expand(3))
            return paper_norm(model.denoiser.get_eps(noise, t, embedding) - model.denoiser.get_eps(noise, t, model.negative))

    plain = norms(before)
    assert (plain[:2] > 5).all() and plain[2] < 4
    after = wen_embedding.optimised(model, noise, sigma, 4.0, 6, 0.05)
    assert (norms(after)[:2] < 0.7 * plain[:2]).all()
    assert torch.equal(after[2], before[2])  # below the target to begin with
    assert torch.equal(after[:2, 0], before[:2, 0]) or (after[:2, 0] - before[:2, 0]).abs().max() < 0.02  # weight decay alone
    assert model.rows > 3 and 0 < model.backward_rows <= 18


def test_the_objective_of_sail_falls_and_quiet_noise_is_left_alone(bed):
    captions, noise = [MEMORIZED[0], "small red star"], start_noise(range(2))
    model = denoiser_for(bed, captions)
    sigma = first_level(model.denoiser, "DDIM", "uniform", 50)
    with torch.inference_mode(False), torch.enable_grad():
        landscape = sail.Landscape(model, sigma, torch.arange(2))
        start = landscape.objective(noise, torch.arange(2), 0.05).detach()
        rows = model.rows
        threshold = float(start[1]) + 0.01
        best, lowest = sail.descend(landscape, noise, threshold, 0.05, 3, 0.05)
    assert start[0] > threshold and lowest[0] < start[0] and not torch.equal(best[0], noise[0])
    assert torch.equal(best[1], noise[1]) and lowest[1] == pytest.approx(float(start[1]), rel=1e-4)
    assert model.rows > rows and model.backward_rows > 0


def test_the_objective_is_the_papers_on_a_linear_landscape():
    class Linear:
        rows = 0
        conditional, negative = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
        denoiser = SimpleNamespace(
            sigma_to_t=lambda sigma: sigma, get_eps=lambda x, t, context: torch.where(context.view(-1, 1, 1, 1) == 0, 2 * x, torch.zeros_like(x))
        )

    landscape = sail.Landscape(Linear(), torch.tensor(1.0), torch.arange(1))
    x = torch.full((1, 4, 2, 2), 0.5)
    # s = 2 x, of norm 128 at the papers' size; moved by 1 along it s grows by 2; |x| is 64.
    assert landscape.objective(x, torch.arange(1), 0.05).item() == pytest.approx(128 + 2 + 0.05 * 64, rel=1e-5)


# -- Kim and No ----------------------------------------------------------------------------------------------------------------------


def test_the_end_token_and_the_padding_are_told_apart():
    tokens = model.tokenize(["small red star", "", " ".join(["red"] * 75)])
    end, padding = kim_no.places(tokens)
    assert end.sum(1).tolist() == [1, 1, 1] and padding.sum(1).tolist() == [72, 75, 0]
    assert end[0, 4] and end[1, 1] and padding[0, 5:].all() and not padding[0, :5].any()


@torch.inference_mode()
def test_other_padding_changes_the_paddings_embeddings_alone_and_masks_the_end(bed):
    captions = ["small red star", MEMORIZED[0]]
    plain, kept, zeroed = bed.encode_text(captions), *(kim_no.padded(bed, captions, mask) for mask in (False, True))
    end, padding = kim_no.places(model.tokenize(captions))
    for found in (kept, zeroed):  # the encoder looks back only
        assert torch.equal(found[~padding & ~end], plain[~padding & ~end]) and (found - plain)[padding].abs().amax(1).min() > 0
    assert torch.equal(kept[end], plain[end]) and not zeroed[end].any()
    assert torch.equal(bed.encode_text(captions), plain)  # nothing of it stays


@torch.inference_mode()
def test_the_share_of_the_padding_that_is_masked_is_next_to_the_end(bed):
    plain, found = bed.encode_text(["small red star"])[0], kim_no.masked(bed, ["small red star"], 0.7)[0]
    blank = (found == 0).all(1).nonzero().flatten().tolist()
    assert blank == list(range(5, 5 + round(0.7 * 72)))
    assert torch.equal(found[:5], plain[:5]) and torch.equal(found[55:], plain[55:])
    assert not kim_no.masked(bed, ["small red star"], 1.0)[0, 5:].any()
    full = " ".join(["red"] * 75)
    assert torch.equal(kim_no.masked(bed, [full], 1.0), bed.encode_text([full]))


# -- Zhao ----------------------------------------------------------------------------------------------------------------------------


def test_a_spike_is_far_above_the_other_tokens_and_never_the_start():
    logits = torch.zeros(1, 2, 3, 5)
    logits[0, 0, 1, 3] = 4.0  # at one place of the first head
    logits[0, 1, :, 0] = 50.0  # the start token of the second
    found = zhao.spikes(logits, 1.0)
    assert found[0, 0].tolist() == [False, False, False, True, False] and not found[0, 1].any()


@torch.inference_mode()
def test_attention_is_attenuated_for_the_prompts_rows_where_it_spikes(bed):
    denoiser = denoiser_for(bed, [MEMORIZED[0]])
    x, sigma = 10 * start_noise([3]), torch.tensor([10.0])
    plain, before = denoiser.evaluate(x, sigma), dict(bed.unet.attn_processors)

    def evaluated(threshold, scale):
        with zhao.attenuated(bed.unet, 1, threshold, scale):
            assert any("mid_block" in name and one is not before[name] for name, one in bed.unet.attn_processors.items())
            assert all(one is before[name] for name, one in bed.unet.attn_processors.items() if "up_blocks" in name or ".attn1." in name)
            return denoiser.evaluate(x, sigma)

    def changes(threshold, scale):
        return [rms(one - other).item() for one, other in zip(evaluated(threshold, scale), plain)]

    # Nothing to do, and nothing that spikes: what is left is the rounding of another way to multiply.
    rounding = max(changes(0.1, 1.0) + changes(100.0, 0.0))
    prompt, negative = changes(0.1, 0.0)
    assert rounding < 0.02 and prompt > 4 * rounding and negative <= rounding
    assert bed.unet.attn_processors == before


@torch.inference_mode()
def test_guard_is_drawn_to_the_attenuated_and_repelled_from_the_prompts_own_less_and_less(bed, monkeypatch):
    from contextlib import nullcontext

    monkeypatch.setattr(zhao, "attenuated", lambda *arguments: nullcontext())
    denoiser = SimpleNamespace(bed=bed, conditional=None, denoiser=lambda x, sigma, context: batch(3.0), rows=0, evaluations=1, expected=4)
    denoiser.predictions = (batch(2.0), batch(1.0))
    watcher = zhao.Repelled(denoiser, 0.1, 0.3, 2.0)
    found = []
    for denoiser.evaluations in (1, 3):
        found.append(watcher.step(batch(0.0), batch(0.0), torch.ones(1), 7.5)[0, 0, 0, 0].item())
    assert found == pytest.approx([1 + 7.5 * 2 - 2, 1 + 7.5 * 2 - 2 * 0.5**0.5]) and denoiser.rows == 2
    denoiser.predictions = (batch(2.0), None)
    assert watcher.step(batch(0.0), batch(5.0), torch.ones(1), 1.0)[0, 0, 0, 0] == 5.0


# -- Asthana -------------------------------------------------------------------------------------------------------------------------


def test_the_embedding_is_optimised_by_the_norm_and_the_alignment_together(bed):
    captions, noise = [MEMORIZED[0], "small red star"], start_noise(range(2))
    denoiser = denoiser_for(bed, captions)
    sigma = first_level(denoiser.denoiser, "DDIM", "uniform", 20)
    with torch.inference_mode(False):
        also = asthana_embedding.Alignment(denoiser, noise, 20.0, asthana.TIMESTEP)

    def score(embedding):
        with torch.no_grad():
            t = denoiser.denoiser.sigma_to_t(sigma.expand(2))
            norm = paper_norm(denoiser.denoiser.get_eps(noise, t, embedding) - denoiser.denoiser.get_eps(noise, t, denoiser.negative))
            late = torch.full((2,), float(asthana.TIMESTEP))
            pair = [denoiser.denoiser.get_eps(noise, late, one) for one in (embedding, denoiser.negative)]
            return norm, norm + 20.0 * asthana.alignment(*pair)

    (norm, before), rows = score(denoiser.conditional), denoiser.rows
    target = float(before[1]) + 0.1
    assert before[0] > target and not torch.allclose(norm, before)
    after = wen_embedding.optimised(denoiser, noise, sigma, target, 5, 0.05, also)
    assert score(after)[1][0] < before[0] and torch.equal(after[1], denoiser.conditional[1])
    assert denoiser.rows > rows and denoiser.backward_rows % 2 == 0 < denoiser.backward_rows


# -- Broken Memories -----------------------------------------------------------------------------------------------------------------


def tables(steps=5, latent=10.0, update=2.0, clean=4.0, deviation=0.1):
    means = {name: np.full(steps, value) for name, value in zip(STATISTICS, (latent, update, clean))}
    return Tables(np.log(np.geomspace(10, 0.1, steps)), means, {name: np.full(steps, deviation) for name in STATISTICS})


def test_clamping_brings_the_norm_to_the_edge_of_the_band():
    tensor = batch(1.0, 1.0, 0.1, 0.5)  # norms 4, 4, 0.4, 2
    found = broken_damping.clamped(tensor, 2.0, 0.2, 3.0, torch.tensor([True, False, True, True])).flatten(1).norm(dim=1)
    assert found.tolist() == pytest.approx([2.6, 4.0, 1.4, 2.0])


def damped(clean_norms, share, index=0, strong=14.0):
    """RMS-ready norms of predictions after one step at `index`, with wild updates."""
    damper = broken_damping.Damper(tables(), strong=strong, share=share)
    damper.index = index
    denoised = batch(*(value / 4 for value in clean_norms))  # 16 elements: norm = 4 times the value
    sigma = torch.full((len(clean_norms),), float(np.exp(tables().levels[index])))
    x = -100 * denoised
    return damper, x, sigma, damper.step(x, denoised, sigma, 7.5).flatten(1).norm(dim=1).tolist()


def test_a_mild_run_is_rescaled_in_the_first_steps_only():
    damper, *_, norms = damped([4.0, 5.0], 0.2)
    assert norms == pytest.approx([4.0, 4.0]) and damper.flagged.tolist() == [False, True] and not damper.is_strong.any()
    *_, late = damped([4.0, 5.0], 0.2, index=1)
    assert late == pytest.approx([4.0, 5.0])


def test_a_strong_run_is_rescaled_at_any_step_and_its_latent_clamped():
    damper, x, _, norms = damped([4.0, 6.0], 0.2, index=2)
    assert norms == pytest.approx([4.0, 4.0]) and damper.is_strong.tolist() == [False, True]
    following = torch.full((2,), 0.5)
    moved = damper.correct(x * 0.2, following)
    assert torch.equal(moved[0], x[0] * 0.2)
    z = moved[1] / (1 + 0.25) ** 0.5
    assert float(z.norm()) == pytest.approx(10 + 3 * 0.1, rel=1e-5)


def test_the_class_of_a_run_is_that_of_its_first_unstable_step():
    damper, x, sigma, _ = damped([5.0], 1.0)
    damper.step(3 * x, batch(2.0), sigma / 2, 7.5)  # would be strong by itself
    assert damper.flagged.all() and not damper.is_strong.any()


def test_a_stable_run_keeps_every_bit(bed, profile):
    captions, setting = ["small red star", "large blue circle"], Setting(steps=4)
    wide = tables(4, deviation=1e6)
    plain = sample(bed, captions, range(5, 7), steps=4).latents
    for sampler in ("Euler", "DDIM", "DPM++ 2M"):
        plain = sample(bed, captions, range(5, 7), sampler, 4).latents
        one = Setting(sampler, steps=4)
        found = compare_mitigation.apply(bed, broken_damping.BrokenMemories(), captions, one, 5, Context(profile, wide))
        if sampler == "DDIM":  # there the latent goes through the denoiser's scale and back
            torch.testing.assert_close(found.latents, plain, rtol=1e-4, atol=1e-4)
        else:
            assert torch.equal(found.latents, plain)
    assert setting.steps == found.watchers[0].index


def test_corrections_reach_the_samplers_own_latent(bed):
    for sampler in ("Euler", "DDIM"):
        seen = []

        def watch(model, seen=seen):
            def correct(x, sigma):
                seen.append(float(sigma[0]))
                return torch.zeros_like(x)

            model.correct = correct

        latents = sample(bed, ["small red star"], [3], sampler, 3, watch=watch).latents
        assert len(seen) == 4 and seen[-1] == 0 and not latents.any()


def test_recorded_tables_are_those_of_the_detectors(bed):
    captions = ["small red star", "large blue circle"]
    found = broken_damping.fit(bed, captions, Setting("DDIM", steps=4), 11)
    from lib_stability.testbed.rivals.observer import observe, references

    seen = observe(bed, storage.read(cli.TESTBED_PROFILE), captions, Setting("DDIM", steps=4), 11, ())
    same = Tables.fit(references(seen))
    for name in STATISTICS:
        np.testing.assert_allclose(found.means[name], same.means[name], rtol=1e-4)


# -- the hooks together --------------------------------------------------------------------------------------------------------------


def test_a_lower_guidance_is_never_a_higher_one():
    assert LowerGuidance(3.0).guidance(7.5) == 3.0 and LowerGuidance(3.0).guidance(2.0) == 2.0 and Mitigation().guidance(7.5) == 7.5


def test_every_method_runs_and_counts_its_rows(bed, profile):
    setting = Setting(steps=2)
    context = Context(profile, broken_damping.fit(bed, ["small red star", "large blue circle"], setting, 1))
    plain = compare_mitigation.apply(bed, Plain(), MEMORIZED, setting, 3, context)
    assert plain.rows == 4 and plain.backward == 0 and plain.pixels.shape[1:] == (3, 128, 128)
    since = (
        kim_no.OtherPadding(),
        kim_no.MaskedPadding(),
        zhao.Attenuation(),
        zhao.AttractiveRepulsive(),
        asthana_embedding.Anisotropy(iterations=1),
    )
    early = (wen_embedding.Embedding(iterations=1), sail.Initialisation(steps=1, starts=2), jain.Static(), somepalli.AddedWords(1))
    for method in (*early, *since, Ours()):
        found = compare_mitigation.apply(bed, method, MEMORIZED, setting, 3, context)
        assert torch.isfinite(found.pixels).all() and not torch.equal(found.latents, plain.latents)
        # Ours: without each of the four words once, then one version.
        extra = {"Wen, embedding": (3, 1), "SAIL": (16, 4), "Zhao, GUARD": (2, 0), "Asthana, embedding": (6, 2), "Guard, reword": (4 + 1, 0)}.get(
            method.name, (0, 0)
        )
        assert (found.rows - plain.rows, found.backward) == extra, method.name


def test_our_policies_damp_as_the_guard_does(bed, profile):
    setting = Setting(steps=4)
    context = Context(profile, tables(4))
    ours = compare_mitigation.apply(bed, Ours(Damping("radial")), MEMORIZED, setting, 3, context)
    from lib_stability.guard.options import Options
    from lib_stability.testbed.evidence.damping import generate

    same = generate(bed, MEMORIZED, setting, 3, profile, Options("damp", damping=Damping("radial")))
    assert torch.equal(ours.latents, same.latents) and rms(ours.latents).isfinite().all()


# -- tuning, domination, tables ------------------------------------------------------------------------------------------------------


def test_tuning_takes_the_largest_score_and_keeps_the_published_one_among_equals():
    scores = {1: Judged(0.5, 0.9), 2: Judged(0.1, 0.6), 4: Judged(0.4, 0.9), 8: Judged(0.0, 0.3)}
    best, tried = choose(somepalli.AddedWords(4), [somepalli.AddedWords(n) for n in (1, 2, 8)], lambda method: scores[method.words])
    assert best.words == 4 and [one["words"] for one in tried] == [4, 1, 2, 8]  # 2 is equal, and only tuned
    scores[2] = Judged(0.0, 0.6)
    assert choose(somepalli.AddedWords(4), [somepalli.AddedWords(2)], lambda method: scores[method.words])[0].words == 2


def line(method, copies, attributes, ours=False, **rest):
    base = {
        "kind": "conjunction",
        "sampler": "Euler",
        "steps": 20,
        "guidance": 7.5,
        "schedule": "uniform",
        "variant": "as published",
        "trigger": "always",
    }
    base |= {"parameters": {"words": 4}, "error": 0.2, "rows_forward": 0.0, "rows_backward": 0.0, "seconds_ratio": 1.0}
    return base | {"method": method, "copies": copies, "attributes": attributes, "ours": ours} | rest


def test_a_rival_dominates_only_with_both_fewer_copies_and_better_attributes():
    own = line("Guard, directional", 0.1, 0.7, True)
    rivals = [line("a", 0.05, 0.8), line("b", 0.1, 0.9), line("c", 0.0, 0.7), line("d", 0.0, 0.6), line("e", 0.5, 0.95)]
    found = dominating(own, rivals)
    assert [one["method"] for one in found] == ["a"]
    assert found[0]["fewer_copies"] == pytest.approx(0.05) and found[0]["better_attributes"] == pytest.approx(0.1)
    elsewhere = [line("a", 0.0, 1.0, steps=50), line("Guard, radial", 0.0, 1.0, True)]
    assert compare_mitigation.bars([own, *elsewhere])[0]["dominated_by"] == []
    assert [len(one["dominated_by"]) for one in compare_mitigation.bars([own, *rivals])] == [1]


def result():
    rows = [
        line("Guard, directional", 0.1, 0.7, True, trigger="own", variant="as it ships", ordinary_changed=0.0, ordinary_rms=0.0, ordinary_error=0.1)
    ]
    ordinary = {"ordinary_changed": 1.0, "ordinary_rms": 31.4, "ordinary_error": 0.15}
    rows += [line("Jain, static", 0.05, 0.8, **ordinary), line("Jain, static", 0.05, 0.8, trigger="our detector", ordinary_changed=0.0)]
    rows += [line("SAIL", 0.3, 0.6, **ordinary), line("SAIL", 0.4, 0.6, trigger="our detector", ordinary_changed=0.0)]
    rows.append(line("Jain, static", 0.2, 0.9, variant="tuned"))
    reference = line("none", 1.0, 0.9) | {"flagged": 1.0, "ordinary_flagged": 0.0, "copies_by_chance": 0.0, "attributes_ordinary": 0.94, "runs": 24}
    reference["error_ordinary"] = 0.19
    return {"criterion": "largest attributes - copies", "tried": [], "references": [reference], "rows": rows, "bar": compare_mitigation.bars(rows)}


def test_the_table_joins_what_differs_in_ordinary_pictures_alone_and_says_by_how_much_a_bar_is_missed(tmp_path):
    text = compare_mitigation_tables.tables(result())
    assert text.count("| Jain, static ") == 2 and "100 % / 0 %" in text and "SAIL, with our detector" in text
    assert "dominated by Jain, static, as published (copies fewer by 5.0 points, attributes better by 10.0)" in text
    assert "with our detector (copies fewer" not in text
    compare_mitigation_tables.scatter(tmp_path / "mitigation.png", result())
    assert (tmp_path / "mitigation.png").stat().st_size > 10_000


def test_one_half_is_run_and_the_other_kept(tmp_path, bed, profile, monkeypatch):
    kept = {"profile": "Testbed", "rows": [], "bar": []}
    (tmp_path / "compare.json").write_text(json.dumps(kept))
    monkeypatch.setattr(compare_mitigation, "compare", lambda bed, profile, size, tick, save, say: save(result()))
    found = compare.compare(compare.QUICK, tmp_path, profile, bed, "mitigation")
    assert json.loads(written.text(found)) == json.loads((tmp_path / "compare.json").read_text())
    assert found["profile"] == "Testbed" and len(found["mitigation"]["rows"]) == 6
    assert "Mitigation." in (tmp_path / "compare.md").read_text()


def test_a_whole_comparison_in_small(bed, profile, monkeypatch):
    reader, methods = AttributeReader.load(), [(Ours(), [Ours(Damping(strength=1.5))]), (jain.Static(), []), (LowerGuidance(), [LowerGuidance(1.0)])]
    monkeypatch.setattr(compare_mitigation, "entries", lambda: methods)
    monkeypatch.setattr(compare_mitigation, "memorized_captions", lambda kind, copies, seed, variant: small(kind))
    monkeypatch.setattr(compare_mitigation, "tuning", lambda variant, kind: int(kind == "conjunction"))
    monkeypatch.setattr(compare_mitigation, "OWN", Setting(steps=3))
    saved, done = [], []
    size = compare_mitigation.Size(1, (Setting(steps=3),), (), True, 3)
    found = compare_mitigation.compare(bed, profile, size, done.append, saved.append, lambda text: None)
    assert len(saved) == 3 and saved[-1] is found and len(found["tried"]) == 5
    case = found["references"][0]
    assert case["runs"] == 2 and 0 <= case["attributes_ordinary"] <= 1
    always = [row for row in found["rows"] if row["method"] == "Jain, static" and row["trigger"] == "always"]
    behind = [row for row in found["rows"] if row["method"] == "Jain, static" and row["trigger"] == "our detector"]
    assert len(always) == len(behind) == 1 and always[0]["ordinary_changed"] == 1.0 and always[0]["ordinary_rms"] > 1
    assert behind[0]["ordinary_changed"] == case["ordinary_flagged"] and behind[0]["rows_forward"] > 0 == always[0]["rows_forward"]
    assert {one["method"] for one in found["bar"]} == {"Guard, reword"}
    assert reader is not None


def small(kind):
    items = [item for item in memorized() if item.kind == kind][:3]
    return [item.caption for item in items], items


def test_captions_of_the_tuning_are_not_compared_and_arguments_are_read():
    arguments = cli.build_parser().parse_args(["compare", "--only", "mitigation"])
    assert arguments.only == "mitigation" and arguments.profile is None and arguments.variant == "main"
    # Tables, undamped runs of 5 captions and their twins, 18 methods with the twins once.
    assert compare_mitigation.total_runs(compare_mitigation.QUICK) == 24 + 5 * (2 + 18 * 2)
    assert sum(published.ours for published, _ in entries()) == len(mitigations.OURS) == 3


def test_other_sizes_have_their_own_captions_and_are_judged_alike():
    small_bed = model.Testbed.create(SMALL)
    small_bed.vae, small_bed.scale = model.Testbed.load().vae, model.Testbed.load().scale
    assert small_bed.unet.config.sample_size == SMALL.side
    tuned = compare_mitigation.tuning(SMALL, "conjunction")
    assert tuned == 5 and compare_mitigation.tuning(MAIN, "long") == 3 and compare_mitigation.tuning(MAIN, "template") == 0
    conjunctions, templates = 2 * (SMALL.conjunctions - tuned), 2 * SMALL.templates
    size = compare_mitigation.Size(2, (Setting(),), (Setting(),), False, 24)
    assert compare_mitigation.total_runs(size, SMALL) == 2 * 24 + conjunctions * (2 + 18 * 2) + templates * (2 + 18)
    items = SMALL.memorized("conjunction")
    target = torch.stack([judge.to_pixels(render(item.scene, 8 * SMALL.side)) for item in items])
    pixels = finished.pictures(small_bed, small_bed.encode(target))
    assert pixels.shape == (SMALL.conjunctions, 3, 128, 128) and (judge.likeness(pixels, items) > judge.COPY).float().mean() > 0.8
    found = compare_mitigation.apply(small_bed, Plain(), [item.caption for item in items], Setting(), 3, Context(None, None))
    assert found.latents.shape[1:] == (4, 8, 8) and found.pixels.shape == pixels.shape
