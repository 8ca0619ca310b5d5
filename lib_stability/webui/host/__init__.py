"""How the web UIs are spoken to, and how they differ: callbacks, latents, sampling, the model past its denoiser.

Knows the guard and profiles, never a job, a page or a task. Differences are asked of the objects at hand, never of a version number.
"""
