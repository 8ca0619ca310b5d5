"""Forge's text encoder leaves here what it wants in the infotext, for the host to collect."""

last_extra_generation_params = {}
