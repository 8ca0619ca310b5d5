"""Memorization Guard inside a Stable Diffusion web UI: the only place that imports ``modules.*``.

Nothing of the host is imported or touched before :func:`register` runs, which the extension's entry file calls whenever scripts are (re)loaded.
"""

from __future__ import annotations


def register() -> None:
    """Hang everything into the host: hooks, settings, axes, API. Safe to call again after "Reload UI"."""
    from .job import hooks, ledgering, mapping, saved_files, settings
    from .page import panel, tab, xyz
    from .tasks import api

    for part in (settings, hooks, saved_files, ledgering, mapping, panel, xyz, tab, api):
        part.register()
