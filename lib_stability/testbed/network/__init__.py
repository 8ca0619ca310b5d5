"""The testbed's model: its layers, sizes, training, and sampling from it with or without a guard.

Imports :mod:`lib_stability.testbed.world` and the guard, never exports or evidence.
"""
