"""The testbed as a checkpoint that real web UIs load, in AUTOMATIC1111's and in Forge's sizes.

Imports network, world and profiles, never rivals or evidence. :mod:`.host_unet` is imported by the host itself and keeps to what a host has.
"""
