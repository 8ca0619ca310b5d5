"""The published detectors against small cases that can be worked out by hand, and the comparison around them."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib_stability.profile import storage
from lib_stability.shell import cli
from lib_stability.testbed.evidence import compare, compare_tables, detection, tapes
from lib_stability.testbed.network import model
from lib_stability.testbed.network.sample import evaluations_of
from lib_stability.testbed.network.setting import Setting
from lib_stability.testbed.rivals import asthana, broken_memories, jeon, overshoot, ren, tuning, wen
from lib_stability.testbed.rivals.detectors import GUARD, Choice, Detector, guards, largest, rivals
from lib_stability.testbed.rivals.observer import Runs, observe
from lib_stability.testbed.world.kinds import memorized


def reference_runs(updates, levels=(10.0, 1.0)):
    updates = np.array(updates, dtype=float)
    return {"sigma": np.tile(levels, (len(updates), 1)), "latent": updates + 5, "update": updates, "clean": 2 * updates}


# -- Broken Memories -----------------------------------------------------------------------------------------------------------------


def test_tables_hold_mean_and_sample_deviation_of_each_step():
    tables = broken_memories.Tables.fit(reference_runs([[1, 10], [2, 20], [3, 60]]))
    np.testing.assert_allclose(tables.means["update"], [2, 30])
    np.testing.assert_allclose(tables.deviations["update"], [1, 700**0.5])
    np.testing.assert_allclose(tables.means["latent"], [7, 35])
    np.testing.assert_allclose(tables.deviations["clean"], [2, 2 * 700**0.5])


def test_the_score_is_the_largest_deviation_of_the_update_so_far():
    tables = broken_memories.Tables.fit(reference_runs([[1, 10], [2, 20], [3, 60]]))
    scores = tables.score(reference_runs([[6, 30], [0, 30 + 3 * 700**0.5]]))
    np.testing.assert_allclose(scores, [[4, 4], [-2, 3]])


def test_a_table_is_read_between_its_steps_by_log_noise_level_and_held_beyond_its_ends():
    tables = broken_memories.Tables.fit(reference_runs([[1, 11], [3, 13]]))  # means 2 and 12, deviations sqrt 2
    found = tables.deviation("update", np.full((1, 3), 7.0), np.array([[100.0, 10**0.5, 0.1]]))
    np.testing.assert_allclose(found, [[5 / 2**0.5, 0, -5 / 2**0.5]], atol=1e-12)


def test_a_reference_run_is_left_out_of_the_table_that_judges_it():
    runs = reference_runs([[1, 1], [2, 2], [3, 3], [9, 9]])
    np.testing.assert_allclose(broken_memories.left_out(runs)[-1], 7.0)


def test_update_norms_are_those_of_the_variance_preserving_latents():
    x = torch.full((2, 1, 2, 2), 2.0)
    z = broken_memories.preserving(x, torch.tensor([0.0, 3**0.5]))
    torch.testing.assert_close(z[:, 0, 0, 0], torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(broken_memories.update_norms(torch.stack([x, z])), torch.tensor([[0.0, 2.0]]))


# -- Wen, Asthana, overestimation ----------------------------------------------------------------------------------------------------


def test_the_noise_difference_and_its_running_mean():
    conditional, empty = torch.zeros(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    conditional[0] = torch.tensor([3.0, 4.0])
    assert wen.difference(conditional, empty).tolist() == [5.0, 0.0]
    np.testing.assert_allclose(wen.running_mean(np.array([[1.0, 3.0, 8.0]])), [[1, 2, 4]])


def test_alignment_is_the_mean_cosine_over_channels():
    empty = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])  # one row of two places, each (1, 0)
    guidance = torch.tensor([[[[2.0, 0.0]], [[0.0, 5.0]]]])  # along it, and across
    torch.testing.assert_close(asthana.alignment(empty + guidance, empty), torch.tensor([0.5]))
    assert asthana.combine(np.array([3.0]), np.array([0.5]))[0] == 4.0


def test_overshoot_is_the_largest_of_the_window_and_stays_there():
    guided, conditional = np.array([[2.0, 3.0, 9.0]]), np.array([[1.0, 0.5, 1.0]])
    assert overshoot.score(guided, conditional).tolist() == [[1, 1, 1]]
    assert overshoot.score(guided, conditional, "unit", 2).tolist() == [[1, 2, 2]]
    assert overshoot.score(guided, conditional, "conditional", 4).tolist() == [[1, 5, 8]]


# -- Jeon ----------------------------------------------------------------------------------------------------------------------------


def test_the_product_with_the_hessian_is_autograds():
    mixing = torch.randn(12, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def score(z):
        return torch.sin(z.flatten(1) @ mixing).view_as(z) - z**3

    z, direction = torch.randn(2, 3, 3, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    _, exact = torch.func.jvp(score, (z,), (direction,))
    torch.testing.assert_close(jeon.hessian_vector(score, z, direction, 1e-4), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(jeon.sharpness(score, z, direction), exact.flatten(1).square().sum(1), rtol=0.02, atol=0)


def test_the_product_is_exact_for_a_gaussian_whatever_the_step():
    precision = torch.tensor([2.0, 0.5, 1.0, 3.0]).view(1, 1, 2, 2)
    z = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    direction = torch.tensor([1.0, -100.0]).view(2, 1, 1, 1) * torch.ones(2, 1, 2, 2)
    torch.testing.assert_close(jeon.hessian_vector(lambda x: -precision * x, z, direction), -precision * direction, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(jeon.sharpness(lambda x: -precision * x, z, torch.zeros_like(z))).all()


def test_the_product_is_autograds_on_the_testbeds_own_network():
    bed = model.Testbed.load()
    contexts, times = bed.encode_text(["david large black cross", "small red star", "", ""]), torch.full((4,), 981.0)

    def score(z):
        conditional, empty = bed.unet(torch.cat([z, z]), times, contexts).sample.chunk(2)
        return empty - conditional

    z = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    direction = score(z)
    with sdpa_kernel(SDPBackend.MATH):
        _, exact = torch.func.jvp(score, (z,), (direction,))
    error = (jeon.hessian_vector(score, z, direction) - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert (error < 0.01).all()


# -- Ren -----------------------------------------------------------------------------------------------------------------------------


def test_entropy_of_an_attention_map_and_of_its_padding():
    attention = torch.tensor([[0.5, 0.25, 0.25, 0.0], [1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]])
    bits = torch.tensor([1.5, 0.0, 2.0]) * np.log(2)
    torch.testing.assert_close(ren.entropy(attention), bits)
    torch.testing.assert_close(ren.padding_entropy(attention, torch.tensor([2, 0, 3])), torch.tensor([0.5, 0.0, 0.5]) * np.log(2))


def test_attention_is_averaged_over_heads_and_places():
    query = torch.tensor([[[np.log(3) * 2**0.5, 0.0, 0.0, 0.0]]], dtype=torch.float32)  # one place, two heads of width two
    key = torch.tensor([[[1.0, 0, 0, 0], [0.0, 0, 0, 0]]])  # the first head sees 3 : 1, the second nothing
    torch.testing.assert_close(ren.mean_attention(query, key, 2), torch.tensor([[(0.75 + 0.5) / 2, (0.25 + 0.5) / 2]]))


def test_the_tap_records_every_cross_attention_and_changes_nothing():
    unet = model.Testbed.create().eval().unet
    x, context = torch.randn(4, 4, 16, 16), torch.randn(4, 77, 128)
    with torch.inference_mode():
        plain, before = unet(x, 10, context).sample, dict(unet.attn_processors)
        with ren.tapped(unet) as tap:
            unet(x, 10, context)
            assert tap.take() is None
            tap.on, tap.rows = True, 2
            assert torch.equal(unet(x, 10, context).sample, plain)
            maps = tap.take()
        assert tap.seconds > 0
        assert unet.attn_processors == before
    assert maps.shape == (7, 2, 77) and not tap.on
    torch.testing.assert_close(maps.sum(2), torch.ones(7, 2))


# -- one run, all detectors ----------------------------------------------------------------------------------------------------------


def test_detectors_share_a_run_and_the_probe_sees_what_it_would_alone():
    bed, profile, captions = model.Testbed.load(), storage.read(cli.TESTBED_PROFILE), ["small red star", "large blue circle"]
    setting = Setting("DDIM", steps=5, negative="words", probe=True)
    seen = observe(bed, profile, captions, setting, 11, timesteps=(41, 121))
    alone = detection.judged(profile, setting, tapes.taken(bed, captions, [tapes.ORDINARY] * 2, setting, 11))
    np.testing.assert_allclose(seen.values["probe"], alone.probe, rtol=1e-3)
    assert (
        np.isnan(seen.values["watch"]).all()
        and np.isnan(seen.values["probe"][:, 2:4]).all()
        and np.isfinite(seen.values["probe"][:, [0, 1, 4]]).all()
    )
    assert seen.rows == {"empty 0": 1, "empty 1": 1, "empty 2": 1, "empty 4": 1, "jeon": 4, "asthana 41": 2, "asthana 121": 2}
    assert seen.plain > 0 and set(seen.seconds) >= {"watch", "probe", "ren first", "ren late", "broken memories", *seen.rows}
    assert all(column.shape[0] == 2 and column.shape[1] in (1, 5) for column in seen.values.values())
    assert np.isfinite(seen.values["jeon"]).all() and (seen.values["update"] > 0).all() and (seen.values["ren 6"] > 0).all()
    # The prediction at hand is the negative prompt's.
    assert not np.isclose(seen.values["wen"][:, 0], seen.values["wen empty"][:, 0]).any()


def test_looking_changes_no_evaluation_and_costs_nothing_extra_without_a_negative_prompt():
    bed, profile, captions, setting = model.Testbed.load(), storage.read(cli.TESTBED_PROFILE), ["small red star"] * 2, Setting("Euler a", steps=5)
    seen = observe(bed, profile, captions, setting, 11, ())
    alone = detection.judged(profile, setting, tapes.taken(bed, captions, [tapes.ORDINARY] * 2, setting, 11))
    np.testing.assert_allclose(seen.values["watch"], alone.watch, rtol=1e-3)
    assert seen.rows == {"jeon": 4}
    np.testing.assert_array_equal(seen.values["wen"], seen.values["wen empty"])


# -- scores, tuning, rows ------------------------------------------------------------------------------------------------------------


def values(count, shift, seed, evaluations=4):
    """Runs whose every value is normal, but for the late alignment and one layer's entropy, which tell memorized runs."""
    rng = np.random.default_rng(seed)
    names = ("wen", "wen empty", "guided", "conditional", "latent", "update", "clean", "watch", "probe")
    found = {name: 5 + rng.standard_normal((count, evaluations)) for name in names}
    found["sigma"] = np.tile(np.geomspace(10, 1, evaluations), (count, 1))
    found |= {name: rng.standard_normal((count, 1)) for name in ("jeon", "ren late", *(f"ren {layer}" for layer in range(3)))}
    found |= {f"alignment {t}": rng.standard_normal((count, 1)) for t in asthana.TIMESTEPS}
    found["alignment 121"] += shift
    found["ren 2"] -= shift
    return found


def runs(count, shift, seed):
    return Runs(values(count, shift, seed), 0.2, {"wen": 0.01, "jeon": 0.1, "empty 0": 0.05}, {"jeon": 4, "empty 0": 1}, np.arange(count) % 3 > 0)


def test_tuning_finds_what_separates():
    choice = tuning.tune(values(20, 8.0, 1), values(60, 0.0, 2))
    assert (choice.timestep, choice.layer, choice.sign) == (121, 2, -1) and choice.cosine_weight > 0


def test_a_score_is_held_from_when_it_is_known():
    tables = {"DDIM": broken_memories.Tables.fit({n: v for n, v in values(9, 0, 3).items() if n in ("sigma", *broken_memories.STATISTICS)})}
    some = values(5, 0.0, 4)
    scores = {one.label: one.score(some) for one in rivals(tables, Choice(timestep=121, layer=2))}
    assert all(found.shape == (5, 4) for found in scores.values()) and len(scores) == 12
    assert np.isnan(scores["Ren, entropy D, as published"][:, :3]).all()
    np.testing.assert_array_equal(scores["Jeon, sharpness, as published"], np.repeat(some["jeon"], 4, 1))


def test_the_guards_score_is_the_largest_so_far_of_what_is_judged():
    nan = float("nan")
    np.testing.assert_array_equal(largest(np.array([[nan, 2.0, 1.0, nan], [nan] * 4])), [[nan, 2, 2, 2], [nan] * 4])
    shipped = [guards({"watch": 2.0, "probe": 4.0}, Setting(negative=kind))[0] for kind in ("none", "words")]
    some = {"watch": np.array([[4.0, 6.0]]), "probe": np.array([[8.0, nan]])}
    assert [one.score(some).tolist() for one in shipped] == [[[2, 3]], [[2, 2]]]
    assert shipped[1].parts == ("probe", "empty 0", "empty 3", "empty 5")


def test_a_row_counts_costs_and_says_where_nothing_was_judged():
    detector = Detector("Jeon", "", lambda v: np.repeat(v["jeon"], 4, 1), ("jeon", "empty 0"))
    line = compare.row("x", Setting(), detector, 0.0, runs(10, 0, 5), runs(30, 0, 6))
    assert line["extra_evaluations"] == 5 and line["seconds_ratio"] == pytest.approx(1 + 0.15 / 0.2)
    assert line["auc"] == line["auc_after_1"] == line["auc_after_3"] and 0.2 < line["false_alarms"] < 0.8
    blind = Detector(GUARD, "", lambda v: np.full((len(v["jeon"]), 4), np.nan), ())
    line = compare.row("x", Setting(), blind, 1.0, runs(10, 0, 5), runs(30, 0, 6))
    assert line["auc"] is line["tpr_at_1pct_fpr"] is line["false_alarms"] is None and line["seconds_ratio"] == 1


def test_runs_are_labelled_by_their_pictures():
    told, others = runs(9, 3, 5), runs(6, 0, 6)
    assert len(compare.copies(told).values["jeon"]) == 6 and len(compare.ordinary_runs(others).values["wen"]) == 2
    np.testing.assert_array_equal(compare.copies(told).values["wen"], told.values["wen"][told.copies])
    line = compare.labels("x", told, others)
    assert line == {"differs": "x", "memorized": 9, "memorized_that_copy": 6, "ordinary": 6, "ordinary_that_copy": 4}
    text = compare_tables.labelled([line, line | {"memorized_that_copy": 8}])
    assert "6 to 8 of 9 runs" in text and "2 of 6 of ordinary captions do not" in text


def test_an_observed_run_is_labelled_as_the_judge_says():
    bed, profile = model.Testbed.load(), storage.read(cli.TESTBED_PROFILE)
    seen = observe(bed, profile, [memorized("conjunction")[0].caption, "small red star"], Setting("DDIM", steps=10), 11, ())
    assert seen.copies.tolist() == [True, False]


def test_where_no_run_is_a_copy_nothing_is_ranked():
    detector = Detector(GUARD, "", lambda v: np.repeat(v["jeon"], 4, 1), ())
    line = compare.row("x", Setting(), detector, 0.0, runs(9, 3, 5).only(np.zeros(9, bool)), runs(30, 0, 6))
    assert line["auc"] is line["auc_after_3"] is line["tpr_at_1pct_fpr"] is line["caught"] is None and line["runs"] == 0
    assert compare.bars([line]) == [] and "not judged" in compare_tables.details([line])


def test_the_bar_is_held_against_the_best_rival():
    def line(name, detector, auc):
        rest = {"variant": "", "auc_after_1": auc, "auc_after_3": auc, "tpr_at_1pct_fpr": 1.0, "false_alarms": 0.02, "caught": 1.0}
        return {"differs": name, "detector": detector, "auc": auc, "extra_evaluations": 0, "seconds_ratio": 1.0, **rest}

    rows = [line("a", GUARD, 0.9996), line("a", "Wen", 1.0), line("b", GUARD, 0.99), line("b", "Wen", 0.9), line("b", "Jeon", 0.995)]
    rows += [line("c", GUARD, 0.9), line("c", f"{GUARD}'s probe", 1.0), line("c", "Wen", 0.8)]
    found = compare.bars(rows)
    assert [one["met"] for one in found] == [True, False, True]
    text = compare_tables.summary({"rows": rows, "bar": found})
    assert "b by 0.0050 (Jeon)" in text and "0.9996 / 2 %" in text
    assert compare_tables.details(rows).count("\n") == len(rows) + 1


def test_memorized_captions_for_tuning_are_not_evaluated_and_sizes_add_up():
    assert evaluations_of("PNDM", 20) == 21 and evaluations_of("Euler a", 10) == 10 and evaluations_of("Heun", 10) == 19
    assert compare.total_runs(compare.FULL) == 100 + 250 + 34 + 12 * (29 * 2 + 80)
    assert set(compare.QUICK_SETTINGS) <= set(compare.SETTINGS)
    arguments = cli.build_parser().parse_args(["compare", "--quick"])
    assert arguments.quick and str(arguments.out) == "outputs/compare"
