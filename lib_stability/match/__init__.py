"""Which training picture a picture comes from: an index of a folder, kept in files that are mapped into memory, and what of it is nearest.

Imports numpy, Pillow and the trail, which finds files, and torch only where a copy detector's file is loaded. What turns pictures into rows of
numbers (a web UI's autoencoder, say) is handed in; no room of the web UI, of the command line or of the testbed is imported.
"""
