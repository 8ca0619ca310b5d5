"""The extension inside a web UI in small: one host per process, and no test may leave a traceback in the log."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "host"))
import launch

FORGE = os.environ.get("HOST_SHAPE") == "forge"


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def host(one_thread):
    return launch.start()


class Tracebacks(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.seen: list[logging.LogRecord] = []

    def emit(self, record):
        # gradio 4 says so of streams of its queue that a page has left, whenever they are collected; the extension has no asynchronous generator.
        left = record.name == "asyncio" and "async generator ignored GeneratorExit" in record.getMessage()
        if (record.exc_info or record.levelno >= logging.ERROR) and not left:
            self.seen.append(record)


@pytest.fixture(autouse=True)
def logged():
    """What was logged as an error; a test that expects some has to take it out of the list."""
    handler = Tracebacks()
    logging.getLogger().addHandler(handler)
    yield handler.seen
    logging.getLogger().removeHandler(handler)
    assert [record.getMessage() for record in handler.seen] == []


@pytest.fixture
def options(host, tmp_path):
    """The host's options, put back afterwards; pictures go to a temporary folder."""
    before = dict(host.shared.opts.data)
    host.shared.opts.set("outdir_samples", str(tmp_path))
    yield host.shared.opts
    host.shared.opts.data.clear()
    host.shared.opts.data.update(before)


@pytest.fixture
def checkpoint(host):
    """Load another checkpoint: ``checkpoint("name", kind)``; the testbed comes back afterwards."""
    yield host.sd_models.model_data.load
    host.sd_models.model_data.load("testbed", "sd1")


@pytest.fixture
def lora(host, tmp_path):
    """Put a LoRA into the host's folder: ``lora("name", strength)`` gives its tag at weight 0.8; everything is off again afterwards. Kinds are lora,
    lokr (of LyCORIS) and dora."""
    from safetensors.torch import save_file

    folder = tmp_path / "Lora"
    folder.mkdir()
    host.shared.cmd_opts.lora_dir = str(folder)
    host.networks.list_available_networks()

    def make(name: str, strength: float = 1.0, alias: str = "", text: bool = False, matching: bool = True, kind: str = "lora") -> str:
        draw, keys = torch.Generator().manual_seed(sum(map(ord, name))), {}
        for module, one in host.networks._modules().items():
            if "attn" in module and matching:
                if kind == "lokr":
                    keys[f"{module}.lokr_w1"] = torch.randn(4, 4, generator=draw) / 4
                    keys[f"{module}.lokr_w2"] = strength * torch.randn(one.out_features // 4, one.in_features // 4, generator=draw) / 4
                    continue
                keys[f"{module}.lora_down.weight"] = torch.randn(2, one.in_features, generator=draw) / one.in_features**0.5
                keys[f"{module}.lora_up.weight"] = strength * torch.randn(one.out_features, 2, generator=draw) / 4
                if kind == "dora":
                    keys[f"{module}.dora_scale"] = one.weight.norm(dim=0, keepdim=True).detach().clone()
        if text:
            keys["lora_te_all"] = torch.full((1,), 0.1)
        save_file(keys or {"nothing": torch.zeros(1)}, folder / f"{name}.safetensors", {"ss_output_name": alias or name})
        host.networks.list_available_networks()
        return f"<lora:{name}:0.8>"

    yield make
    host.shared.cmd_opts.lora_dir = ""
    host.networks.list_available_networks()
    host.extra_networks.activate(None, {})
    host.networks.apply()


class Runner:
    """Generates through the host's own processing."""

    def __init__(self, host):
        self.host = host

    def args(self, guard: object, tab: str = "txt2img") -> list:
        runner = self.host.scripts.scripts_img2img if tab == "img2img" else self.host.scripts.scripts_txt2img
        args = [0, *[control.value for control in runner.inputs[1:]]]
        script = next(one for one in runner.alwayson_scripts if one.title() == "Memorization Guard")
        if guard is not None:
            given = guard if isinstance(guard, list) else [guard]
            args[script.args_from : script.args_from + len(given)] = given
        return args

    def __call__(self, guard: object = None, tab: str = "txt2img", **fields):
        fields = {"prompt": "big red circle", "steps": 4, "seed": 11, **fields}
        return self.host.processing.run(tab, self.args(guard, tab), **fields)

    def last(self) -> dict:
        """The record of the last guarded job."""
        from lib_stability.webui.job import last_job

        return last_job.last()


@pytest.fixture
def generate(host, options):
    return Runner(host)


@pytest.fixture(scope="session")
def server(host):
    """Address of the host, served from a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = launch.serve(host, port)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    while not serving.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    serving.should_exit = True
    thread.join(10)
