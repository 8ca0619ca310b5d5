"""The testbed as a checkpoint that real web UIs load, in AUTOMATIC1111's and in Forge's sizes.

Imports network and world, never evidence. :mod:`.host_unet` is imported by the host itself and keeps to what a host has.
"""
