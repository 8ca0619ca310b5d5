"""A trial of the guard on a checkpoint that somebody has: what is generated, what is kept of it, and what comes out as figures and reports.

Imports the guard and the trail; a web UI is what the command line hands over (see :class:`.generating.Server`), so nothing here knows the network.
Pillow reads and writes pictures; torch runs a copy detector only where one is given.
"""
