"""Screenshots of every state of the page, light, dark and as wide as a phone: ``make screenshots``.

Without ``--url`` they are of the web UI in small, in the shape of HOST_SHAPE; with it of a running host that has the exported testbed loaded and was
started with ``--api``: settings are put back, a trial that is calibrated on the way is deleted. Look at them: nothing here judges them.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from lib_stability.testbed.world.kinds import memorized, ordinary_samples  # noqa: E402

PREFIX = "memorization_guard_"
TAB = f"#{PREFIX}tab_"
COPY = memorized()[0].caption
#: Seen to be steered away in AUTOMATIC1111; in Forge it was damped, and could not be told.
STEERED = next(item.caption for item in memorized() if item.name == "bruno")
#: Deviates little but for its last step.
LATE = next(item.caption for item in memorized() if item.name == "anna")
ORDINARY = [caption for caption, _ in ordinary_samples(24, 1_000_000, "calibration")]
#: Theme and width.
LOOKS = {"light": ("light", 1300), "dark": ("dark", 1300), "phone": ("light", 390)}
#: Settings that every state starts from.
USUAL = {"enabled": True, "mode": "Report", "damping": "Reword", "probe": "Auto", "sensitivity": "Medium", "tau": 3.0}
SECTIONS = ("profiles", "calibrate", "scan", "audit", "match", "glossary")


class Shooter:
    """One page of one look; `settings` sets options of the host."""

    def __init__(self, page: object, url: str, look: str, out: Path, settings: Callable[[dict], None]) -> None:
        self.page, self.url, self.look, self.out, self._settings = page, url, look, out, settings

    def open(self, **options: object) -> None:
        """The page anew, with these of our settings in force and all others as they come."""
        usual = {**USUAL, "profile": self.profile}
        self._settings({f"{PREFIX}{name}": value for name, value in {**usual, **options}.items()})
        self.page.goto(f"{self.url}/?__theme={LOOKS[self.look][0]}")
        self.page.wait_for_selector("#txt2img_generate", timeout=60_000)
        mode = {**usual, **options}["mode"].lower()
        chosen = f"() => document.querySelector('#{PREFIX}txt2img_mode input:checked')?.value.toLowerCase() === '{mode}'"
        self.page.wait_for_function(chosen, timeout=60_000)
        self.page.wait_for_timeout(1500)

    profile = "Auto"
    #: Where pictures are saved, if this program can see it.
    pictures = ""
    #: All that were taken, of every look.
    taken: ClassVar[list[str]] = []

    def fill(self, name: str, value: object) -> None:
        box = self.page.locator(f"#{name} textarea:visible, #{name} input[type=number]:visible, #{name} input[type=text]:visible").first
        box.fill(str(value))
        box.blur()

    def generate(self, prompt: str, cfg: float = 7.5) -> None:
        for name, value in (("steps", 12), ("cfg_scale", cfg), ("width", 128), ("height", 128), ("seed", 7)):
            self.fill(f"txt2img_{name}", value)
        self.fill("txt2img_prompt", prompt)
        answer = f"document.querySelector('#{PREFIX}verdict_txt2img .memorization-guard-answer')?.dataset.answer ?? null"
        before = self.page.evaluate(f"() => {answer}")
        self.page.locator("#txt2img_generate:visible, #txt2img_generate_box #txt2img_generate").first.click()
        self.page.wait_for_function(f"before => {answer} !== before", arg=before, timeout=120_000)
        self.page.wait_for_selector(f"#{PREFIX}verdict_txt2img p", timeout=120_000)
        self.page.wait_for_timeout(1500)

    def section(self, name: str) -> None:
        """Go to a section of the tab."""
        self.page.evaluate(
            """() => [...document.querySelectorAll('#tabs > .tab-nav button, #tabs > .tab-wrapper button')]
                .find(one => one.innerText.trim() === 'Memorization Guard').click()"""
        )
        buttons = self.page.locator(f"{TAB}sections > .tab-nav button, {TAB}sections > .tab-wrapper button")
        buttons.nth(SECTIONS.index(name)).click()
        self.page.wait_for_timeout(2500)

    def says(self, name: str, text: str, timeout: int = 300_000) -> None:
        wanted = [TAB + name, text]
        self.page.wait_for_function("([id, text]) => document.querySelector(id)?.innerText.includes(text)", arg=wanted, timeout=timeout)

    def take(self, name: str, whole: bool = True) -> None:
        self.page.evaluate("() => window.scrollTo(0, 0)")
        self.page.screenshot(path=str(self.out / f"{name}-{self.look}.png"), full_page=whole)
        self.taken.append(name)
        print(f"{name}-{self.look}", flush=True)


def ordinary(shot: Shooter) -> None:
    shot.open()
    shot.generate("small blue square")
    shot.take("ordinary")


def flagged(shot: Shooter) -> None:
    shot.open()
    shot.generate(STEERED)
    shot.page.locator(f"#{PREFIX}verdict_txt2img details.memorization-guard-details > summary").first.click()
    shot.take("flagged")


def steered(shot: Shooter) -> None:
    shot.open(mode="Damp", damping="Directional")
    shot.generate(STEERED)
    shot.take("steered")


def again(shot: Shooter) -> None:
    """A threshold that the picture exceeds at the last step alone: too late to steer, so it is sampled again."""
    shot.open(mode="Damp", sensitivity="Custom", tau=12.0)
    shot.generate(LATE)
    shot.take("again")


def not_judged(shot: Shooter) -> None:
    shot.open(probe="Never")
    shot.generate(COPY, cfg=1.0)
    shot.take("not-judged")


def guess(shot: Shooter) -> None:
    shot.open(profile="SD 1.x prior")
    shot.generate(COPY)
    shot.take("guess")


def no_profile(shot: Shooter) -> None:
    shot.open(profile="Mine that was deleted")
    shot.generate(COPY)
    shot.take("no-profile")


def profiles(shot: Shooter) -> None:
    shot.open()
    shot.section("profiles")
    shot.page.wait_for_selector(f"{TAB}profile_plot img", timeout=30_000)
    shot.take("profiles")


def calibrating(shot: Shooter) -> None:
    shot.open(profile="SD 1.x prior")
    shot.section("calibrate")
    shot.page.get_by_text("More choices", exact=True).locator("visible=true").first.click()
    for name, value in (("runs", 24), ("steps", 8), ("width", 128), ("height", 128), ("prompts", "\n".join(ORDINARY))):
        shot.fill(f"{PREFIX}tab_{name}", value)
    shot.page.locator(f"{TAB}calibrate").click()
    really = shot.page.locator(f"{TAB}calibrate_really")
    if any(done.startswith("calibrated") for done in shot.taken):  # that of the look before would be replaced
        really.wait_for(state="visible", timeout=30_000)
        really.click()
    shot.says("progress", " of 24 images, about")
    shot.take("calibrating")
    shot.says("progress", "Calibration done")
    shot.page.wait_for_selector(f"{TAB}plot img", timeout=30_000)
    shot.page.wait_for_timeout(3500)
    shot.take("calibrated")


def scan(shot: Shooter) -> None:
    shot.open()
    shot.section("scan")
    shot.take("scan-empty")
    more = shot.page.get_by_text("More choices", exact=True).locator("visible=true").first
    more.click()
    for name, value in (("scan_width", 128), ("scan_height", 128), ("captions", "\n".join([COPY, memorized()[1].caption, *ORDINARY[:6]]))):
        shot.fill(f"{PREFIX}tab_{name}", value)
    more.click()
    shot.page.locator(f"{TAB}scan").click()
    shot.says("scan_progress", "Scan: ")  # the ranking of the scan before stands there until this one is done
    shot.says("scan_progress", "Scan done")
    shot.take("scan")


def audit(shot: Shooter) -> None:
    shot.open()
    shot.section("audit")
    shot.page.locator(f"{TAB}audit").click()
    shot.page.wait_for_selector(f"{TAB}audit_cards figure", timeout=120_000)
    shot.page.wait_for_timeout(2500)
    shot.take("audit", whole=False)


def match(shot: Shooter) -> None:
    """An index of the pictures that were saved, and the nearest to one of them."""
    shot.open()
    shot.section("match")
    shot.take("match-empty")
    if not shot.pictures:
        return
    name = f"Shots {shot.look}"
    shot.fill(f"{PREFIX}tab_match_name", name)
    shot.fill(f"{PREFIX}tab_match_path", shot.pictures)
    shot.page.locator(f"{TAB}match").click()
    shot.says("match_indexes", f"{name}: ")
    shot.page.locator(f"{TAB}match_picture input[type=file]").set_input_files(str(sorted(Path(shot.pictures).rglob("*.png"))[0]))
    shot.page.wait_for_selector(f"{TAB}match_find:not([disabled])", timeout=30_000)
    shot.page.locator(f"{TAB}match_find").click()
    shot.page.wait_for_selector(f"{TAB}match_found figure", timeout=60_000)
    shot.page.wait_for_timeout(1500)
    shot.take("match")


def glossary(shot: Shooter) -> None:
    shot.open()
    shot.section("glossary")
    shot.take("glossary")


STATES = (ordinary, flagged, steered, again, not_judged, guess, no_profile, profiles, calibrating, scan, audit, match, glossary)


@contextmanager
def small() -> Iterator[tuple[str, Callable[[dict], None]]]:
    """The web UI in small, served from a thread, with folders of its own."""
    import launch

    os.environ["MEMORIZATION_GUARD_FOLDER"] = tempfile.mkdtemp(prefix="memorization-guard-shots-")
    host = launch.start()
    outputs = Path(os.environ["MEMORIZATION_GUARD_FOLDER"], "pictures")
    outputs.mkdir()
    host.shared.opts.set("outdir_samples", str(outputs))
    from modules import processing

    processing.run = functools.partial(processing.run, do_not_save_samples=False)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serving = launch.serve(host, port)
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    while not serving.started:
        time.sleep(0.05)
    Shooter.profile, Shooter.pictures = "Testbed", str(outputs)
    yield f"http://127.0.0.1:{port}", lambda given: [host.shared.opts.set(name, value) for name, value in given.items()]
    serving.should_exit = True
    thread.join(10)
    shutil.rmtree(os.environ["MEMORIZATION_GUARD_FOLDER"], ignore_errors=True)


@contextmanager
def running(url: str) -> Iterator[tuple[str, Callable[[dict], None]]]:
    """A running host, by its API; what was set and made is put back."""

    def ask(method: str, path: str, body: object = None) -> object:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    before = {name: value for name, value in ask("GET", "/sdapi/v1/options").items() if name.startswith(PREFIX)}
    if not before:  # Forge Neo does not list the options of extensions
        before = {f"{PREFIX}{name}": value for name, value in {**USUAL, "enabled": False, "profile": "Auto"}.items()}
    known = {one["name"] for one in ask("GET", "/memorization-guard/v1/profiles")["profiles"]}
    try:
        yield url, lambda given: ask("POST", "/sdapi/v1/options", given)
    finally:
        ask("POST", "/sdapi/v1/options", before)
        for one in ask("GET", "/memorization-guard/v1/profiles")["profiles"]:
            if one["name"] not in known:
                ask("POST", "/memorization-guard/v1/profiles/delete", {"name": one["name"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="of a running host; without it the web UI in small")
    parser.add_argument("--out", type=Path, help="folder for the pictures (outputs/screenshots/SHAPE)")
    parser.add_argument("--looks", nargs="*", choices=LOOKS, default=list(LOOKS))
    parser.add_argument("--states", nargs="*", choices=[one.__name__ for one in STATES], default=[one.__name__ for one in STATES])
    arguments = parser.parse_args()
    shape = os.environ.get("HOST_SHAPE", "a1111")
    out = arguments.out or ROOT / "outputs" / "screenshots" / shape
    out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with running(arguments.url.rstrip("/")) if arguments.url else small() as (url, settings), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for look in arguments.looks:
            page = browser.new_page(viewport={"width": LOOKS[look][1], "height": 1100})
            # A real host says "reading 'props'" wherever width or height is typed in, without the guard as well: its own function for the size of
            # hires fix returns six values for no output.
            page.on("pageerror", lambda error: print(f"error in the page: {error.stack or error}", flush=True))
            shot = Shooter(page, url, look, out, settings)
            for state in STATES:
                if state.__name__ in arguments.states:
                    state(shot)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
