"""File names of profiles: made here, never taken from a profile or a person."""

from __future__ import annotations

import hashlib
import re


def file_name(name: str) -> str:
    """The file of a profile called `name`: readable, and different for different names."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
    return f"{plain or 'profile'}.{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"
