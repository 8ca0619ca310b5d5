"""The list of schedules that the page and the API offer."""

from types import SimpleNamespace

schedulers = [SimpleNamespace(name=label.lower(), label=label) for label in ("Automatic", "Karras", "Exponential", "Simple", "Beta", "Normal")]
