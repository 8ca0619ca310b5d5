"""What the testbed's pictures show: scenes drawn by code, captions, and judging a picture by them alone.

Imports no network; torch and numpy only.
"""
