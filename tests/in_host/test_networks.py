"""Extra networks: what is on is read from the host, and only a profile that was calibrated with the same ones judges."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import FORGE
from test_calibrating import folder  # noqa: F401
from test_judging import FULL, pixels, said, verdict

from lib_stability.profile import storage
from lib_stability.profile.networks import Network
from lib_stability.webui.host import host as spoken
from lib_stability.webui.host import networks, sampling
from lib_stability.webui.job import library, settings

ORDINARY = "small blue square"
SMALL = {"steps": 4, "width": 64, "height": 64}


def on(host, p: object = None) -> list[tuple]:
    return [(one.name, one.text, one.unet, one.more) for one in networks.active(host.shared.sd_model, p)]


@pytest.fixture
def known(folder, host):  # noqa: F811
    """``known(tags)``: from now on a profile knows these networks: the testbed's own, said to be calibrated with them."""

    def make(tags: str, name: str = "With networks") -> None:
        bed = next(one for one in library.LIBRARY.profiles() if one.name == "Testbed")
        sampling.hash_of(host.shared.sd_model)  # ersatzForge does not by itself
        model = replace(spoken.describe(host.shared.sd_model), networks=networks.wanted(tags))
        folder.mkdir(exist_ok=True)
        storage.write(replace(bed, name=name, model=model, provenance={**bed.provenance, "origin": "own"}), folder / f"{name}.json")

    return make


# -- what is on --------------------------------------------------------------------------------------------------------------------------


def test_networks_are_read_from_the_host_with_their_weights(generate, host, lora):
    mine, other = lora("mine"), lora("other", text=True)
    generate({}, prompt=f"{ORDINARY} {mine} <lora:other:0.5:0.25>", **SMALL)
    assert sorted(on(host)) == [("mine", 0.8, 0.8, ""), ("other", 0.5, 0.25, "")]
    (found,) = [one for one in networks.active(host.shared.sd_model) if one.name == "mine"]
    with open(host.networks.available_networks["mine"].filename, "rb") as file:
        assert found.sha256 == hashlib.sha256(file.read()).hexdigest()
    generate({}, prompt=f"{ORDINARY} {other}", **SMALL)
    assert on(host) == [("other", 0.8, 0.8, "")]
    generate({}, prompt=ORDINARY, **SMALL)
    assert on(host) == []


@pytest.mark.parametrize(
    ("tag", "text", "unet", "more"),
    [
        ("<lora:mine:1>", 1.0, 1.0, ""),
        ("<lora:mine>", 1.0, 1.0, ""),
        ("<lora:mine:0.5:0.9>", 0.5, 0.9, ""),
        ("<lora:mine:te=0.5:unet=0.9>", 0.5, 0.9, ""),
        ("<lora:mine:1:dyn=4>", 1.0, 1.0, "dyn=4"),
        ("<lyco:mine:0.7>", 0.7, 0.7, ""),
        ("<lora:alias of mine:0.7>", 0.7, 0.7, ""),
    ],
)
def test_a_tag_says_beforehand_what_is_on_afterwards(generate, host, lora, tag, text, unet, more):
    lora("mine", alias="alias of mine", text=True)
    before = networks.wanted(tag)
    generate({}, prompt=f"{ORDINARY} {tag}", **SMALL)
    p = SimpleNamespace(extra_network_data=host.extra_networks.parse_prompts([tag])[1])
    assert on(host, p) == [("mine", text, unet, more)] and networks.differ(before, networks.active(host.shared.sd_model, p)) == ""


def test_weights_of_single_blocks_are_seen_and_not_judged(generate, host, lora, known):
    """Another extension applies them: no profile was calibrated with them, not even where one knows the network at the same weight."""
    known(lora("mine", strength=0.01))
    done = generate({"profile": "Auto"}, prompt=f"{ORDINARY} <lora:mine:0.8:lbw=OUTD>", **FULL)
    assert verdict(done).reason == "networks that no profile knows (mine 0.8 lbw=OUTD)"


@pytest.mark.parametrize("kind", ["lokr", "dora"])
@pytest.mark.parametrize("tag", ["lora", "lyco"])
def test_networks_of_other_kinds_are_judged_like_loras(generate, host, lora, known, kind, tag):
    """LyCORIS and DoRA: what is on is asked of the host, whatever is in the file."""
    bare = pixels(generate(None, prompt=ORDINARY, **SMALL))
    lora("mine", kind=kind, strength=0.3)
    prompt = f"{ORDINARY} <{tag}:mine:0.8>"
    assert pixels(generate(None, prompt=prompt, **SMALL)) != bare and on(host) == [("mine", 0.8, 0.8, "")]
    assert verdict(generate({"profile": "Auto"}, prompt=prompt, **FULL)).reason == "networks that no profile knows (mine 0.8)"
    known(f"<{tag}:mine:0.8>")
    assert verdict(generate({"profile": "Auto"}, prompt=prompt, **FULL)).verdict != "not judged"
    # Another file of this name is another network.
    lora("mine", kind=kind, strength=0.2)
    generate(None, prompt=ORDINARY, **SMALL)
    assert verdict(generate({"profile": "Auto"}, prompt=prompt, **FULL)).reason == "networks that no profile knows (mine 0.8)"


def test_a_network_at_weight_0_does_nothing(generate, host, lora):
    lora("mine")
    generate({}, prompt=f"{ORDINARY} <lora:mine:0>", **SMALL)
    assert on(host) == [] and networks.wanted("<lora:mine:0>") == ()


def test_one_that_fits_nothing_of_the_checkpoint_is_not_on(generate, host, lora):
    generate({}, prompt=f"{ORDINARY} {lora('foreign', matching=False)}", **SMALL)
    assert [one[0] for one in on(host)] == ([] if FORGE else ["foreign"])  # A1111 loads it all the same


def test_a_network_that_is_not_there(generate, host, lora, logged):
    """The prompt names one, and the checkpoint samples without: its own region judges."""
    generate({}, prompt=f"{ORDINARY} {lora('mine')}", **SMALL)
    done = generate({}, prompt=f"{ORDINARY} <lora:nowhere:1>", **SMALL)
    assert on(host) == [] and verdict(done).verdict == "stable"
    logged.clear()


def test_networks_of_a_kind_that_nobody_knows(generate, host, known):
    class Other(host.extra_networks.ExtraNetwork):
        def activate(self, p, params_list):
            pass

    host.extra_networks.register_extra_network(Other("foo"))
    try:
        done = generate({}, prompt=f"{ORDINARY} <foo:bar:2>", **SMALL)
        assert verdict(done).reason == "networks that no profile knows (foo bar 1 2)"
        with pytest.raises(ValueError, match="no networks of the kind <foo:…>"):
            networks.wanted("<foo:bar:2>")
    finally:
        del host.extra_networks.extra_network_registry["foo"]
    # A tag that the host passes over changes nothing.
    assert verdict(generate({}, prompt=f"{ORDINARY} <foo:bar:2>", **SMALL)).verdict == "stable"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ("<lora:nowhere:1>", "finds no network called 'nowhere' for <lora:nowhere:1>"),
        ("mine", "'mine' is not the tag of a network"),
        ("<lora:mine:1> a cat", "'a cat' is not the tag"),
        ("<hypernet:nowhere:1>", "<hypernet:…>"),
        ("<lora:mine:1:lbw=OUTD:start=3>", "lbw=OUTD:start=3 in <lora:mine:1:lbw=OUTD:start=3> is not the web UI's own to apply"),
        ("<lora:mine:1:dyn=4:lbw=1,0,0,0,1>", "networks: lbw=1,0,0,0,1 in"),
        ("<lora:mine:1:1:4:OUTD>", "networks: OUTD in"),
    ],
)
def test_what_cannot_be_found_is_named(host, lora, tags, said):
    lora("mine")
    with pytest.raises(ValueError, match=said):
        networks.wanted(tags)


def test_hypernetworks_count(host, monkeypatch, tmp_path):
    file = tmp_path / "hyper.pt"
    file.write_bytes(b"x")
    layer = SimpleNamespace(multiplier=0.6)
    monkeypatch.setattr(host.shared, "loaded_hypernetworks", [SimpleNamespace(name="hyper", filename=str(file), layers={768: (layer, layer)})], False)
    (found,) = networks.active(host.shared.sd_model)
    assert found == Network("hyper", hashlib.sha256(b"x").hexdigest(), 0.6, 0.6, "hypernet")


def test_what_stays_on_from_the_job_before_is_seen(generate, host, lora, monkeypatch):
    """A job without extra networks leaves on what the one before had."""
    generate({}, prompt=f"{ORDINARY} {lora('mine')}", **SMALL)
    monkeypatch.setattr(host.extra_networks, "activate", lambda p, data: None)
    assert verdict(generate({}, prompt=ORDINARY, **SMALL)).reason == "networks that no profile knows (mine 0.8)"
    monkeypatch.undo()


@pytest.mark.skipif(not FORGE, reason="patches are Forge's")
def test_patches_count_whatever_the_list_says(generate, host, lora):
    """Forge Neo empties its list while a refiner samples with everything on; reForge and Forge Classic keep no names beside their patches."""
    generate({}, prompt=f"{ORDINARY} {lora('mine')}", **SMALL)
    model = host.shared.sd_model
    told, model.current_lora_hash = model.current_lora_hash, str([])
    assert on(host) == [("mine", 0.8, 0.8, "")]
    model.current_lora_hash = None
    assert on(host) == [("mine", 0.8, 0.8, "")]
    unet = SimpleNamespace(patches={"some.weight": [(0.8, None, 1.0)]})
    older = SimpleNamespace(forge_objects=SimpleNamespace(unet=unet, clip=None), current_lora_hash=told.replace(", False", ""))
    assert [one.name for one in networks.active(older)] == ["mine"]
    older.current_lora_hash = None
    assert networks.active(older)[0].sha256 == ""
    unet.patches = {}
    assert networks.active(older) == ()


# -- what judges -------------------------------------------------------------------------------------------------------------------------


def test_a_network_changes_the_prediction(generate, lora):
    bare = generate(None, prompt=ORDINARY, **SMALL)
    assert pixels(generate(None, prompt=f"{ORDINARY} {lora('mine')}", **SMALL)) != pixels(bare)
    assert pixels(generate(None, prompt=ORDINARY, **SMALL)) == pixels(bare)


@pytest.mark.parametrize("profile", ["Testbed", "Auto"])
def test_the_bare_checkpoints_region_judges_no_pass_with_networks(generate, lora, profile):
    one = verdict(generate({"profile": profile}, prompt=f"{ORDINARY} {lora('mine')}", **FULL))
    assert (one.verdict, one.reason) == ("not judged", "networks that no profile knows (mine 0.8)")
    assert generate.last()["judged_by"] == []


def test_a_profile_calibrated_with_them_does(generate, lora, known, host):
    mine = lora("mine", strength=0.01)
    known(mine)
    assert verdict(generate({"profile": "Auto"}, prompt=f"{ORDINARY} {mine}", **FULL)).verdict == "stable"
    assert generate.last()["profile"] == "With networks (own calibration with mine 0.8)"
    assert verdict(generate({"profile": "Auto"}, prompt=f"{ORDINARY} <lora:mine:0.9>", **FULL)).verdict == "stable"
    assert verdict(generate({"profile": "Auto"}, prompt=f"{ORDINARY} <lora:mine:0.5>", **FULL)).reason == "networks that no profile knows (mine 0.5)"
    more = f"{ORDINARY} {mine} {lora('other', strength=0.01)}"
    assert verdict(generate({"profile": "Auto"}, prompt=more, **FULL)).reason == "networks that no profile knows (mine 0.8 + other 0.8)"
    # Nor does it judge the checkpoint alone, by whatever name.
    assert verdict(generate({"profile": "With networks"}, prompt=ORDINARY, **FULL)).reason == "no profile"
    assert "made for the family sd1" in library.LIBRARY.serve("Auto", spoken.describe(host.shared.sd_model)).why


def test_the_verdict_says_by_what_it_was_judged(generate, lora, known):
    mine = lora("mine", strength=0.01)
    known(mine)
    done = generate({"profile": "Auto"}, prompt=f"{ORDINARY} {mine}", **FULL)
    assert "MG region: With networks (own calibration with mine 0.8)" in done.infotexts[0]


def test_the_networks_of_the_hires_pass_are_its_own(generate, lora, known):
    mine, other = lora("mine", strength=0.01), lora("other", strength=0.01)
    known(mine)
    hires = {"enable_hr": True, "hr_scale": 1.5, "hr_second_pass_steps": 4, **FULL}
    _, first, second = said(generate({"profile": "Auto"}, prompt=f"{ORDINARY} {mine}", hr_prompt=f"{ORDINARY} {other}", **hires).infotexts[0])
    assert first.verdict == "stable" and second.reason == "networks that no profile knows (other 0.8)"
    _, first, second = said(generate({"profile": "Auto"}, prompt=f"{ORDINARY} {other}", hr_prompt=f"{ORDINARY} {mine}", **hires).infotexts[0])
    assert first.reason == "networks that no profile knows (other 0.8)" and second.verdict != "not judged"


def test_networks_that_change_between_batches(generate, lora, known):
    mine = lora("mine", strength=0.01, text=True)
    known(mine)
    prompts = [f"{ORDINARY} {mine}", f"{ORDINARY} <lora:mine:0.3>", f"{ORDINARY} {mine}"]
    done = generate({"profile": "Auto", "probe": "always"}, prompt=prompts, n_iter=3, **FULL)
    found = [verdict(done, number) for number in range(3)]
    assert [one.verdict for one in found] == ["stable", "not judged", "stable"] and found[1].reason.endswith("(mine 0.3)")


def test_who_wants_the_bare_region_all_the_same_is_told_so(generate, lora, options):
    options.set("memorization_guard_networks", library.IGNORE)
    assert settings.networks_ignored()
    done = generate({}, prompt=f"{ORDINARY} {lora('mine', strength=0.01)}", **FULL)
    assert verdict(done).verdict == "stable"
    assert "MG region: Testbed (bundled calibration) which does not know mine 0.8" in done.infotexts[0]
    assert generate.last()["profile"].endswith("which does not know mine 0.8")
    assert "MG region" not in generate({}, prompt=ORDINARY, **FULL).infotexts[0]
