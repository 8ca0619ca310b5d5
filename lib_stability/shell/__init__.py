"""The command line: what ``python -m lib_stability`` offers, the client of a running web UI, and the measurement of what the guard costs.

May import every room but :mod:`lib_stability.webui`, the heavy ones, and what they want installed, only when their command runs. Nothing imports it
but ``__main__``.
"""
