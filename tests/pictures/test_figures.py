"""Figures of the evidence: as many settings as there are."""

from PIL import Image

from lib_stability.pictures import figures


def test_damping_of_more_settings_than_there_are_markers_is_drawn(tmp_path):
    row = {"policy": "reword", "sampler": "Euler", "negative": "none", "kind": "long"}
    row |= {"copies_after": 0.1, "copies_by_chance": 0.05, "attributes": 0.8, "attributes_ordinary": 0.9}
    rows = [{**row, "steps": steps, "policy": policy} for steps in range(10, 22) for policy in ("reword", "directional", "radial")]
    figures.scatter(tmp_path / "damping.png", rows, "Twelve settings")
    assert Image.open(tmp_path / "damping.png").size[0] > 400
