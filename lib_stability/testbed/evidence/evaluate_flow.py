"""What the evaluation runs of the flow models, the teacher under classifier-free guidance and its student at CFG 1, told a guidance scale."""

from __future__ import annotations

from ..network.setting import Setting
from ..network.variants import Variant
from .evaluate import FULL, QUICK
from .evaluation_rows import Size

#: Guidance 1 is the probe's for both. The schedule "linear" is none that the calibration saw, nor are 4, 8 and 30 steps.
TEACHER = [
    *(Setting("Euler", "simple", 20, w) for w in (2.0, 3.5, 5.0, 7.0)),
    Setting("Euler", "beta", 20, 4.5),
    Setting("Euler", "linear", 30, 4.5),
    Setting("Euler", "simple", 4, 3.5),
    Setting("DPM++ 2M", "simple", 8, 5.0),
    Setting("DPM++ 2M", "beta", 20, 4.5),
    Setting("Heun", "simple", 12, 5.0),
    Setting("Euler a", "simple", 20, 3.5),
]
TEACHER_PROBE = [
    Setting("Euler", "simple", 20, 1.0, probe=True),
    Setting("Euler", "simple", 20, 3.5, "words", True),
    Setting("DPM++ 2M", "beta", 20, 4.5, "words", True),
]
STUDENT = [
    *(Setting("Euler", "simple", 20, g) for g in (2.0, 3.5, 6.0)),
    *TEACHER[4:],
]
STUDENT_PROBE = [Setting("Euler", "simple", 20, g, probe=True) for g in (1.0, 2.0, 3.5, 6.0)]
DAMPING = [Setting("Euler", "simple", 20, 3.5), Setting("DPM++ 2M", "beta", 20, 4.5)]
#: Policies beside the default are the main evaluation's business.
SIZES = {
    "flow": Size(3, 150, 2, TEACHER, TEACHER_PROBE, DAMPING, 1),
    "distilled": Size(3, 150, 2, STUDENT, STUDENT_PROBE, DAMPING, 1),
}


def size_of(variant: Variant, quick: bool = False) -> Size:
    """What is run of a variant, in full or in short."""
    if not variant.flow:
        return QUICK if quick else FULL
    return Size(1, 48, 1, TEACHER[1:2], STUDENT_PROBE[:1], DAMPING[:1], 1) if quick else SIZES[variant.name]
