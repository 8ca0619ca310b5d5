"""Regions on disk, and where they come from: profiles and which of them serves a model, calibration, priors, reference prompts.

Imports :mod:`lib_stability.guard`, :mod:`lib_stability.validation` and the version, never a web UI, the testbed or anything that draws.
"""
