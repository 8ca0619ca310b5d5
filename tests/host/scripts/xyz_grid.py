"""The X/Y/Z plot in small: axes that extensions may add to, and a run over two of them."""

from copy import copy

from modules import processing, scripts


class AxisOption:
    def __init__(self, label, type, apply, format_value=None, confirm=None, cost=0.0, choices=None, prepare=None):
        self.label, self.type, self.apply, self.choices, self.cost = label, type, apply, choices, cost


def apply_field(name):
    def apply(p, x, xs):
        setattr(p, name, x)

    return apply


axis_options = [
    AxisOption("Nothing", str, lambda p, x, xs: None),
    AxisOption("Seed", int, apply_field("seed")),
    AxisOption("CFG Scale", float, apply_field("cfg_scale")),
]


class Script(scripts.Script):
    def title(self):
        return "X/Y/Z plot"

    def ui(self, is_img2img):
        import gradio as gr

        return [gr.Textbox("", label=label) for label in ("X type", "X values", "Y type", "Y values")]

    def run(self, p, x_type, x_values, y_type, y_values):
        axes = []
        for label, values in ((x_type, x_values), (y_type, y_values)):
            option = next(one for one in axis_options if one.label == label)
            axes.append((option, [option.type(value.strip()) for value in values.split(",")]))
        (x_option, xs), (y_option, ys) = axes
        result = grid = None
        for y in ys:
            for x in xs:
                cell = copy(p)
                x_option.apply(cell, x, xs)
                y_option.apply(cell, y, ys)
                done = processing.process_images(cell)
                if result is None:
                    result = done
                    # The hosts' own asks for its grid's text here, when the other cells are still to come.
                    cell.extra_generation_params = {**cell.extra_generation_params, "X Type": x_type, "X Values": x_values}
                    grid = processing.create_infotext(cell, cell.all_prompts, cell.all_seeds)
                else:
                    result.images += done.images
                    result.infotexts += done.infotexts
        result.grid = grid
        return result
