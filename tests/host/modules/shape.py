"""Which host this process imitates: one process, one shape, and of Forge's shape one flavour."""

import os

FORGE = os.environ.get("HOST_SHAPE", "a1111") == "forge"
#: "" for Forge itself; "neo" and "ersatz" differ from it where tests/host/README.md says.
FLAVOUR = os.environ.get("HOST_FLAVOUR", "")
NEO, ERSATZ = FLAVOUR == "neo", FLAVOUR == "ersatz"
assert FLAVOUR in ("", "neo", "ersatz") and (FORGE or not FLAVOUR)
VERSION = f"{FLAVOUR or 'f'}-miniature" if FORGE else "1.10.1-miniature"
