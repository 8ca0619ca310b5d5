"""What hosts change about gradio: extensions are told of every component that is made, and events know ``_js`` on gradio 4 as well.

On gradio 4 a component that an event updates is made anew, outside of any page: extensions are told of that one, too.
"""

from __future__ import annotations

from functools import wraps

import gradio as gr
from modules import script_callbacks, shape


def _told(original):
    @wraps(original)
    def made(self, *args, **kwargs):
        script_callbacks.fire("before_component", self, **kwargs)
        original(self, *args, **kwargs)
        for event in self.EVENTS if shape.FORGE else ():
            setattr(self, str(event), _Event(getattr(self, str(event))))
        script_callbacks.fire("after_component", self, **kwargs)

    made.of_this_host = True
    return made


class _Event:
    """An event of gradio 4 that takes the code of the page by its name in gradio 3."""

    def __init__(self, event):
        self._event = event

    def __getattr__(self, name):
        return getattr(self._event, name)

    def __call__(self, *args, _js=None, **kwargs):
        return self._event(*args, **({"js": _js} if _js else {}), **kwargs)

    @property
    def __self__(self):
        return self._event.__self__


_base = gr.components.Component if shape.FORGE else gr.components.IOComponent
if not hasattr(_base.__init__, "of_this_host"):
    _base.__init__ = _told(_base.__init__)
