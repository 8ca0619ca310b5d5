"""One generation: its hooks, sampling passes, settings and results, and what is kept of them in infotext, ledger and files.

Imports :mod:`lib_stability.webui.host`, never page or tasks.
"""
