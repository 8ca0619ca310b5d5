"""What lies in the user's folder and is no profile, folders that may only be read, and HTML without end: none of it holds a generation up."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import pytest
from test_calibrating import SMALL, calibrated, folder  # noqa: F401 - a fixture
from test_judging import verdict

from lib_stability.profile import storage
from lib_stability.webui.host import sampling
from lib_stability.webui.job.library import LIBRARY
from lib_stability.webui.page import panel, tab_profiles
from lib_stability.webui.tasks import calibrating

ODD = {
    "dangling link": lambda path: path.symlink_to("gone.json"),
    "loop": lambda path: path.symlink_to(path.name),
    "pipe": os.mkfifo,
    "link to a pipe": lambda path: (os.mkfifo(path.with_suffix(".pipe")), path.symlink_to(path.with_suffix(".pipe"))),
    "folder": lambda path: path.mkdir(),
    "endless": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_no_file_holds_nobody_up(generate, folder, kind):  # noqa: F811
    folder.mkdir()
    ODD[kind](folder / "odd.json")
    done = []
    worker = threading.Thread(target=lambda: done.append(generate({})), daemon=True)
    worker.start()
    worker.join(60)
    assert done and verdict(done[0]).verdict == "stable"
    assert any("odd.json" in message for message in LIBRARY.refused) and "odd.json" in tab_profiles.table()


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("a file"), lambda path: path.symlink_to("gone/gone"), lambda path: path.symlink_to(path)]
)
def test_a_folder_that_is_none_holds_nobody_up(generate, folder, make):  # noqa: F811
    make(folder)
    assert verdict(generate({})).verdict == "stable"


def test_where_nothing_can_be_written_a_calibration_does_not_begin(folder, host, monkeypatch):  # noqa: F811
    folder.mkdir()
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: pytest.fail("sampled"))
    plain = storage.Path.write_bytes

    def read_only(path, data):
        if folder in path.parents:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return plain(path, data)

    monkeypatch.setattr(storage.Path, "write_bytes", read_only)
    task = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.wait(60) and task.state == "failed"
    assert f"cannot be written to {folder}: Read-only file system" in task.error and "Settings" in task.error
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_a_file_is_found_out_first(folder, host):  # noqa: F811
    folder.write_text("a file")
    before = host.shared.sd_model.evaluations
    task = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.wait(60) and task.state == "failed" and f"cannot be written to {folder}" in task.error
    assert host.shared.sd_model.evaluations == before


def test_what_cannot_be_written_in_the_end_is_kept_elsewhere(folder, host, monkeypatch):  # noqa: F811
    plain = storage.write

    def full(profile, path):
        if folder in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        plain(profile, path)

    monkeypatch.setattr(storage, "write", full)
    task = calibrating.task(calibrating.Options.parse(SMALL)).start()
    assert task.wait(300) and task.state == "failed" and "No space left on device" in task.error
    spare = storage.Path(task.error.split("it is kept as ")[1].removesuffix(", import it"))
    assert storage.read(spare).kind == "calibrated"
    spare.unlink()
    spare.parent.rmdir()


def test_a_trial_leaves_nothing_behind(folder, host):  # noqa: F811
    result = calibrated()
    assert [path.name for path in folder.iterdir()] == [result["file"]]


@pytest.mark.parametrize(
    "shown",
    [
        "<" * 150_000,
        "<br " * 40_000,
        "<br\t" + "\t" * 150_000,
        "&#" + "9" * 150_000 + ";",
        "&" * 150_000,
        "<a" * 75_000,
        "\n" * 150_000,
        '"' * 150_000,
    ],
)
def test_html_without_end_does_not_freeze_the_page(host, shown):
    for whole in (shown, "<p>Steps: 1, Seed: 2, MG version: 1, Foo: " + shown):
        began = time.process_time()
        panel.answer(json.dumps({"number": 1, "info": json.dumps({"infotexts": [whole]}), "index": 0}))
        assert time.process_time() - began < 1


def test_a_prompt_without_end_does_not_hold_up_a_calibration(host):
    began = time.process_time()
    assert sampling.plain("<a:" * 50_000) and time.process_time() - began < 1
