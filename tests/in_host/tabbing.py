"""Finds its way in the extension's tab, in a browser."""

from __future__ import annotations

PREFIX = "#memorization_guard_tab_"
SECTIONS = ("profiles", "calibrate", "scan", "audit", "glossary")


def open_section(page, name: str) -> None:
    """Go to the tab, and to one of its sections; what a visit asks for is answered afterwards."""
    sections = page.locator(f"{PREFIX}sections")
    if not sections.is_visible():
        names = page.locator("#tabs > .tab-nav button, #tabs > .tab-wrapper button")
        names.get_by_text("Memorization Guard", exact=True).or_(page.locator("button", has_text="Memorization Guard")).first.click()
        sections.wait_for(state="visible", timeout=20_000)
        page.wait_for_timeout(2500)
    page.locator(f"{PREFIX}sections > .tab-nav button, {PREFIX}sections > .tab-wrapper button").nth(SECTIONS.index(name)).click()


def unfold(page, name: str, number: int = 0) -> None:
    """Open the accordion of the visible section whose label this is."""
    page.get_by_text(name, exact=True).locator("visible=true").nth(number).click()
    page.wait_for_timeout(300)


def says(page, name: str, text: str) -> None:
    page.wait_for_function("([id, text]) => document.querySelector(id)?.innerText.includes(text)", arg=[PREFIX + name, text], timeout=60_000)
