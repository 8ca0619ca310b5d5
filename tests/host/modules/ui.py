"""The page: txt2img and img2img with the scripts' controls, PNG info with pasting, settings."""

from __future__ import annotations

import html
import json
from pathlib import Path

import gradio as gr
from modules import infotext_utils, processing, script_callbacks, scripts, sd_samplers, shared


def plaintext_to_html(text: str) -> str:
    return "<p>" + "<br>\n".join(html.escape(line) for line in text.split("\n")) + "</p>"


def _results(tab: str) -> tuple:
    with gr.Column(elem_id=f"{tab}_results"):
        gallery = gr.Gallery(label="Output", elem_id=f"{tab}_gallery", columns=4, preview=True)
        send = {there: gr.Button(f"Send to {there}", elem_id=f"{tab}_send_to_{there}") for there in ("img2img", "inpaint")}
        shown = gr.HTML(elem_id=f"html_info_{tab}")
        gr.HTML(elem_id=f"html_log_{tab}")
        information = gr.Textbox(visible=False, elem_id=f"generation_info_{tab}")
        follow = gr.Button(visible=False, elem_id=f"{tab}_generation_info_button")

    def follows(generation_info, before, index):
        texts = json.loads(generation_info or "{}").get("infotexts", [])
        return plaintext_to_html(texts[index]) if 0 <= index < len(texts) else before, gr.update()

    chosen = "(information, shown, _) => [information, shown, selected_gallery_index()]"
    follow.click(follows, _js=chosen, inputs=[information, shown, shown], outputs=[shown, shown], show_progress=False)
    return gallery, information, shown, send


def _tab(tab: str) -> None:
    runner = scripts.scripts_img2img if tab == "img2img" else scripts.scripts_txt2img
    runner.initialize_scripts(tab == "img2img")
    with gr.Row(), gr.Column():
        prompt = gr.Textbox("", label="Prompt", elem_id=f"{tab}_prompt")
        negative = gr.Textbox("", label="Negative prompt", elem_id=f"{tab}_neg_prompt")
        generate = gr.Button("Generate", elem_id=f"{tab}_generate")
        init = gr.Image(label="Image", type="pil", visible=tab == "img2img", elem_id=f"{tab}_image")
        mask = gr.Image(label="Mask", type="pil", visible=tab == "img2img", elem_id=f"{tab}_mask")
        sampler = gr.Dropdown([one.name for one in sd_samplers.all_samplers], value="Euler", label="Sampling method")
        numbers = {
            "steps": gr.Number(8, label="Steps", elem_id=f"{tab}_steps"),
            "cfg_scale": gr.Number(7.0, label="CFG Scale", elem_id=f"{tab}_cfg_scale"),
            "width": gr.Number(64, label="Width", elem_id=f"{tab}_width"),
            "height": gr.Number(64, label="Height", elem_id=f"{tab}_height"),
            "n_iter": gr.Number(1, label="Batch count", elem_id=f"{tab}_batch_count"),
            "batch_size": gr.Number(1, label="Batch size", elem_id=f"{tab}_batch_size"),
            "seed": gr.Number(1, label="Seed", elem_id=f"{tab}_seed"),
        }
        controls = runner.setup_ui()[1:]
        paste_text = gr.Textbox("", label="Infotext", elem_id=f"{tab}_paste_text")
        paste = gr.Button("Paste", elem_id=f"{tab}_paste")
    gallery, information, shown, send = _results(tab)

    def run(prompt, negative, init, mask, sampler, *values):
        whole = {name: float(value) if name == "cfg_scale" else int(value) for name, value in zip(numbers, values)}
        fields = {"prompt": prompt, "negative_prompt": negative, "sampler_name": sampler, **whole}
        if tab == "img2img":
            fields |= {"init_images": [init], "mask_image": mask}
        done = processing.run(tab, [0, *values[len(numbers) :]], **fields)
        return done.images, json.dumps(done.js()), plaintext_to_html(done.infotexts[0])

    generate.click(run, inputs=[prompt, negative, init, mask, sampler, *numbers.values(), *controls], outputs=[gallery, information, shown])
    infotext_utils.paste_fields[tab] = [(prompt, "Prompt"), (negative, "Negative prompt"), (numbers["seed"], "Seed"), *runner.infotext_fields]
    infotext_utils.connect_paste(paste, tab, paste_text)
    infotext_utils.send_buttons += [(button, tab, list(runner.paste_field_names)) for button in send.values()]


def _settings() -> None:
    for key, info in shared.opts.data_labels.items():
        arguments = dict((info.component_args() if callable(info.component_args) else info.component_args) or {})
        component = info.component or {bool: gr.Checkbox, float: gr.Number, int: gr.Number}.get(type(info.default), gr.Textbox)
        control = component(value=getattr(shared.opts, key), label=info.label, elem_id=f"setting_{key}", **arguments)
        control.change(lambda value, key=key: shared.opts.set(key, value), inputs=[control])


def create_ui(folders: list[Path]) -> gr.Blocks:
    """Build the page with the extensions of `folders`."""
    script_callbacks.fire("before_ui")
    script_callbacks.fire("ui_settings")
    styles = [folder / "style.css" for folder in folders]
    css = "\n".join(path.read_text(encoding="utf-8") for path in styles if path.exists())
    tabs = script_callbacks.fire("ui_tabs")  # outside of the page, else they would be part of it twice
    with gr.Blocks(css=css, title="Web UI in small") as demo, gr.Tabs(elem_id="tabs"):
        for tab in ("txt2img", "img2img"):
            with gr.Tab(tab, id=tab, elem_id=f"tab_{tab}"):
                _tab(tab)
        infotext_utils.connect_send("img2img")
        with gr.Tab("Settings", id="settings", elem_id="tab_settings"):
            _settings()
        for result in tabs:
            for blocks, title, ident in result or []:
                with gr.Tab(title, id=ident, elem_id=f"tab_{ident}"):
                    blocks.render()
    return demo
