"""What the testbed's pictures show: scenes drawn by code, captions, and judging a picture by them alone.

Imports none of our rooms; torch, numpy and what loads and shows with them (safetensors, tqdm).
"""
