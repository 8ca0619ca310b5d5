"""Entry of the extension: the host executes this file whenever it (re)loads its scripts."""

from lib_stability import webui
from lib_stability.webui.page.script import GuardScript  # noqa: F401 - the host takes every Script class that it finds here

webui.register()
