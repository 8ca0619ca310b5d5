"""Pictures for documents are small, and look as they were."""

import numpy as np
from PIL import Image

from lib_stability.pictures import palette


def test_a_colourful_picture_keeps_its_looks_in_a_palette(tmp_path):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((300, 300), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "plain.png", optimize=True)
    for dotted in (True, False):
        palette.save(tmp_path / "small.png", smooth, dotted)
        found = Image.open(tmp_path / "small.png")
        assert found.mode == "P" and found.size == smooth.size
        assert (tmp_path / "small.png").stat().st_size < 0.6 * (tmp_path / "plain.png").stat().st_size
        # Seen from afar: the mean over eight by eight pixels.
        near, far = (np.asarray(one.convert("RGB").resize((37, 37), Image.Resampling.BOX), dtype=float) for one in (found, smooth))
        assert np.abs(near - far).mean() < (3 if dotted else 8)


def test_a_figure_is_written(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panel = plt.subplots(figsize=(4, 3))
    panel.plot([0, 1], [0, 1], color="#cc3311")
    palette.save_figure(tmp_path / "one.png", figure, dpi=100)
    plt.close(figure)
    found = Image.open(tmp_path / "one.png")
    assert found.size == (400, 300) and found.mode == "P"
    seen = np.asarray(found.convert("RGB")).reshape(-1, 3).astype(int)
    assert (np.abs(seen - (0xCC, 0x33, 0x11)).sum(1) < 12).any() and (seen.sum(1) > 760).mean() > 0.5
