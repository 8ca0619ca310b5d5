"""A small text-to-image model that was made to memorize, and all that is measured on it.

Needs the extra "testbed" of ``pyproject.toml`` and is imported by the command line alone. Arrows run from world over network to export and rivals,
and from those to evidence; the demo and the commands stand beside the rooms and may use them all.
"""

import warnings

# A word from clip to its own developers, which k-diffusion imports: it would be the first line that a command prints.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
