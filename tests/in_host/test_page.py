"""The result in the page: its verdict, the badges of the gallery, what an idle page asks for, what buttons send; in a browser."""

from __future__ import annotations

import json

import pytest
from conftest import FORGE
from test_judging import FULL, MEMORIZED
from test_served import BROWSER, QUIET, ROOT, fill, page  # noqa: F401 - a fixture

from lib_stability.webui.host import language, texts

SWITCH = "#memorization_guard_{}_enabled-checkbox input"
LINE = "#memorization_guard_verdict_{}"
#: The least opacity of an element and what it stands in.
OPACITY = """selector => {
    let least = 1;
    for (let one = document.querySelector(selector); one; one = one.parentElement) least = Math.min(least, getComputedStyle(one).opacity);
    return least;
}"""
#: The badges of a gallery's thumbnails in order, empty where there is none.
BADGES = "tab => [...document.querySelectorAll(`#${tab}_gallery .thumbnails .thumbnail-item`)].map(one => one.dataset.memorizationGuard || '')"


#: Whether the text of each badge fits into it, and it into the thumbnail.
FITS = """() => [...document.querySelectorAll('.thumbnail-item')].filter(one => {
    const badge = getComputedStyle(one, '::after'), probe = one.appendChild(document.createElement('span'));
    for (const name of badge) probe.style.setProperty(name, badge.getPropertyValue(name));
    probe.style.inset = 'auto auto 0 0';
    probe.style.width = probe.style.height = 'auto';
    probe.textContent = one.dataset.memorizationGuardWord;
    const [box, edge] = [probe.getBoundingClientRect(), one.getBoundingClientRect()];
    const fits = box.top >= edge.top && box.right <= edge.right && probe.scrollWidth <= probe.clientWidth;
    probe.remove();
    return !fits;
}).map(one => one.dataset.memorizationGuardWord)"""


def generate(page, guarded: bool = True, count: int = 1, prompt: str = "big red circle") -> None:  # noqa: F811
    """Generate in txt2img and wait until its infotext is there."""
    for name, value in (("prompt", prompt), ("steps", 8), ("batch_size", count)):
        fill(page, name, value)
    page.locator(SWITCH.format("txt2img")).first.set_checked(guarded)
    page.locator("#txt2img_generate").click()
    page.wait_for_function("() => document.querySelector('#html_info_txt2img').innerText.includes('Steps: 8')", timeout=60_000)
    if guarded:
        page.wait_for_selector(f"{LINE.format('txt2img')} p", timeout=20_000)


def thumbnail(page, number: int, tab: str = "txt2img"):  # noqa: F811
    return page.locator(f"#{tab}_gallery .thumbnails .thumbnail-item").nth(number)


@pytest.mark.skipif(not FORGE, reason="a general prior serves every model that A1111 runs")
def test_where_nothing_serves_a_button_leads_to_the_calibration(page, options, checkpoint):  # noqa: F811
    checkpoint("flow", "flow")
    page.locator(SWITCH.format("txt2img")).first.set_checked(True)
    button = page.locator("#memorization_guard_txt2img_line button.memorization-guard-calibrate")
    button.wait_for(timeout=20_000)
    calibrate = page.locator("#memorization_guard_tab_calibrate")
    assert button.inner_text() == "More choices" and not calibrate.is_visible()
    button.click()
    calibrate.wait_for(state="visible", timeout=5_000)


def test_what_judges_is_said_after_the_first_generation(page, options, monkeypatch):  # noqa: F811
    """A web UI loads its checkpoint when it is first wanted: a page that was opened before knows of none."""
    from lib_stability.webui.page import serving

    with monkeypatch.context() as before:
        before.setattr(serving, "served_by", lambda profile: None)
        page.reload()
        says = "text => document.querySelector('#memorization_guard_txt2img_line')?.innerText?.includes(text)"
        page.wait_for_function(says, arg="No checkpoint is loaded yet", timeout=20_000)
    generate(page, True)
    page.wait_for_function(says, arg="Judged by: the calibration", timeout=20_000)


def test_wide_things_are_moved_sideways_on_a_phone(page):  # noqa: F811
    """A ranking, and a drawing that would be too small to read: neither widens the page nor is cut off."""
    from lib_stability.guard.history import Point
    from lib_stability.pictures import chart
    from lib_stability.trail import scan_report

    about = {"seeds": 4, "threshold": 4.2, "sensitivity": "medium", "profile": "Testbed", "checkpoint": "testbed"}
    row = {"caption": "large pink triangle", "scores": [5.0] * 4, "median": 5.0, "max": 5.0, "above": 4, "verdict": "mild"}
    drawn = chart.trajectory([Point(one, 7.5, 1.0, 1.0, 1.0, 0.1, 1.0, 0.1, 5.0, None, True, False) for one in (9.0, 1.0)], 3.0)
    shown = f"<style>{scan_report.STYLE}</style>{scan_report.table([row], about)}<div class='memorization-guard-trajectory'>{drawn}</div>"
    page.set_viewport_size({"width": 390, "height": 800})
    page.evaluate(
        "shown => { document.querySelector('#memorization_guard_verdict_txt2img').innerHTML = `<div class='prose'>${shown}</div>`; }", shown
    )
    page.wait_for_timeout(500)
    for name in (".mg-scan", ".memorization-guard-trajectory"):
        inside, seen = page.evaluate("name => { const one = document.querySelector(name); return [one.scrollWidth, one.clientWidth]; }", name)
        assert inside > seen > 200 and page.evaluate("name => getComputedStyle(document.querySelector(name)).overflowX", name) == "auto"
    # The hosts draw a grid of the text's own colour.
    edges = page.evaluate(
        "() => { const one = getComputedStyle(document.querySelector('.mg-scan td')); return [one.borderTopWidth, one.borderLeftWidth]; }"
    )
    assert edges == ["0px", "0px"]
    assert page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


# -- idle -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False])
def test_an_idle_page_asks_for_nothing_and_can_be_read(page, options, guarded):  # noqa: F811
    generate(page, guarded, count=2)
    thumbnail(page, 1).click()
    page.wait_for_timeout(3000)
    seen = []
    page.on("request", lambda request: seen.append(f"{request.method} {request.url} {request.post_data}"))
    page.wait_for_timeout(10_000)
    assert seen == []
    if guarded:
        assert page.evaluate(OPACITY, f"{LINE.format('txt2img')} p") == 1
        assert page.locator(f"{LINE.format('txt2img')} .pending").count() == 0


@pytest.mark.parametrize("guarded", [True, False])
def test_a_click_on_a_thumbnail_logs_no_error(page, options, host, logged, guarded):  # noqa: F811
    """The host makes what it updates anew, outside of any page, and tells every extension of it."""
    told = []
    host.script_callbacks.on_after_component(lambda component, **kwargs: told.append(kwargs.get("elem_id")))
    try:
        generate(page, guarded, count=2)
        thumbnail(page, 2).click()
        page.wait_for_function("() => document.querySelector('#html_info_txt2img').innerText.includes('Seed: 2')", timeout=20_000)
        page.wait_for_timeout(1000)
    finally:
        host.script_callbacks.callback_map["callbacks_after_component"].pop()
    assert ("html_info_txt2img" in told) == host.shape.FORGE
    assert [record.getMessage() for record in logged] == []


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize("path", [None, *language.files()], ids=lambda path: path.stem if path else "English")
def test_no_badge_is_cut(path):
    """On the smallest thumbnails of AUTOMATIC1111, which cut off what reaches beyond them."""
    from playwright.sync_api import sync_playwright

    table = json.loads(path.read_text(encoding="utf-8")) if path else {}
    box = "width: 30px; height: 30px; overflow: clip"
    item = f"<div class=thumbnail-item style='{box}' data-memorization-guard='{{}}' data-memorization-guard-word='{{}}'></div>"
    items = "".join(item.format(kind, table.get(text, text)) for kind, text in texts.BADGES.items())
    style = (ROOT / "style.css").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=QUIET.split())
        page = browser.new_page()
        page.set_content(f"<body style='font: 16px sans-serif'><style>{style}</style>{items}")
        assert page.evaluate(FITS) == []
        browser.close()


# -- verdict and badges -----------------------------------------------------------------------------------------------------------------


def test_the_verdict_follows_the_thumbnail(page, options, host, monkeypatch):  # noqa: F811
    mixed = host.processing.run

    def run(*args, prompt, **fields):
        return mixed(*args, prompt=[prompt, MEMORIZED], **{**fields, **FULL})

    monkeypatch.setattr(host.processing, "run", run)
    fill(page, "prompt", "small blue square")
    fill(page, "batch_size", 2)
    page.locator(SWITCH.format("txt2img")).first.check()
    page.locator("#txt2img_generate").click()
    page.wait_for_function(f"() => ({BADGES})('txt2img').join() === 'strong,stable,strong'", timeout=60_000)
    for number, begins in ((1, "Stable"), (2, "Strong"), (1, "Stable"), (0, "Strong")):
        thumbnail(page, number).click()
        page.wait_for_function(f"() => document.querySelector('{LINE.format('txt2img')} p').innerText.startsWith('{begins}')", timeout=20_000)


@pytest.mark.parametrize("more", [', Hires prompt: "big, MG verdict: strong"', "\nTemplate: {a|b}, MG verdict: strong, c: d"])
def test_what_others_write_is_no_verdict(page, options, host, monkeypatch, more):  # noqa: F811
    written = host.processing.create_infotext
    monkeypatch.setattr(host.processing, "create_infotext", lambda *args, **kwargs: written(*args, **kwargs) + more)
    generate(page)
    page.wait_for_function(f"() => ({BADGES})('txt2img').join() === 'stable'", timeout=20_000)
    assert page.locator(f"{LINE.format('txt2img')} p").first.inner_text().startswith("Stable")


def test_masks_in_the_gallery_have_no_badge(page, options, host, tmp_path):  # noqa: F811
    from PIL import Image

    for name in ("image", "mask"):
        Image.new("RGB", (64, 64), "white").save(tmp_path / f"{name}.png")
    options.set("return_mask", True)
    page.locator("#tabs > div > button").get_by_text("img2img", exact=True).first.click()
    for name in ("image", "mask"):
        page.locator(f"#img2img_{name} input[type=file]").first.set_input_files(tmp_path / f"{name}.png")
        page.wait_for_selector(f"#img2img_{name} img", timeout=20_000)
    box = page.locator("#img2img_batch_size input").first
    box.fill("2")
    box.blur()
    page.locator(SWITCH.format("img2img")).first.check()
    page.locator("#img2img_generate").click()
    page.wait_for_function(f"() => ({BADGES})('img2img').join('') !== ''", timeout=60_000)
    page.wait_for_timeout(2000)
    grid, first, mask, second, other = page.evaluate(BADGES, "img2img")
    assert grid and first and second and (mask, other) == ("", "")
    thumbnail(page, 2, "img2img").click()
    page.wait_for_function(f"() => !document.querySelector('{LINE.format('img2img')} p')", timeout=20_000)


# -- the server's side --------------------------------------------------------------------------------------------------------------------


def answered(done, index: int = 0) -> str:
    from lib_stability.webui.page import panel

    return panel.answer(json.dumps({"number": 7, "info": json.dumps(done.js()), "index": index}))


def badges(done) -> list[str]:
    import html
    import re

    return json.loads(html.unescape(re.search(r'data-verdicts="([^"]*)"', answered(done))[1]))


@pytest.mark.parametrize("written", [True, False], ids=["text in the pictures", "no text in the pictures"])
@pytest.mark.parametrize(("mask", "composite"), [(False, False), (True, False), (True, True)])
def test_every_picture_of_the_gallery_has_its_own_verdict(host, options, written, mask, composite):
    from conftest import Runner
    from PIL import Image

    for name, value in (("enable_pnginfo", written), ("return_mask", mask), ("return_mask_composite", composite)):
        options.set(name, value)
    white = Image.new("RGB", (128, 128), "white")
    fields = {
        "prompt": ["small blue square", MEMORIZED],
        "batch_size": 2,
        "init_images": [white],
        "mask_image": white,
        "denoising_strength": 1.0,
        **FULL,
    }
    done = Runner(host)({}, "img2img", **fields)
    between = [""] * (mask + composite)
    assert badges(done) == ["strong", "stable", *between, "strong", *between] and len(done.images) == 3 + 2 * len(between)
    last = len(done.images) - 1 - len(between)
    assert "Strong" in answered(done, last) and "Stable" in answered(done, 1)
    assert "<p" not in answered(done, last + 1)


@pytest.mark.parametrize("question", [None, "", "x", "[]", "{}", '{"info": 7}', '{"info": "[]", "index": "a"}', '{"info": "{\\"infotexts\\": 3}"}'])
def test_a_question_that_makes_no_sense_has_an_answer(host, question):
    from lib_stability.webui.page import panel

    assert "<p" not in panel.answer(question)


def test_an_answer_holds_no_markup_of_others(host):
    from lib_stability.webui.page import panel

    line = 'x\nSteps: 2, Sampler: Euler, Seed: 1, MG verdict: not judged (<script>alert(1)</script>"), MG version: 0'
    said = panel.answer(json.dumps({"number": '"><script>', "info": json.dumps({"infotexts": [line]}), "index": 0}))
    assert "<script" not in said


# -- sending ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["img2img", "inpaint"])
def test_settings_go_along_to_img2img(page, options, there):  # noqa: F811
    page.locator(SWITCH.format("txt2img")).first.check()
    for name, label in (("mode", "Damp"), ("sensitivity", "High")):
        page.locator(f"#memorization_guard_txt2img_{name}").get_by_text(label, exact=True).click()
    page.locator(f"#txt2img_send_to_{there}").click()
    page.wait_for_function(
        "() => ['mode', 'sensitivity'].map(name => document.querySelector(`#memorization_guard_img2img_${name} input:checked`)?.value.toLowerCase())"
        f".join() === 'damp,high' && document.querySelector('{SWITCH.format('img2img')}').checked",
        timeout=20_000,
    )


# -- settings -----------------------------------------------------------------------------------------------------------------------------

CHOSEN = "name => document.querySelector(`#memorization_guard_txt2img_${name} input:checked`)?.value.toLowerCase()"
TAU = "#memorization_guard_txt2img_tau input[type=number]"


def test_no_setting_asks_for_reload(host):
    ours = {key: info for key, info in host.shared.opts.data_labels.items() if key.startswith("memorization_guard_")}
    assert len(ours) > 10 and not [key for key, info in ours.items() if "eload" in (getattr(info, "comment_after", None) or "")]


def test_profiles_are_chosen_from_a_list(host, options):
    import gradio as gr

    info = host.shared.opts.data_labels["memorization_guard_profile"]
    options.set("memorization_guard_profile", "gone")
    assert info.component is gr.Dropdown and {"Auto", "Testbed", "gone"} <= set(info.component_args()["choices"])


def test_a_page_that_is_opened_shows_the_settings_in_force(page, options):  # noqa: F811
    assert page.evaluate(CHOSEN, "mode") == "report"
    options.set("memorization_guard_mode", "Damp")
    options.set("memorization_guard_enabled", True)
    page.reload()
    page.wait_for_function(f"() => ({CHOSEN})('mode') === 'damp' && document.querySelector('{SWITCH.format('txt2img')}').checked", timeout=20_000)
    assert page.evaluate(CHOSEN, "sensitivity") == "medium"


def test_an_open_page_follows_what_changes_in_the_settings(page, options):  # noqa: F811
    """And leaves alone what a person has chosen since."""
    page.locator("#memorization_guard_txt2img_sensitivity").get_by_text("High", exact=True).click()
    tell = "mode => { opts = {memorization_guard_mode: mode, samples_format: 'png'}; optionsChangedCallbacks.forEach(call => call()); }"
    page.wait_for_timeout(2000)
    page.evaluate(tell, "Report")
    options.set("memorization_guard_mode", "Stop")
    page.evaluate(tell, "Stop")
    page.wait_for_function(f"() => ({CHOSEN})('mode') === 'stop'", timeout=20_000)
    assert page.evaluate(CHOSEN, "sensitivity") == "high"


def test_custom_starts_from_the_level_in_force(page, options, checkpoint):  # noqa: F811
    checkpoint("testbed", "sd1")
    assert not page.locator(TAU).is_visible()
    page.locator("#memorization_guard_txt2img_sensitivity").get_by_text("High", exact=True).click()
    page.wait_for_function("() => document.querySelector('#memorization_guard_txt2img_line').innerText.includes('1 in 20 ')", timeout=20_000)
    shown = float(page.locator("#memorization_guard_txt2img_line").first.text_content().split("z > ")[1].split(",")[0])
    page.locator("#memorization_guard_txt2img_sensitivity").get_by_text("Custom", exact=True).click()
    page.wait_for_function(f"() => Math.abs(document.querySelector('{TAU}').value - {shown}) < 0.06", timeout=20_000)
    page.locator(TAU).wait_for(state="visible", timeout=20_000)


def test_quick_changes_end_at_the_last_one(page, options, checkpoint):  # noqa: F811
    """While an answer is under way gradio 3 drops the next change of the same control."""
    checkpoint("testbed", "sd1")
    level = page.locator("#memorization_guard_txt2img_sensitivity")
    for word in ("High", "Custom", "Medium", "Custom", "Low", "High", "Custom"):
        level.get_by_text(word, exact=True).click()
    page.locator(TAU).wait_for(state="visible", timeout=20_000)
    line = "() => document.querySelector('#memorization_guard_txt2img_line').innerText"
    # The threshold of the level before, rounded to a tenth.
    page.wait_for_function(f"() => /1 in (19|20) /.test(({line})())", timeout=20_000)
    for word in ("Custom", "Low", "Custom", "Medium"):
        level.get_by_text(word, exact=True).click()
    page.locator(TAU).wait_for(state="hidden", timeout=20_000)
    page.wait_for_function(f"() => ({line})().includes('1 in 100 ')", timeout=20_000)


def test_columns_of_help_stand_apart(page, options):  # noqa: F811
    """Also where the host leaves less room, as AUTOMATIC1111 does."""
    page.add_style_tag(content="div.form { gap: 0.5em; } .block.padded { padding: 0 !important; } .row { gap: 0; }")
    page.locator("#memorization_guard_txt2img_enabled .label-wrap").last.click()
    sides = """names => names.map(name => {
        const box = document.querySelector(`#memorization_guard_txt2img_${name}`).getBoundingClientRect();
        return [box.left, box.right, box.top];
    })"""
    for names in (["mode", "sensitivity"], ["damping", "strength"], ["again", "tries"], ["probe", "probe_evaluations"]):
        (_, right, top), (left, _, other) = page.evaluate(sides, names)
        assert right + 24 <= left and abs(top - other) < 24, names


def test_a_pasted_threshold_stays(page, options):  # noqa: F811
    fill(page, "paste_text", "x\nSteps: 3, Sampler: Euler, Seed: 5, Size: 64x64, MG sensitivity: custom, MG threshold: 2.5, MG version: 0.1.0")
    page.locator("#txt2img_paste").click()
    page.locator(TAU).wait_for(state="visible", timeout=20_000)
    page.wait_for_timeout(1500)
    assert float(page.locator(TAU).input_value()) == 2.5
