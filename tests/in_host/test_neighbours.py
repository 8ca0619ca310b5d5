"""Beside other extensions: what each of them does to a job is imitated by a stand-in, the guard has to see through it or say that it cannot.

The extensions themselves are tried on real hosts, see ``tests/live/test_live_neighbours.py``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import FORGE
from test_bookkeeping import Extension
from test_judging import FULL, MEMORIZED, pixels, said, verdict

from lib_stability.guard.verdict import REGIONS
from lib_stability.trail.infotext import parse_text, read_passes
from lib_stability.webui.page import panel

ORDINARY = "small blue square"
CHANGED = "guidance changed by another extension"


# -- extensions that take guidance into their hands -----------------------------------------------------------------------------------


def rescaled(guided, conditional):
    """CFG rescale: towards the spread of the conditional prediction."""
    return guided * (0.3 + 0.7 * conditional.std() / guided.std())


def clamped(guided, conditional):
    """Dynamic thresholding: no larger than a smaller scale would make it."""
    return guided * (conditional.abs().amax() / guided.abs().amax()).clamp_max(1.0)


def perturbed(guided, conditional):
    """PAG, S-CFG: something is added to what guidance makes."""
    return guided + 0.5 * (conditional - conditional.roll(1, -1))


def optimized(guided, conditional):
    """CFG-Zero: another scale of what is guided from."""
    return 0.8 * guided


def untouched(guided, conditional):
    """Neutral Prompt merely installed, or any of the others at a strength of nothing."""
    return guided


CHANGES = [rescaled, clamped, perturbed, optimized]


@pytest.fixture
def wrapping(host, monkeypatch):
    """``wrapping(change)``: another extension in the chain of guidance, as it hangs itself into this host."""

    def install(change) -> None:
        if FORGE:
            unet = host.shared.sd_model.forge_objects.unet
            monkeypatch.setitem(unet.model_options, "sampler_post_cfg_function", [lambda args: change(args["denoised"], args["cond_denoised"])])
            return
        from modules import sd_samplers

        def combine(x_out, conds_list, uncond, cond_scale, original_function):
            return change(original_function(x_out, conds_list, uncond, cond_scale), x_out[: len(uncond)])

        def create_sampler(name, real=sd_samplers.create_sampler):
            made = real(name)
            made.model_wrap_cfg.combine_denoised = functools.partial(combine, original_function=made.model_wrap_cfg.combine_denoised)
            return made

        monkeypatch.setattr(sd_samplers, "create_sampler", create_sampler)

    return install


@pytest.mark.parametrize("policy", ["auto", "never"])
@pytest.mark.parametrize("prompt, flagged", [(MEMORIZED, True), (ORDINARY, False)])
def test_a_wrapper_that_changes_nothing_leaves_the_watch_on(generate, wrapping, policy, prompt, flagged):
    off = generate(None, prompt=prompt, **FULL)
    alone = verdict(generate({"probe": "never"}, prompt=prompt, **FULL))
    wrapping(untouched)
    done = generate({"probe": policy}, prompt=prompt, **FULL)
    one = verdict(done)
    assert one.flagged is alone.flagged is flagged and one.unwatched == one.reason == "" and pixels(done) == pixels(off)
    if policy == "never":
        assert (one.verdict, one.score, one.flagged_at) == (alone.verdict, alone.score, alone.flagged_at)


@pytest.mark.parametrize("sampler", ["Heun", "DDIM", "UniPC"])
@pytest.mark.parametrize("fields", [{}, {"cfg_scale": 3.0}, {"s_min_uncond": 5.0}, {"batch_size": 2, "prompt": [ORDINARY, "big red circle"]}])
def test_so_it_is_for_every_sampler_and_setting(generate, wrapping, sampler, fields):
    wrapping(untouched)
    fields = {"prompt": ORDINARY, **FULL, "sampler_name": sampler, **fields}
    assert verdict(generate({"probe": "never"}, **fields)).reason == ""


def test_and_with_a_mask_or_parts(generate, wrapping):
    from PIL import Image, ImageDraw

    wrapping(untouched)
    assert CHANGED not in verdict(generate({"probe": "never"}, prompt=f"{ORDINARY} AND big red circle :0.3", **{**FULL, "cfg_scale": 3.0})).reason
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((0, 0, 128, 90), fill=255)
    fields = {**FULL, "prompt": ORDINARY, "init_images": [Image.new("RGB", (128, 128), "grey")], "mask_image": mask, "denoising_strength": 0.9}
    assert verdict(generate({"probe": "never"}, "img2img", **fields)).reason == ""


def off(unwatched: str) -> bool:
    """Whether a verdict says that the watch was off, or nearly so: where little guidance is left little of it can be changed."""
    return bool(re.fullmatch(rf"(?:off|[1-4]/{FULL['steps']}) - {CHANGED}", unwatched))


@pytest.mark.parametrize("change", CHANGES)
def test_changed_guidance_is_left_to_the_probe_and_that_is_said(generate, wrapping, change):
    wrapping(change)
    one = verdict(generate({"probe": "never"}, prompt=ORDINARY, **FULL))
    assert (one.verdict, one.reason.startswith(f"no probe and {CHANGED}")) == ("not judged", True)
    done = generate({}, prompt=ORDINARY, **FULL)
    one = verdict(done)
    assert one.verdict == "stable" and off(one.unwatched)
    assert generate.last()["images"][0]["first"]["unwatched"] == one.unwatched
    one = verdict(generate({}, prompt=MEMORIZED, **FULL))
    assert one.flagged and off(one.unwatched)


def test_guidance_that_is_changed_for_a_while(generate, wrapping):
    count = 0

    def for_a_while(guided, conditional):
        nonlocal count
        count += 1
        return 0.7 * guided if 4 <= count <= 6 else guided

    wrapping(for_a_while)
    one = verdict(generate({}, prompt=ORDINARY, **FULL))
    assert (one.verdict, one.unwatched) == ("stable", f"9/12 - {CHANGED}")
    count = 0
    one = verdict(generate({"probe": "never"}, prompt=ORDINARY, **FULL))
    assert (one.verdict, one.reason) == ("not judged", f"no probe and {CHANGED} - 9/12 judged")


def test_only_the_image_whose_guidance_is_changed(generate, wrapping):
    wrapping(lambda guided, conditional: guided * torch.tensor([1.0, 0.7]).view(2, 1, 1, 1))
    done = generate({}, prompt=[ORDINARY, ORDINARY], batch_size=2, **FULL)
    assert [verdict(done, number).unwatched for number in (0, 1)] == ["", f"off - {CHANGED}"]


def test_an_extension_behind_guidance(generate):
    """CFG rescale by way of the callback that ours is, too."""

    def halve(params):
        params.x = params.x * 0.5

    with Extension(first=True, cfg_after_cfg=lambda params: None):
        assert verdict(generate({"probe": "never"}, prompt=ORDINARY, **FULL)).verdict == "stable"
    with Extension(first=True, cfg_after_cfg=halve):
        assert verdict(generate({}, prompt=ORDINARY, **FULL)).unwatched == f"off - {CHANGED}"


def test_the_watch_waits_for_no_device(generate, wrapping, monkeypatch):
    """Whether guidance was changed is read at the end."""
    from lib_stability.webui.job import passes

    wrapping(untouched)
    seen = []

    def plain(self, call, denoised, real=passes.Pass._plain):
        for name in ("item", "cpu", "tolist", "__bool__", "__float__"):
            monkeypatch.setattr(torch.Tensor, name, lambda *args, **kwargs: pytest.fail("waits for the device"))
        try:
            seen.append(real(self, call, denoised))
        finally:
            monkeypatch.undo()
        return seen[-1]

    with monkeypatch.context() as patched:
        patched.setattr(passes.Pass, "_plain", plain)
        generate({}, prompt=ORDINARY, **FULL)
    assert seen


def test_where_the_watch_is_off_the_page_says_so(generate, wrapping):
    from lib_stability.webui.page import panel

    wrapping(optimized)
    text = generate({}, prompt=ORDINARY, **FULL).infotexts[0]
    assert f"MG watch: off - {CHANGED}" in text
    shown = panel.lines(text)
    assert "a few looks alone" in shown and "another extension changes guidance" in shown


# -- tools that sample inside a job ------------------------------------------------------------------------------------------------------


class Detailer:
    """What ADetailer does behind its detector: every finished picture is sampled again in part, by a `p` of its own whose scripts are a few chosen
    ones, and the scripts of the job are told of copies of its `p`."""

    def __init__(self, host, prompt: str, strength: float = 0.9, ours: bool = False, passes: int = 1):
        from modules import processing, scripts

        self.processing, self.strength, self.prompt, self.ours, self.passes = processing, strength, prompt, ours, passes
        self.only = None

        class Script(scripts.Script):
            def title(self):
                return "detailer"

        self.script = Script()
        self.script.args_from = self.script.args_to = 0
        self.script.postprocess_image = self.postprocess_image
        self.runners = [host.scripts.scripts_txt2img, host.scripts.scripts_img2img]

    def __enter__(self):
        for runner in self.runners:
            runner.alwayson_scripts.insert(0, self.script)
        return self

    def __exit__(self, *_):
        for runner in self.runners:
            runner.alwayson_scripts.remove(self.script)

    def postprocess_image(self, p, pp, *args):
        if getattr(p, "_inner", False) or (self.only is not None and p.batch_index != self.only):
            return
        runner = copy.copy(p.scripts)
        runner.alwayson_scripts = [one for one in runner.alwayson_scripts if self.ours and one.title() == "Memorization Guard"]
        if p.batch_index == 0:
            p.scripts.postprocess(copy.copy(p), SimpleNamespace(images=[], infotexts=[], index_of_first_image=0))
        for _ in range(self.passes):
            fields = {"init_images": [pp.image], "denoising_strength": self.strength, "prompt": self.prompt, "negative_prompt": p.negative_prompt}
            fields |= {name: getattr(p, name) for name in ("steps", "cfg_scale", "width", "height")}
            inner = self.processing.StableDiffusionProcessingImg2Img(**fields, seed=int(p.seeds[p.batch_index]), scripts=runner)
            inner.script_args, inner._inner = copy.copy(p.script_args), True
            pp.image = self.processing.process_images(inner).images[0]
            inner.close()
        if p.batch_index == p.batch_size - 1:
            p.scripts.process(copy.copy(p))


def inner_of(text: str):
    return read_passes(parse_text(text)[2])[3]


@pytest.mark.parametrize("ours", [False, True])
@pytest.mark.parametrize("negative", ["", "green star"])
def test_what_is_sampled_inside_a_job_has_a_verdict_of_its_own(generate, host, ours, negative):
    if FORGE and negative and not ours:
        pytest.skip("see the next but one")
    with Detailer(host, MEMORIZED, ours=ours):
        done = generate({}, prompt=ORDINARY, negative_prompt=negative, **FULL)
    assert verdict(done).verdict == "stable" and inner_of(done.infotexts[0]).flagged
    (image,) = generate.last()["images"]
    assert image["inner"]["verdict"] == inner_of(done.infotexts[0]).verdict and image["first"]["evaluations"] == FULL["steps"]
    with Detailer(host, "big red circle", ours=ours):
        done = generate({}, prompt=ORDINARY, negative_prompt=negative, **FULL)
    assert verdict(done).verdict == inner_of(done.infotexts[0]).verdict == "stable"
    assert inner_of(generate({}, prompt=ORDINARY, **FULL).infotexts[0]) is None


def test_it_belongs_to_the_image_that_it_finishes(generate, host):
    with Detailer(host, MEMORIZED) as detailer:
        detailer.only = 1
        done = generate({}, prompt=[ORDINARY] * 4, batch_size=2, n_iter=2, **FULL)
    own = done.infotexts[done.index_of_first_image :]
    assert [inner is not None and inner.flagged for inner in map(inner_of, own)] == [False, True, False, True]
    assert all(said(text)[1].verdict == "stable" for text in own) and said(done.infotexts[0])[1].flagged
    assert [("inner" in image) for image in generate.last()["images"]] == [False, True, False, True]


def test_behind_the_hires_pass(generate, host):
    """The host has let go of the job's sampler there."""
    hires = {"enable_hr": True, "hr_scale": 1.0, "hr_second_pass_steps": 6, **({"hr_cfg": 7.5} if FORGE else {})}
    with Detailer(host, MEMORIZED):
        done = generate({}, prompt=ORDINARY, **hires, **FULL)
    assert said(done.infotexts[0])[2] is not None and inner_of(done.infotexts[0]).flagged


def test_copies_of_a_job_that_others_keep_take_nothing_over(generate, host, monkeypatch):
    """ADetailer tells every script of copies of `p` that are never sampled with; other extensions keep the last `p` that they were told of."""
    from modules import scripts

    kept = []

    class Keeping(scripts.Script):
        def title(self):
            return "keeping"

        def process(self, p, *args):
            kept.append(p)

    script = Keeping()
    script.args_from = script.args_to = 0
    runner = host.scripts.scripts_txt2img
    monkeypatch.setattr(runner, "alwayson_scripts", [*runner.alwayson_scripts, script])
    with Detailer(host, MEMORIZED):
        for _ in range(2):
            done = generate({}, prompt=ORDINARY, n_iter=2, **FULL)
            own = done.infotexts[done.index_of_first_image :]
            assert [inner_of(text).flagged for text in own] == [True, True]
            images = generate.last()["images"]
            assert [(one["first"]["verdict"], one["inner"]["verdict"]) for one in images] == [("stable", "strong")] * 2
    assert len(kept) > 4


def test_a_job_that_failed_takes_nothing_over(generate, host, monkeypatch):
    kept = []

    def decode(*args):
        raise RuntimeError("broken on purpose")

    from modules import processing

    with monkeypatch.context() as patched:
        patched.setattr(processing, "to_pictures", decode)
        with Detailer(host, MEMORIZED) as detailer:
            detailer.script.process = lambda p, *args: kept.append(p)
            with pytest.raises(RuntimeError):
                generate({}, prompt=ORDINARY, **FULL)
    generate({}, prompt=MEMORIZED, **FULL)
    assert kept and generate.last()["images"][0]["first"]["verdict"] == "strong"


@pytest.mark.skipif(not FORGE, reason="A1111 conditions prompts whenever it likes")
def test_on_the_forks_the_text_encoder_stays_out_of_reach_while_sampling(generate, host, monkeypatch):
    from modules import prompt_parser

    from lib_stability.webui.job import hooks

    begun = []
    monkeypatch.setattr(hooks, "_begun", begun)
    real = prompt_parser.get_learned_conditioning

    def conditioning(*args, **kwargs):
        assert not begun
        return real(*args, **kwargs)

    monkeypatch.setattr(prompt_parser, "get_learned_conditioning", conditioning)
    with Detailer(host, MEMORIZED):  # the empty prompt's conditioning is the job's outside
        done = generate({"mode": "damp"}, prompt=ORDINARY, negative_prompt="green star", **FULL)
    inner = inner_of(done.infotexts[0])
    assert inner.flagged and inner.detector == "probe" and inner.damped > 0


@pytest.mark.parametrize("mode", ["damp", "stop"])
def test_settings_are_inherited(generate, host, mode):
    with Detailer(host, MEMORIZED, strength=0.95):
        plain = generate({}, prompt=ORDINARY, **FULL)
        done = generate({"mode": mode, "damping": "directional"}, prompt=ORDINARY, **FULL)
        off = generate(None, prompt=ORDINARY, **FULL)
    inner = inner_of(done.infotexts[0])
    assert inner.flagged and (inner.damped > 0 if mode == "damp" else inner.stopped_at)
    assert pixels(plain) == pixels(off) != pixels(done)
    assert not host.shared.state.skipped and verdict(done).verdict == "stable"


def test_off_stays_off_inside(generate, host):
    with Detailer(host, MEMORIZED):
        done = generate({"enabled": False}, prompt=ORDINARY, **FULL)
        assert [key for key in parse_text(done.infotexts[0])[2] if key.startswith("MG ")] == []


def test_of_several_passes_the_gravest_counts(generate, host):
    prompts = iter([ORDINARY, MEMORIZED, ORDINARY])

    with Detailer(host, ORDINARY, passes=3) as detailer:
        real = detailer.processing.process_images

        def process_images(p):
            p.prompt = next(prompts)
            return real(p)

        detailer.processing = SimpleNamespace(
            process_images=process_images, StableDiffusionProcessingImg2Img=detailer.processing.StableDiffusionProcessingImg2Img
        )
        done = generate({}, prompt=ORDINARY, **FULL)
    assert inner_of(done.infotexts[0]).flagged


@pytest.mark.parametrize("where", ["evaluated", "job"])
def test_where_it_cannot_be_judged_that_is_said(generate, host, monkeypatch, logged, where):
    from lib_stability.webui.job import job

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    if where == "job":
        real = job.Job.__init__
        monkeypatch.setattr(job.Job, "__init__", lambda self, *args, **more: broken() if "adopted_by" in more else real(self, *args, **more))
    else:
        real = job.Job._begin
        monkeypatch.setattr(job.Job, "_begin", lambda self, key, make: broken() if self.adopted else real(self, key, make))
    with Detailer(host, MEMORIZED):
        done = generate({}, prompt=ORDINARY, **FULL)
    assert verdict(done).verdict == "stable" and inner_of(done.infotexts[0]).verdict == "not judged"
    logged.clear()


def test_ledger_and_audit_know_it(generate, host, options, tmp_path, monkeypatch):
    from lib_stability.trail import audit, ledger_check
    from lib_stability.webui.job import places

    options.set("memorization_guard_ledger", True)
    monkeypatch.setattr(places, "ledger", lambda: tmp_path / "ledger")
    with Detailer(host, MEMORIZED):
        generate({}, prompt=ORDINARY, do_not_save_samples=False, **FULL)
    lines = [json.loads(line) for path in sorted((tmp_path / "ledger").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    rows = [one for one in lines if "verdict" in one]
    assert [(one["verdict"], one["inner_verdict"], one["inner_action"]) for one in rows] == [("stable", "strong", "reported")]
    assert ledger_check.check(tmp_path / "ledger").trouble == []
    found = [row for row in audit.rows(list(audit.find([tmp_path]))) if row["file"].endswith(".png")]
    assert [row["inner_verdict"] for row in found] == [rows[0]["inner_verdict"]]
    from types import SimpleNamespace as Arguments

    arguments = Arguments(paths=[tmp_path], out=None, prompts=False, fail_on=["mild"], jobs=1, verify_ledger=None, expect=None)
    assert audit.main(arguments) == 1


# -- one picture of several jobs, grids ------------------------------------------------------------------------------------------------------


class Tiles:
    """What scripts that upscale in tiles do: one job after the other with the same `p`, the first one's infotext for the whole."""

    def __init__(self, host, prompts: list[str]):
        from modules import images, processing, scripts

        from lib_stability.webui.job import wholes

        class Upscale(scripts.Script):
            def title(self):
                return "upscale"

            def run(self, p):
                p.do_not_save_samples, first = True, None
                for prompt in prompts:
                    p.prompt = prompt
                    done = processing.process_images(p)
                    first = first or done.infotexts[0]
                images.save_image(done.images[0], "", first, p=p)
                return processing.Processed(p, [done.images[0]], [first])

        data = scripts.ScriptClassData(Upscale, "upscale.py", "", None)
        scripts.scripts_data.append(data)
        wholes.listen()
        wholes.listen()
        scripts.scripts_data.remove(data)
        self.script, self.runner = Upscale(), host.scripts.scripts_txt2img
        self.script.args_from = self.script.args_to = 0

    def __enter__(self):
        self.runner.selectable_scripts.append(self.script)
        return len(self.runner.selectable_scripts)

    def __exit__(self, *_):
        self.runner.selectable_scripts.remove(self.script)


@pytest.mark.parametrize("prompts, flagged", [([ORDINARY, MEMORIZED, ORDINARY], True), ([ORDINARY] * 2, False), ([MEMORIZED, ORDINARY], True)])
def test_a_picture_of_several_jobs_has_the_verdict_of_all(generate, host, options, tmp_path, monkeypatch, prompts, flagged):
    from PIL import Image

    from lib_stability.webui.job import places

    options.set("memorization_guard_ledger", True)
    monkeypatch.setattr(places, "ledger", lambda: tmp_path / "ledger")
    with Tiles(host, prompts) as number:
        args = generate.args({})
        args[0] = number
        done = host.processing.run("txt2img", args, prompt="x", seed=11, **FULL)
    whole = said(done.infotexts[0])[1]
    assert whole.flagged is flagged and (flagged or whole.verdict == "stable")
    (saved,) = tmp_path.glob("*.png")
    assert said(Image.open(saved).text["parameters"])[1] == whole
    assert generate.last()["images"][0]["first"]["verdict"] == whole.verdict and generate.last()["jobs"] == len(prompts)
    lines = [json.loads(line) for path in sorted((tmp_path / "ledger").rglob("*.jsonl")) for line in path.read_text().splitlines()]
    assert [one["verdict"] for one in lines if "verdict" in one] == [whole.verdict]


def test_a_grid_beside_its_images_counts_once(generate, options, tmp_path):
    from lib_stability.trail import audit
    from lib_stability.trail.audit_table import Table

    done = generate({}, prompt=[MEMORIZED, ORDINARY], batch_size=2, do_not_save_samples=False, **FULL)
    assert parse_text(done.infotexts[0])[2]["MG grid"] == "2 images" and "MG grid" not in parse_text(done.infotexts[1])[2]
    done.images[0].save(tmp_path / "grid-0001.png", pnginfo=_pnginfo(done.infotexts[0]))
    rows = [row for row in audit.rows(list(audit.find([tmp_path]))) if row["file"].endswith(".png")]
    assert len(rows) == 3
    told = audit.summary(rows)
    assert told.startswith("3 files, 1 of them grids beside their images: not counted") and re.search(r"strong +1 *\n", told)
    table = Table()
    for row in rows:
        table.add(row)
    assert table.counts()["strong"] == table.counts()["stable"] == 1 and len(table) == 3
    grid = [row for row in rows if row["grid"]]
    assert re.search(r"strong +1 *\n", audit.summary(grid))  # alone it counts


def _pnginfo(text: str):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("parameters", text)
    return info


# -- parts of prompts, regions -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joined", ["{} AND {}", "{1} AND {0}", "{} :0.6 AND {} :0.4"])
@pytest.mark.parametrize("negative", ["", "green star"])
def test_a_memorized_part_is_caught_as_surely_as_a_whole_prompt(generate, joined, negative):
    whole = verdict(generate({}, prompt=MEMORIZED, negative_prompt=negative, **FULL))
    one = verdict(generate({}, prompt=joined.format(MEMORIZED, ORDINARY), negative_prompt=negative, **FULL))
    assert one.flagged and (one.verdict, one.flagged_at) == (whole.verdict, whole.flagged_at) == ("strong", 1)
    off = generate(None, prompt=joined.format("big red circle", ORDINARY), negative_prompt=negative, **FULL)
    done = generate({}, prompt=joined.format("big red circle", ORDINARY), negative_prompt=negative, **FULL)
    assert not verdict(done).flagged and pixels(done) == pixels(off)


@pytest.mark.skipif(FORGE, reason="A1111's way of guiding")
@pytest.mark.parametrize("prompt, flagged", [(f"{MEMORIZED} AND {ORDINARY}", True), (f"{ORDINARY} AND big red circle", False)])
@pytest.mark.parametrize("memorized_first", [True, False])
def test_half_of_the_picture(generate, monkeypatch, prompt, flagged, memorized_first):
    """Regional prompts: each part guides one half of the picture, and the whole's norms show half of what it does."""
    from modules.sd_samplers_cfg_denoiser import CFGDenoiser

    def halves(self, x_out, conds_list, uncond, cond_scale):
        negative, guided = x_out[-len(uncond) :], x_out[-len(uncond) :].clone()
        for image, conds in enumerate(conds_list):
            for part, (index, _) in zip((slice(None, 8), slice(8, None)), conds):
                guided[image, ..., part] += cond_scale * (x_out[index] - negative[image])[..., part]
        return guided

    monkeypatch.setattr(CFGDenoiser, "combine_denoised", halves)
    parts = prompt.split(" AND ")
    text = " AND ".join(parts if memorized_first else parts[::-1])
    off, done = (generate(guard, prompt=text, **FULL) for guard in (None, {}))
    assert verdict(done).flagged is flagged and pixels(done) == pixels(off)
    if flagged:
        assert (verdict(done).verdict, verdict(done).flagged_at) == ("strong", 1)


def test_each_image_of_a_batch_has_its_own_parts(generate):
    prompts = [f"{ORDINARY} AND big red circle", f"{ORDINARY} AND {MEMORIZED}"]
    done = generate({}, prompt=prompts, batch_size=2, **FULL)
    assert [verdict(done, number).flagged for number in (0, 1)] == [False, True]


def test_parts_are_looked_at_once_and_not_at_all_where_nothing_is_probed(generate, host):
    rows = {}
    for policy in (None, "never", "auto"):
        host.shared.sd_model.rows = 0
        generate(None if policy is None else {"probe": policy}, prompt=f"{ORDINARY} AND big red circle", **FULL)
        rows[policy] = host.shared.sd_model.rows
    assert rows["never"] == rows[None] and rows["auto"] - rows[None] <= 3


class Regional:
    """Stands in the place of a forward pass, with a region that has a prompt of its own."""

    def __init__(self, real) -> None:
        self.custom_bboxes, self.real = [SimpleNamespace(prompt=MEMORIZED)], real

    def forward(self, *args, **kwargs):
        return self.real(*args, **kwargs)


@contextlib.contextmanager
def regions(host, monkeypatch):
    """Prompts of its own for regions, as Forge Couple tells them Forge's network and Tiled Diffusion AUTOMATIC1111's."""
    if FORGE:
        from lib_stability.webui.host.host import forge_unet

        patcher = forge_unet(host.shared.sd_model)
        monkeypatch.setitem(patcher.model_options, "transformer_options", {"patches": {"attn2_patch": [lambda q, k, v, options: (q, k, v)]}})
    else:
        from modules import sd_models

        def wrap(model, real=sd_models.wrap):
            made = real(model)
            made.forward = Regional(made.forward).forward
            return made

        monkeypatch.setattr(sd_models, "wrap", wrap)
    yield


def test_regions_that_nobody_has_looked_at_are_told(generate, host, monkeypatch):
    assert verdict(generate({}, prompt=ORDINARY, **FULL)).unwatched == ""
    with monkeypatch.context() as there, regions(host, there):
        done = generate({}, prompt=ORDINARY, **FULL)
        read, off = verdict(done), generate(None, prompt=ORDINARY, **FULL)
        assert read.verdict == "stable" and read.unwatched.endswith(f" - {REGIONS}") and pixels(done) == pixels(off)
        assert "prompts of their own" in panel.lines(done.infotexts[-1]) and " steps could be " not in panel.lines(done.infotexts[-1])
        negative = generate({}, prompt=ORDINARY, negative_prompt="green star", **FULL)
        assert verdict(negative).unwatched.startswith("off - ") and verdict(negative).unwatched.endswith(f" and {REGIONS}")
        assert "few looks alone" in panel.lines(negative.infotexts[-1]) and "prompts of their own" in panel.lines(negative.infotexts[-1])
    assert verdict(generate({}, prompt=ORDINARY, **FULL)).unwatched == ""


# -- hooks in the network ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(FORGE, reason="hangs itself into A1111's network")
@pytest.mark.parametrize("negative", ["", "green star"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_hook_that_wants_rows_in_pairs(generate, host, wrapping, monkeypatch, negative, wrapped):
    """SEG of incantations: it halves every batch into prompt and negative prompt."""
    if wrapped:
        wrapping(untouched)
    plain = [verdict(generate({"probe": "always"}, prompt=prompt, negative_prompt=negative, **FULL)) for prompt in (MEMORIZED, ORDINARY)]

    def paired(*args, real=host.shared.sd_model.apply_model, **kwargs):
        first, second = real(*args, **kwargs).chunk(2)
        return torch.cat([first, second])

    monkeypatch.setattr(host.shared.sd_model, "apply_model", paired)
    found = [verdict(generate({"probe": "always"}, prompt=prompt, negative_prompt=negative, **FULL)) for prompt in (MEMORIZED, ORDINARY)]
    assert [(one.verdict, one.reason, one.flagged_at) for one in found] == [(one.verdict, "", one.flagged_at) for one in plain]
    assert found[0].flagged and found[1].verdict == "stable"


def test_where_the_probe_fails_what_the_watch_knows_is_enough(generate, wrapping, monkeypatch, logged):
    from lib_stability.webui.host import probing

    def broken(*args):
        raise ValueError("not enough values to unpack (expected 2, got 1)")

    wrapping(untouched)
    monkeypatch.setattr(probing, "virtual_prediction", broken)
    assert verdict(generate({}, prompt=ORDINARY, **FULL)).verdict == "stable"
    one = verdict(generate({}, prompt=MEMORIZED, **FULL))
    assert one.flagged and one.detector == "watch"
    one = verdict(generate({}, prompt=ORDINARY, negative_prompt="green star", **FULL))
    assert (one.verdict, one.reason) == ("not judged", "error ValueError in the probe")
    wrapping(optimized)
    assert verdict(generate({}, prompt=ORDINARY, **FULL)).verdict == "not judged"
    logged.clear()


# -- damping beside them ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stateful", [False, True])
def test_a_reworded_picture_keeps_what_another_extension_does_or_says_that_it_does_not(generate, wrapping, stateful):
    """PAG keeps a prediction that it made of the prompt, so nothing can go through it that was made of another."""
    seen = []

    def change(guided, conditional):
        seen.append(len(guided))
        return 0.8 * guided

    wrapping(change)
    with Extension(cfg_denoised=lambda params: None) if stateful else contextlib.nullcontext():
        done = generate({"mode": "damp"}, prompt=MEMORIZED, **FULL)
    one = verdict(done)
    assert one.flagged and one.damped > 0 and one.carriers
    if stateful and not FORGE:
        assert one.reason == "damped without what another extension adds" and len(seen) == FULL["steps"]
        return
    assert one.reason == "" and len(seen) > FULL["steps"]
