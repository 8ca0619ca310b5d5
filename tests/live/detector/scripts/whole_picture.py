"""An extension for the live suite alone: ADetailer's detectors find nearly the whole picture, whatever it shows.

Its own detectors need packages and weights that a test machine may not have, and find no faces in what small checkpoints draw. Copy the folder
``tests/live/detector`` into the ``extensions`` folder of a web UI that has ADetailer.
"""

from __future__ import annotations

from modules import script_callbacks, scripts


def found(model_type, image, confidence=0.3):
    """Stands in the place of ADetailer's ``mediapipe_predict``."""
    from adetailer import PredictOutput
    from PIL import Image, ImageDraw

    width, height = image.size
    box = [0.05 * width, 0.05 * height, 0.95 * width, 0.95 * height]
    mask = Image.new("L", image.size, 0)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return PredictOutput(bboxes=[box], masks=[mask], confidences=[0.9], preview=image)


def install(*_):
    """Once every script is loaded."""
    for data in scripts.scripts_data:
        if data.path.endswith("!adetailer.py"):
            data.module.mediapipe_predict = found


script_callbacks.on_before_ui(install)
