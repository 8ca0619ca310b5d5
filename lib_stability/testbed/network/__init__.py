"""The testbed's model: its layers, sizes, training, and sampling from it with or without a guard.

Imports :mod:`lib_stability.testbed.world`, the guard, profiles and :mod:`lib_stability.wording`, never exports, rivals or evidence.
"""
