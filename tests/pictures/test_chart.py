"""The trajectory as SVG: well-formed, everything in its place, nothing that the page could trip over."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from guard_fixtures import guard, noisy, predictions, probe, step
from hypothesis import given
from hypothesis import strategies as st

from lib_stability.guard.history import Point, history
from lib_stability.pictures import chart

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def evaluations(count: int = 12) -> list[Point]:
    return [
        Point(sigma, 7.5, 1.0 + 0.1 * i, 0.8, 1.0, 0.1, 0.9, 0.1, float(i), None, unstable=i % 4 == 0, damped=i % 3 == 0)
        for i, sigma in enumerate(np.geomspace(14.6, 0.03, count))
    ]


def test_marks_what_was_flagged_and_damped():
    seen = evaluations()
    root = parsed(chart.trajectory(seen, 3.0, 'a "title" <b>'))
    assert len(root.findall(f"{SVG}circle")) == 2 * sum(one.unstable for one in seen)
    assert len(root.findall(f"{SVG}rect")) == 2 * sum(one.damped for one in seen)
    assert len(root.findall(f"{SVG}polygon")) == 2
    assert root.find(f"{SVG}title").text == 'a "title" <b>' and root.get("aria-label") == 'a "title" <b>'


def test_the_band_ends_at_the_threshold():
    """A value exactly at the threshold lies on the upper edge of the band."""
    seen = [replace(one, rate=one.rate_mean * (1 + 3.0 * one.rate_spread), unstable=True) for one in evaluations()]
    root = parsed(chart.trajectory(seen, 3.0))
    edge = [tuple(map(float, point.split(","))) for point in root.findall(f"{SVG}polygon")[0].get("points").split()][: len(seen)]
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.findall(f"{SVG}circle")][: len(seen)]
    assert dots == edge


def test_noise_falls_to_the_right():
    line = parsed(chart.trajectory(evaluations(), 3.0)).findall(f"{SVG}polyline")[0].get("points").split()
    places = [float(point.split(",")[0]) for point in line]
    assert places == sorted(places) and places[-1] > places[0]


NUMBER = st.none() | st.floats(1e-6, 1e6) | st.just(0.0)


@given(st.lists(st.builds(Point, *[NUMBER] * 10, unstable=st.booleans(), damped=st.booleans()), max_size=8), st.floats(0.1, 1000))
def test_anything_gives_well_formed_numbers(seen, threshold):
    text = chart.trajectory(seen, threshold)
    root = parsed(text)
    assert "nan" not in text and "inf" not in text
    for element in root.iter():
        for name in ("cx", "cy", "x", "y", "width", "height"):
            if element.get(name) is not None and not element.get(name).endswith("%"):
                assert math.isfinite(float(element.get(name)))


@pytest.mark.parametrize("policy", ["always", "never"])
def test_a_real_run(policy):
    watcher = guard("damp", probe=probe(predictions("strong"), policy=policy))
    for kind in ("strong", "ordinary", "mild"):
        step(watcher, noisy(1), predictions(kind))
    (seen,) = history(watcher.seen())
    root = parsed(chart.trajectory(seen, 3.0))
    assert len(root.findall(f"{SVG}circle")) == 2 * sum(one.unstable for one in seen) > 0
    assert ("scores of the probe" in "".join(root.itertext())) == (policy == "always")


def test_nothing_judged_says_so():
    assert "nothing was judged" in "".join(parsed(chart.trajectory([], 3.0)).itertext())


def test_without_curves_there_is_no_room_for_them():
    unwatched = [replace(one, rate_mean=None, watch=None, probe=1.5) for one in evaluations()]
    heights = [float(parsed(chart.trajectory(seen, 3.0)).get("viewBox").split()[-1]) for seen in ([], unwatched)]
    assert heights == [2 * chart.FOOT] * 2


def test_numbers_are_the_pages_and_the_legend_names_what_is_drawn():
    calm = [replace(one, unstable=False, damped=False, probe=1.5) for one in evaluations()]
    text = "".join(parsed(chart.trajectory(calm, 3.0, figure=lambda number: number.replace(".", ","))).itertext())
    assert "14,6" in text and "0,03" in text and "1,5" in text and "14.6" not in text
    assert "this image" in text and "their mean" in text and "unstable" not in text and "damped" not in text
    assert "unstable" in "".join(parsed(chart.trajectory(evaluations(), 3.0)).itertext())
