"""The version of Memorization Guard: the one place that says it, for packaging, profiles and infotext alike."""

__version__ = "0.1.0"
