"""The always-on script: takes the user's settings to a job, and the job's results to the infotext and the record of the last job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from modules import scripts

from ...trail.infotext import Settings
from ...validation import ValidationError
from ..job import arguments, galleries, infotexts, inner, job, last_job, ledgering, mapping, matching, renewing, saved_files, settings, wholes
from . import xyz
from .controls import Controls

log = logging.getLogger(__name__)
T = TypeVar("T")


def quietly(call: Callable[[], T], otherwise: T | None = None) -> T | None:
    """What `call` gives; where it raises a line in the log, and `otherwise`."""
    try:
        return call()
    except Exception:
        log.exception("Memorization Guard: an error beside the verdicts, they stand without it")
        return otherwise


class GuardScript(scripts.Script):
    """Memorization Guard in txt2img and img2img."""

    def title(self) -> str:
        return "Memorization Guard"

    def show(self, is_img2img: bool) -> object:
        return scripts.AlwaysVisible

    def ui(self, is_img2img: bool) -> list:
        controls = Controls("img2img" if is_img2img else "txt2img")
        self.infotext_fields = controls.paste_fields()
        self.paste_field_names = [str(target) for _, target in self.infotext_fields]
        return controls.all()

    def process(self, p, *args) -> None:
        """Before the first batch: attach a job, or make sure that none is."""
        job.detach(p)
        infotexts.detach(p)
        chosen, trouble = self._settings(p, args)
        if not chosen.enabled:
            inner.off(p)
            return
        maps = quietly(mapping.wanted, False)
        made = job.Job(p, chosen, trouble=trouble, locate=maps, **self._serving())
        job.attach(p, made)
        quietly(lambda: inner.begun(made, p))
        quietly(lambda: wholes.begun(made, p))
        infotexts.attach(p)
        quietly(lambda: matching.attach(p))

    @staticmethod
    def _serving() -> dict[str, bool]:
        """Which profiles may serve."""
        return {"general": quietly(settings.general_prior_allowed, False), "ignoring": quietly(settings.networks_ignored, False)}

    @staticmethod
    def _settings(p, args: tuple) -> tuple[Settings, str]:
        base = Settings()
        try:
            base = settings.defaults()
            return xyz.override(p, arguments.parse(args, base)), ""
        except ValidationError as error:
            # The generation goes on, and says that it was not watched.
            log.error("Memorization Guard: %s; this job is not judged", error)
            return replace(base, enabled=True), f"bad setting {error}"
        except Exception as error:
            log.exception("Memorization Guard: an error, this job is not judged")
            return Settings(enabled=True), f"error {type(error).__name__}"

    def process_before_every_sampling(self, p, *args, **kwargs) -> None:
        found = job.of(p)
        if found is not None:
            found.expect_pass((kwargs["c"], kwargs["uc"]) if "c" in kwargs and "uc" in kwargs else None)

    def post_sample(self, p, ps, *args) -> None:
        renewing.finish(job.of(p), p, ps.samples)

    def postprocess_batch(self, p, *args, **kwargs) -> None:
        found = job.of(p)
        if found is not None:
            found.batch_done(getattr(p, "iteration", 0))

    def postprocess_image(self, p, pp, *args) -> None:
        mapping.keep_picture(job.of(p), p, pp.image)
        quietly(lambda: matching.look(job.of(p), p, pp.image))

    def postprocess(self, p, processed, *args) -> None:
        found = job.of(p)
        if found is not None:
            found.close()
            if found.outer is not None:
                return  # the job outside says it, with its picture
            # Each by itself: none of them costs another.
            quietly(lambda: last_job.remember(found, getattr(p, "all_seeds", ()), p.batch_size))
            quietly(lambda: galleries.remember(p, processed))
            quietly(lambda: mapping.save(found, processed))
            quietly(lambda: ledgering.write(found, p, processed))
            quietly(lambda: saved_files.forget(found))
