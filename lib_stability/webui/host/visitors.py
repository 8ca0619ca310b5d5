"""Whether others than its owner are at the host's page, by its own command line."""

from __future__ import annotations

from . import host


def strangers() -> bool:
    """Whether the host takes the people at its page for strangers, or gives them accounts: whoever sees the page may change most settings.

    ``--enable-insecure-extension-access`` says that all of them are trusted with everything.
    """
    options = host.command_line()
    known = getattr(options, "disable_extension_access", None)
    if known is None:
        known = any(getattr(options, name, None) for name in ("share", "listen", "ngrok", "server_name"))
    if not getattr(options, "enable_insecure_extension_access", False):
        known = known or any(getattr(options, name, None) for name in ("gradio_auth", "gradio_auth_path"))
    return bool(known) or hides_folders()


def hides_folders() -> bool:
    """Whether the host keeps its output folders out of the page's settings."""
    return bool(getattr(host.command_line(), "hide_ui_dir_config", False))
