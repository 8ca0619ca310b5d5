"""A small text-to-image model that was made to memorize, and all that is measured on it.

Needs the extra "testbed" of ``pyproject.toml`` and is never imported by the guard, profiles or a web UI. Arrows run from world over network and
export to rivals and evidence.
"""
