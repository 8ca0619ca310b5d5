"""Make this process a web UI in small, in the shape that the environment variable HOST_SHAPE names.

``python tests/host/launch.py --port 7861`` serves page and API on 127.0.0.1 with the repository as its extension; in the environment of the
shape: ``HOST_SHAPE=forge .venv-forge/bin/python tests/host/launch.py``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
_PARTS = "shape shared script_callbacks scripts prompt_parser sd_models sd_samplers sd_schedulers processing".split()
_PARTS += "infotext_utils images gradio_extensions ui api extra_networks".split()


def start(*extensions: Path, profile: str = "Testbed") -> SimpleNamespace:
    """Import the host, load the scripts of `extensions` (the repository by default) and build the page.

    Returns
    -------
    namespace of the host's modules, plus `demo`, the gradio page
    """
    for folder in (HERE / "forge", HERE, ROOT):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    host = SimpleNamespace(**{name: importlib.import_module(f"modules.{name}") for name in _PARTS})
    host.networks = importlib.import_module("networks")
    host.networks.register()
    folders = [HERE, *(extensions or (ROOT,))]
    # The testbed is no SD 1: without a name the prior for that family would serve it.
    host.shared.opts.set("memorization_guard_profile", profile)
    host.scripts.load_scripts(folders)
    host.demo = host.ui.create_ui(folders)
    return host


async def _link_scripts(request, call_next):
    """Put the extension's scripts into the page, as the hosts do in their template."""
    answer = await call_next(request)
    if request.url.path != "/" or "text/html" not in answer.headers.get("content-type", ""):
        return answer
    from starlette.responses import HTMLResponse

    body = b"".join([part async for part in answer.body_iterator]).decode()
    scripts = "".join(
        f"<script>{path.read_text(encoding='utf-8')}</script>" for folder in (HERE, ROOT) for path in sorted((folder / "javascript").glob("*.js"))
    )
    return HTMLResponse(body.replace("</head>", f"{scripts}</head>", 1), answer.status_code)


def application(host: SimpleNamespace, accounts: list[tuple[str, str]] | None = None):
    """gradio's own application with the API added to it, as the real hosts have it; `accounts` as of --gradio-auth."""
    import gradio as gr

    # A page that is being served goes on with its own queue.
    queue = getattr(host.demo, "_queue", None)
    host.demo.queue().auth, host.demo.max_file_size = accounts, None
    try:
        app = gr.routes.App.create_app(host.demo)
    finally:
        host.demo.auth = None
        if queue is not None:
            host.demo._queue = queue
    # As every host does: a page of any other site could ask for anything.
    app.user_middleware = [one for one in app.user_middleware if one.cls.__name__ != "CORSMiddleware"]
    host.api.create_api(app)
    return app


def serve(host: SimpleNamespace, port: int):
    """The FastAPI application with API and page, and a uvicorn server for it on 127.0.0.1."""
    import gradio as gr
    import uvicorn
    from fastapi import FastAPI

    app = FastAPI()
    host.api.create_api(app)
    app.middleware("http")(_link_scripts)
    if not host.shared.cmd_opts.nowebui:
        app = gr.mount_gradio_app(app, host.demo.queue(), path="/")
    return uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=7861)
    parser.add_argument("--nowebui", action="store_true")
    parser.add_argument("--api-auth")
    arguments = parser.parse_args()
    host = start()
    host.shared.cmd_opts.nowebui, host.shared.cmd_opts.api_auth = arguments.nowebui, arguments.api_auth
    print(f"http://127.0.0.1:{arguments.port}")
    serve(host, arguments.port).run()


if __name__ == "__main__":
    main()
