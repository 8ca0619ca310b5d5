"""Registration with the host's callbacks that may be repeated: after "Reload UI" every function of ours is there exactly once."""

from __future__ import annotations

from collections.abc import Callable


def once(event: str, function: Callable) -> None:
    """Register `function` with ``script_callbacks.on_<event>``, after taking off what an earlier load has left."""
    from modules import script_callbacks

    forget = getattr(script_callbacks, "remove_callbacks_for_function", None)
    if forget is not None:
        forget(function)
    getattr(script_callbacks, f"on_{event}")(function)
