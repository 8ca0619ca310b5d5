"""Charts, maps and montages: SVG for pages, matplotlib for files, which is imported only when something is drawn.

Imports the guard and Pillow, never profiles, a web UI or the testbed.
"""
