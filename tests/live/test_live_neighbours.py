"""Beside other extensions, on a running web UI that has the exported testbed loaded; each test is skipped where its extension is not installed.

For ADetailer see ``tests/live/detector``.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

import pytest
import torch
from client import Reply, WebUI
from PIL import Image
from test_live_testbed import EXPORTED, ROUTES, SIZE

from lib_stability.guard.verdict import REGIONS
from lib_stability.testbed.world import judge
from lib_stability.testbed.world.kinds import memorized
from lib_stability.trail.infotext import parse_text, read_passes

pytestmark = pytest.mark.live
COPY, ORDINARY, OTHER = memorized()[0], "small blue square", "red circle"
NEGATIVE = "green circle"
FIELDS = {"steps": 20, "cfg_scale": 7.5, **SIZE}


class Neighbour(NamedTuple):
    """One way of using an extension: its script, what of its arguments is set (by their numbers), the prompt, whether it changes guidance (None: more
    or less, as the evaluation wants), the picture's side, and whether it tells the network prompts of its own for regions."""

    script: str
    chosen: dict[int, object]
    prompt: str = "{}"
    changes: bool | None = False
    side: int = 128
    regions: bool = False


NEIGHBOURS = {
    "Neutral Prompt, unused": Neighbour("neutral prompt", {}),
    "Neutral Prompt, CFG rescale": Neighbour("neutral prompt", {0: 0.5}, changes=True),
    "Dynamic Thresholding": Neighbour("dynamic thresholding (cfg scale fix)", {0: True, 1: 4.0}, changes=True),
    "incantations, SEG": Neighbour("incantations", {0: True}),
    "incantations, S-CFG": Neighbour("incantations", {4: True}, changes=True),
    "incantations, PAG": Neighbour("incantations", {12: True, 13: 3.0}, changes=True),
    "incantations, CFG scheduler": Neighbour("incantations", {12: True, 16: True, 17: "Linear"}, changes=True),
    "Regional Prompter, attention": Neighbour("regional prompter", {0: True, 11: "Attention"}, "{} BREAK red circle"),
    "Regional Prompter, attention, second": Neighbour("regional prompter", {0: True, 11: "Attention"}, "red circle BREAK {}"),
    "Regional Prompter, latent": Neighbour("regional prompter", {0: True, 11: "Latent"}, "{} BREAK red circle", changes=None),
    "Tiled Diffusion": Neighbour("tiled diffusion", {0: True, 6: 16, 7: 16, 8: 8}, side=256),
    "Forge's PAG": Neighbour("perturbedattentionguidance integrated", {0: True}, changes=True),
    "Forge's SAG": Neighbour("selfattentionguidance integrated (sd 1.x, sd 2.x, sdxl)", {0: True}, changes=None),
    "Forge's Dynamic Thresholding": Neighbour("dynamicthresholding (cfg-fix) integrated", {0: True, 1: 4.0}, changes=True),
    "Forge's MultiDiffusion": Neighbour("multidiffusion integrated", {0: True, 2: 128, 3: 128, 4: 64}, side=256),
    "Forge Couple": Neighbour("forge couple", {0: True}, "{}\nred circle", regions=True),
    "AND": Neighbour("", {}, "{} AND red circle"),
    "AND, second": Neighbour("", {}, "red circle AND {}"),
    "BREAK": Neighbour("", {}, "{} BREAK red circle"),
}


@pytest.fixture(scope="module")
def webui(request: pytest.FixtureRequest) -> WebUI:
    url = request.config.getoption("--webui-url")
    if not url:
        pytest.skip("needs --webui-url, the address of a running web UI")
    webui = WebUI(url, 128, request.config.getoption("--webui-auth"))
    status, options = webui.call("/sdapi/v1/options")
    said = f"{options.get('sd_checkpoint_hash')} {options.get('sd_model_checkpoint')}" if status == 200 else ""
    webui.profile = next((name for sha256, name in EXPORTED.items() if sha256[:10] in said), None)
    if webui.profile is None:
        pytest.skip("the exported testbed is not the loaded checkpoint")
    webui.scripts = {(one["name"], one["is_img2img"]): [arg["value"] for arg in one["args"]] for one in webui.get("/sdapi/v1/script-info")}
    return webui


def arguments(webui: WebUI, script: str, chosen: dict[int, object], img2img: bool = False) -> list:
    """An extension's arguments as its page has them, with some chosen."""
    if (script, img2img) not in webui.scripts:
        pytest.skip(f"{script} is not installed")
    values = list(webui.scripts[script, img2img])
    for number, value in chosen.items():
        values[number] = value
    return values


def generate(webui: WebUI, guard: dict | None, others: dict[str, list], picture: bytes | None = None, **fields) -> Reply:
    body = webui.body(None, **{**FIELDS, **fields})
    body["alwayson_scripts"] = {name: {"args": values} for name, values in others.items()}
    if guard is not None:
        body["alwayson_scripts"]["Memorization Guard"] = {"args": [{"profile": webui.profile, **guard}]}
    if picture is not None:
        body["init_images"] = [base64.b64encode(picture).decode()]
    path = "/sdapi/v1/txt2img" if picture is None else "/sdapi/v1/img2img"
    status, data = webui.call(path, body)
    if status == 500:
        # Neutral Prompt knows a prompt that the web UI has kept encoded for the one before it, which Regional Prompter has taken apart: that fails
        # with the guard and without, until another prompt comes in between.
        webui.txt2img(None, prompt=OTHER)
        status, data = webui.call(path, body)
    assert status == 200, (status, data)
    return Reply(data)


def beside(webui: WebUI, neighbour: Neighbour, guard: dict | None, prompt: str, **fields) -> Reply:
    others = {neighbour.script: arguments(webui, neighbour.script, neighbour.chosen)} if neighbour.script else {}
    size = {"width": neighbour.side, "height": neighbour.side}
    return generate(webui, guard, others, prompt=neighbour.prompt.format(prompt), **{**size, **fields})


def likeness(picture: Image.Image) -> float:
    """To what :data:`COPY` memorized."""
    pixels = torch.frombuffer(bytearray(picture.convert("RGB").resize((128, 128)).tobytes()), dtype=torch.uint8)
    return float(judge.likeness(pixels.view(1, 128, 128, 3).permute(0, 3, 1, 2).float() / 127.5 - 1, [COPY])[0])


def inner(reply: Reply):
    return read_passes(reply.params(reply.info["index_of_first_image"]))[3]


@pytest.mark.parametrize("negative", ["", NEGATIVE])
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_copies_are_flagged_and_ordinary_pictures_are_not(webui, name, negative):
    neighbour = NEIGHBOURS[name]
    copied = beside(webui, neighbour, {}, COPY.caption, negative_prompt=negative).verdict()[1]
    if neighbour.regions:  # half of the picture: it may be caught or not, but that nobody looked at it alone is said
        assert copied.unwatched.endswith(REGIONS)
    else:
        assert copied.flagged and copied.reason == ""
    ordinary = beside(webui, neighbour, {}, ORDINARY, negative_prompt=negative).verdict()[1]
    assert (ordinary.verdict, ordinary.reason) == ("stable", "")
    assert ordinary.unwatched.endswith(REGIONS) is neighbour.regions
    seen = re.sub(rf"(^(\d+)/\2 - | and ){REGIONS}$", "", ordinary.unwatched)
    assert neighbour.changes is None or bool(seen) is (neighbour.changes or bool(negative))


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_reporting_changes_no_pixel(webui, name):
    for prompt in (COPY.caption, ORDINARY):
        one, other = (beside(webui, NEIGHBOURS[name], guard, prompt, negative_prompt=NEGATIVE) for guard in ({"probe": "always"}, None))
        assert one.pixels() == other.pixels()


@pytest.mark.parametrize("damping", ["reword", "directional"])
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_damping_works_beside_it(webui, name, damping):
    neighbour = NEIGHBOURS[name]
    plain, damped = (beside(webui, neighbour, {"mode": mode, "damping": damping}, COPY.caption) for mode in ("report", "damp"))
    verdict = damped.verdict()[1]
    assert verdict.flagged and verdict.damped > 0 and plain.pixels() != damped.pixels()
    assert verdict.reason in ("", "damped without what another extension adds")
    assert likeness(damped.images[0]) < max(0.5, likeness(plain.images[0]) - 0.2)


# -- tools that sample inside a job -------------------------------------------------------------------------------------------------------


def detailed(webui: WebUI, guard: dict | None, prompt: str, inner_prompt: str = "", strength: float = 0.4, **fields) -> Reply:
    values = arguments(webui, "adetailer", {0: True})
    values[2] = {**values[2], "ad_model": "mediapipe_face_full", "ad_prompt": inner_prompt, "ad_denoising_strength": strength}
    reply = generate(webui, guard, {"ADetailer": values}, prompt=prompt, **fields)
    plain = generate(webui, None, {}, prompt=prompt, **fields)
    if guard is not None and "mode" not in guard and reply.pixels() == plain.pixels():
        pytest.skip("ADetailer's detector finds nothing: copy tests/live/detector into the web UI's extensions")
    return reply


@pytest.mark.parametrize("negative", ["", NEGATIVE])
def test_adetailer_has_a_verdict_of_its_own(webui, negative):
    copied = detailed(webui, {}, ORDINARY, COPY.caption, 0.9, negative_prompt=negative)
    assert copied.verdict()[1].verdict == "stable" and inner(copied).flagged and likeness(copied.images[0]) > 0.5
    last = webui.get(f"{ROUTES}/last")["images"][0]
    assert last["first"]["verdict"] == "stable" and last["inner"]["verdict"] == inner(copied).verdict
    ordinary = detailed(webui, {}, ORDINARY, OTHER, 0.9, negative_prompt=negative)
    assert ordinary.verdict()[1].verdict == inner(ordinary).verdict == "stable"
    off = detailed(webui, None, ORDINARY, COPY.caption, 0.9, negative_prompt=negative)
    assert off.guard_keys() == [] and off.pixels() == copied.pixels()


@pytest.mark.parametrize("damping", ["reword", "directional"])
@pytest.mark.parametrize("strength", [0.4, 0.5, 0.9])
def test_adetailer_brings_no_damped_copy_back(webui, damping, strength):
    assert inner(detailed(webui, {}, COPY.caption, "", strength)) is not None
    damped = detailed(webui, {"mode": "damp", "damping": damping}, COPY.caption, "", strength)
    assert damped.verdict()[1].damped > 0 and likeness(damped.images[0]) < 0.5


# -- one picture of several jobs, grids ---------------------------------------------------------------------------------------------------


def upscaled(webui: WebUI, script: str, chosen: dict[int, object], prompt: str, guard: dict | None) -> Reply:
    picture = generate(webui, None, {}, prompt=ORDINARY).files[0]
    values = arguments(webui, script, chosen, img2img=True)
    return generate(webui, guard, {}, picture, prompt=prompt, script_name=script, script_args=values, denoising_strength=0.9)


@pytest.mark.parametrize(
    "script, chosen",
    [("sd upscale", {1: 0, 2: "Lanczos", 3: 2.0}), ("ultimate sd upscale", {1: 128, 2: 128, 8: 0, 14: "Scale from image size", 17: 2})],
)
def test_an_upscaled_picture_has_the_verdict_of_all_its_tiles(webui, script, chosen):
    if script == "ultimate sd upscale":  # by position in a list where the page has words
        chosen = {**chosen, 8: 0, 10: 0, 13: 0, 14: 2}
    copied, ordinary = (upscaled(webui, script, chosen, prompt, {}) for prompt in (COPY.caption, ORDINARY))
    assert copied.images[0].size == (256, 256) and copied.verdict()[1].flagged
    assert ordinary.verdict()[1].verdict == "stable"
    assert webui.get(f"{ROUTES}/last")["jobs"] >= 4
    assert upscaled(webui, script, chosen, COPY.caption, None).pixels() == copied.pixels()


def test_a_grid_says_that_it_is_one(webui):
    reply = generate(webui, {}, {}, prompt=ORDINARY, batch_size=2)
    grids = [parse_text(text)[2].get("MG grid") for text in reply.infotexts]
    first = reply.info["index_of_first_image"]
    assert grids == ["2 images"] * first + [None] * (len(grids) - first)
