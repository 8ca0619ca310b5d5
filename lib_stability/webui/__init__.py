"""Memorization Guard inside a Stable Diffusion web UI: the only place that imports ``modules.*``.

Importing this package imports and touches nothing of the host. The extension's entry file does both whenever scripts are (re)loaded: it imports
:mod:`.page.script`, whose class the host looks for, and calls :func:`register`. Arrows run from host over job and tasks to page.
"""

from __future__ import annotations


def register() -> None:
    """Hang everything into the host: hooks, settings, axes, API. Safe to call again after "Reload UI"."""
    from .job import hooks, ledgering, mapping, saved_files, settings, wholes
    from .page import flagged, panel, tab, xyz
    from .tasks import api

    for part in (settings, hooks, wholes, saved_files, ledgering, mapping, panel, flagged, xyz, tab, api):
        part.register()
