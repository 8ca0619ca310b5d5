"""Curves of ``||eps_c - eps_u||`` on Stable Diffusion 1.4, DDIM 50 steps, guidance 7.5: time step -> value, read to about 0.05.

Points read off the plots of Wen et al., "Detecting, Explaining, and Mitigating Memorization in Diffusion Models" (ICLR 2024, arXiv 2407.21720,
examples/mem_mag_viz.ipynb). Label L on those plots is time step L - 19. Steps that lie under another curve are not readable.
"""

#: "Wall view 002", two seeds.
MEMORIZED = (
    {
        **{981: 5.37, 941: 3.49, 921: 2.58, 861: 2.56, 801: 2.90, 701: 3.68, 601: 4.51},
        **{421: 6.20, 301: 6.69, 141: 8.09, 81: 9.34, 41: 11.11, 21: 14.05},
    },
    {
        **{961: 5.86, 941: 2.61, 921: 2.35, 761: 3.65, 701: 3.94, 601: 4.87, 501: 5.39},
        **{401: 6.07, 301: 6.43, 201: 7.26, 101: 9.47, 41: 11.55, 1: 13.48},
    },
)
#: "a photo of a cute dog", two seeds; the largest values of either are among them.
ORDINARY = (
    {901: 1.62, 881: 2.27, 861: 2.12, 801: 1.54, 701: 1.83, 581: 2.17, 361: 2.53, 301: 2.61, 201: 2.74, 121: 2.69, 81: 2.51, 41: 2.27},
    {
        **{981: 0.45, 961: 0.53, 941: 0.58, 901: 0.74, 881: 0.92, 841: 1.10, 821: 1.62, 801: 2.66, 781: 1.62},
        **{641: 1.28, 581: 1.49, 521: 1.80, 401: 1.86, 301: 2.01},
    },
)
#: Quantiles over 500 + 500 prompts of the mean over 50 steps and four seeds (the same source, examples/det_mem_viz.ipynb).
ORDINARY_QUANTILES = {0.01: 1.221, 0.05: 1.364, 0.5: 1.730, 0.95: 2.296, 0.99: 2.746, 0.995: 2.879}
MEMORIZED_QUANTILES = {0.01: 2.465, 0.02: 3.411, 0.05: 4.447, 0.1: 5.121, 0.5: 7.401, 0.95: 14.953}
