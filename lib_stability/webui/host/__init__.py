"""How the web UIs are spoken to, and how they differ: callbacks, latents, sampling, the model past its denoiser.

Imports the guard, profiles and :mod:`lib_stability.wording`, never a job, a page or a task; the host itself only when something is called.
Differences are asked of the objects at hand, never of a version number.
"""
