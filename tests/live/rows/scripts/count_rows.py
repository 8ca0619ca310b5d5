"""An extension for measurements alone: rows of the network and texts encoded since it was last asked, at ``GET /count-rows``."""

from modules import script_callbacks, shared

counts = {"rows": 0, "texts": 0}


def _network(model):
    """The denoising network itself, on A1111 and on its forks."""
    objects = getattr(model, "forge_objects", None)
    return objects.unet.model.diffusion_model if objects is not None else model.model.diffusion_model


def _listen(model):
    network = _network(model)
    if getattr(network, "counts_rows", False):
        return
    network.counts_rows = True
    encode = model.get_learned_conditioning

    def count_rows(module, args, kwargs):
        counts["rows"] += len(args[0] if args else kwargs["x"])

    def count_texts(texts, *args, **kwargs):
        counts["texts"] += len(texts)
        return encode(texts, *args, **kwargs)

    network.register_forward_pre_hook(count_rows, with_kwargs=True)
    model.get_learned_conditioning = count_texts


def _add_route(demo, app):
    @app.get("/count-rows")
    def count_rows():
        _listen(shared.sd_model)
        seen = dict(counts)
        counts.update(rows=0, texts=0)
        return seen


script_callbacks.on_app_started(_add_route)
