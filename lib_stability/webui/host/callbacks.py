"""Registration with the host's callbacks that may be repeated: after "Reload UI" every function of ours is there exactly once."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


def once(event: str, function: Callable) -> None:
    """Register `function` with ``script_callbacks.on_<event>``, after taking off what an earlier load has left."""
    from modules import script_callbacks

    forget = getattr(script_callbacks, "remove_callbacks_for_function", None)
    if forget is not None:
        forget(function)
    _on_a_short_stack(lambda: getattr(script_callbacks, f"on_{event}")(function))


def _on_a_short_stack(call: Callable[[], object]) -> None:
    """Hosts look up the module of every function that a registration comes through, each among all modules that are loaded: from where scripts
    are loaded that takes longer than all the rest of this extension's start, from a thread's beginning a fraction. Whose callback it is they see
    alike."""
    failed: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            failed.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
