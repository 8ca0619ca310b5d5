"""What is judged and damped in one sampling pass: norms, regions and their fit, thresholds, detectors, dampers, verdicts.

May be imported by every other room. Imports torch, numpy and :mod:`lib_stability.validation`, never the rest of the project, a web UI, or anything
that draws.
"""
