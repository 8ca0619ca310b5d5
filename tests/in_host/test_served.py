"""Over HTTP and in a browser: the live suite against this host, protected routes, and the page as a person uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import FORGE
from test_judging import MEMORIZED

ROOT = Path(__file__).resolve().parent.parent.parent
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
)


def test_the_live_suite_passes_here(server, options):
    command = [sys.executable, "-m", "pytest", "tests/live", "-m", "live", "--webui-url", server, "-q", "--no-header", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    summary = done.stdout.strip().splitlines()[-1]
    assert "failed" not in summary and "error" not in summary


def test_no_routes_without_the_hosts_api(host):
    from fastapi import FastAPI

    from lib_stability.webui.tasks import api

    host.shared.cmd_opts.api = False
    try:
        app = FastAPI()
        api._start(None, app)
    finally:
        host.shared.cmd_opts.api = True
    assert not [route for route in app.router.routes if "memorization" in getattr(route, "path", "")]


def test_a_body_in_pieces_is_checked_whole(server):
    """A picture makes the request longer than what arrives at once."""
    body = {"prompt": "big red circle", "steps": 1, "padding": "x" * 3_000_000, "alwayson_scripts": {"Memorization Guard": {"args": [{"mode": 7}]}}}
    request = urllib.request.Request(f"{server}/sdapi/v1/txt2img", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 422 and "mode" in json.load(refused.value)["detail"][0]["loc"]


@pytest.fixture
def page(server):
    if BROWSER is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        page = browser.new_page(viewport={"width": 1300, "height": 1400})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        # A click before gradio has tied its handlers to what it shows is lost; what the page asks for once it is open comes after that.
        with page.expect_response(lambda answer: '"data":["null"]' in (answer.request.post_data or ""), timeout=60_000):
            page.goto(server)
        yield page
        browser.close()
        assert problems == []


OPEN_MAP = """() => {
    const panel = document.querySelector("#memorization_guard_verdict_txt2img");
    panel.querySelectorAll("details:not([open]) > summary").forEach(summary => summary.click());
    return panel.querySelector("svg.memorization-guard-map image")?.checkVisibility();
}"""


def fill(page, name: str, value: object) -> None:
    box = page.locator(f"#txt2img_{name} input, #txt2img_{name} textarea").first
    box.fill(str(value))
    box.blur()


def test_a_person_reads_the_verdict(page, options):
    """Tick the accordion, generate a memorized caption twice as a batch, read the verdict under either picture."""
    for name, value in (("steps", 12), ("cfg_scale", 7.5), ("width", 128), ("height", 128), ("batch_size", 2)):
        fill(page, name, value)
    fill(page, "prompt", MEMORIZED)
    page.locator("#memorization_guard_txt2img_enabled-checkbox input").first.check()
    page.locator("#memorization_guard_txt2img_sensitivity").get_by_text("High", exact=True).click()
    line = page.locator("#memorization_guard_txt2img_line")
    page.wait_for_function("() => document.querySelector('#memorization_guard_txt2img_line').innerText.includes('1 in 20 ')", timeout=20_000)
    assert line.first.inner_text().startswith("Judged by: the calibration Testbed") and "z >" not in line.first.inner_text()
    assert "Testbed (bundled calibration; chosen by name)" in line.first.text_content()
    page.locator("#txt2img_generate").click()
    page.wait_for_selector("#memorization_guard_verdict_txt2img p", timeout=60_000)
    shown = page.locator("#memorization_guard_verdict_txt2img p").first.inner_text()
    assert shown.startswith(("Strong: ", "Mild: ")) and "How unusual: " in shown and "evaluation" not in shown
    assert "First flagged at step " in page.locator("#memorization_guard_verdict_txt2img details.memorization-guard-details").first.text_content()
    assert "MG verdict" in page.locator("#html_info_txt2img").first.inner_text()
    page.wait_for_selector("#txt2img_gallery .thumbnail-item[data-memorization-guard=strong]", timeout=20_000)
    badges = page.locator("#txt2img_gallery .thumbnail-item[data-memorization-guard]")
    assert badges.count() >= 3 and badges.first.evaluate("item => getComputedStyle(item, '::after').content") == '"strong"'
    page.locator("#txt2img_gallery .thumbnail-item").nth(1).click()
    page.wait_for_selector("#memorization_guard_verdict_txt2img svg circle", state="attached", timeout=20_000)
    # The verdict of the picture that was clicked may replace what is being opened: then it is opened again.
    page.wait_for_function(OPEN_MAP, timeout=20_000)
    folder = ROOT / "outputs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(folder / f"verdict-{'forge' if FORGE else 'a1111'}.png"), full_page=True)
    assert "memorization-guard-" in page.locator("#memorization_guard_verdict_txt2img p").first.get_attribute("class")


def test_pasting_into_the_page(page, options):
    text = (
        "big red circle\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 64x64, MG mode: damp, MG sensitivity: low, "
        "MG verdict: stable, MG version: 0.1.0"
    )
    fill(page, "paste_text", text)
    page.locator("#txt2img_paste").click()
    page.wait_for_function(
        "() => document.querySelector('#memorization_guard_txt2img_mode input:checked')?.value.toLowerCase() === 'damp' && "
        "document.querySelector('#memorization_guard_txt2img_sensitivity input:checked')?.value.toLowerCase() === 'low' && "
        "document.querySelector('#memorization_guard_txt2img_enabled-checkbox input').checked",
        timeout=20_000,
    )
    fill(page, "paste_text", "big red circle\nSteps: 3, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 64x64")
    page.locator("#txt2img_paste").click()
    page.wait_for_function("() => !document.querySelector('#memorization_guard_txt2img_enabled-checkbox input').checked", timeout=20_000)
