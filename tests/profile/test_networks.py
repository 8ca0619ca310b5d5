"""Networks of a profile: which ones it knows, how far their weights may lie off, and what is written and read."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from lib_stability.profile import displacing, networks, profiles
from lib_stability.profile.networks import Network
from lib_stability.validation import Field, ValidationError

MINE, OTHER = Network("mine", "aa" * 32, 0.8, 0.8), Network("other", "bb" * 32, 1.0, 1.0)


@pytest.mark.parametrize(
    ("on", "away"),
    [
        ((MINE,), 0.0),
        ((replace(MINE, unet=0.9),), 0.1),
        ((replace(MINE, unet=0.91),), None),
        ((replace(MINE, text=0.5),), None),
        ((replace(MINE, name="renamed"),), 0.0),
        ((replace(MINE, sha256="cc" * 32),), None),
        ((replace(MINE, more="lbw=OUTD"),), None),
        ((), None),
        ((MINE, MINE), None),
        ((OTHER, MINE), None),
    ],
)
def test_which_networks_a_profile_knows(on, away):
    found = networks.distance((MINE,), on)
    assert found is None if away is None else found == pytest.approx(away)


def test_several_in_any_order_and_none_of_an_unknown_file():
    assert networks.distance((MINE, OTHER), (OTHER, MINE)) == 0.0
    assert networks.distance((), ()) == 0.0
    nameless = replace(MINE, sha256="")
    assert networks.distance((nameless,), (nameless,)) is None


def test_in_words_as_many_as_fit():
    both = (MINE, replace(OTHER, unet=0.5, more="dyn=4"))
    assert networks.describe(both) == "mine 0.8 + other 1/0.5 dyn=4"
    assert networks.describe(both, 20) == "mine 0.8 + 1 more"
    assert networks.describe((replace(MINE, name="x" * 90),), 20) == "x" * 19 + "…"
    assert networks.describe(()) == "" and networks.key(()) == ""
    assert len({networks.key(one) for one in ((MINE,), (OTHER,), both, (replace(MINE, unet=0.7),))}) == 4


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("x", "has to be a list of at most 16"),
        ([{}] * 17, "has to be a list of at most 16"),
        ([{"name": "a", "sha256": "", "unet": 1, "text": 1}], "no network could be told"),
        ([{"name": "a", "sha256": "AA" * 32, "unet": 1, "text": 1}], "not allowed here"),
        ([{"name": "a", "sha256": "aa" * 32, "unet": 1000, "text": 1}], "networks[0].unet"),
    ],
)
def test_what_makes_no_sense_is_refused(value, said):
    with pytest.raises(ValidationError) as error:
        networks.read(Field(value, "networks"))
    assert said in str(error.value)


def made(profile: profiles.Profile, name: str, *on: Network, sha256: str = "ab" * 32) -> profiles.Profile:
    region = copy.copy(profile.watch)
    region.scores_ = np.linspace(-1, 3, 150)  # fewer runs make a trial
    return replace(profile, name=name, watch=region, probe=None, model=replace(profile.model, sha256=sha256, networks=on))


def test_with_networks_on_only_a_profile_with_them_serves(profile):
    bare, near, far = made(profile, "bare"), made(profile, "near", MINE), made(profile, "far", replace(MINE, unet=0.72, text=0.72))
    other = made(profile, "another checkpoint", MINE, sha256="cd" * 32)
    asked = {"sha256": "ab" * 32, "family": "sd1"}

    def serves(*on: Network) -> str:
        return getattr(profiles.choose([bare, other, near, far], **asked, networks=on)[0], "name", "")

    assert serves() == "bare" and serves(MINE) == "near" and serves(OTHER) == ""
    assert serves(replace(MINE, unet=0.85, text=0.85)) == "near" and serves(replace(MINE, unet=0.7, text=0.7)) == "far"
    assert profiles.choose([near, far], **asked)[0] is None
    assert profiles.choose([bare], **asked, networks=(MINE,))[1] == "networks that no profile knows (mine 0.8)"
    # Neither a family's profile nor a general prior is a guess at a network.
    prior = replace(profile, kind="prior", model=profiles.Model("sd1", "epsilon"))
    assert profiles.choose([prior], **asked)[0] is prior and profiles.choose([prior], **asked, networks=(MINE,))[0] is None


def test_a_file_with_networks_comes_back_and_older_readers_refuse_it(profile):
    with_them = made(profile, "with", MINE, OTHER)
    data = with_them.to_json()
    assert data["version"] == 2 and made(profile, "bare").to_json()["version"] == 1
    assert profiles.Profile.from_json(data).model == with_them.model
    del data["model"]["sha256"]
    with pytest.raises(ValidationError, match="wants the checkpoint's sha256"):
        profiles.Profile.from_json(data)


def test_what_it_displaces_is_another_with_the_same_networks(profile):
    before, new = made(profile, "before", MINE), made(profile, "new", MINE)
    assert displacing.outlook(new, [before]).displaced == [before]
    assert "with mine 0.8 in place of before" in displacing.outlook(new, [before]).lines[0]
    assert displacing.outlook(new, [made(profile, "bare")]).displaced == []
