"""One generation: its hooks, sampling passes, settings and results, and what is kept of them in infotext, ledger and files.

Imports :mod:`lib_stability.webui.host` and every room that knows no web UI but the testbed's and the command line's, never page or tasks; the host
itself only when something is called.
"""
