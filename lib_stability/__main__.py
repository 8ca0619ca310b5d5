"""``python -m lib_stability``."""

import sys

from .shell.cli import main

sys.exit(main())
