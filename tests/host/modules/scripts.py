"""Scripts of extensions: base class, loading, and the runner that calls their hooks."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections import namedtuple
from pathlib import Path

from modules import errors, script_callbacks

AlwaysVisible = object()
ScriptClassData = namedtuple("ScriptClassData", ["script_class", "path", "basedir", "module"])
scripts_data: list[ScriptClassData] = []
current_basedir = ""


class PostSampleArgs:
    def __init__(self, samples):
        self.samples = samples


class PostprocessImageArgs:
    def __init__(self, image):
        self.image = image


class Script:
    name = filename = None
    args_from = args_to = None
    alwayson = is_txt2img = is_img2img = False
    infotext_fields = paste_field_names = None
    tabname = None

    def title(self):
        raise NotImplementedError()

    def ui(self, is_img2img):
        pass

    def show(self, is_img2img):
        return True


HOOKS = (
    "before_process process before_process_batch process_batch process_before_every_sampling "
    "post_sample postprocess_batch postprocess_image postprocess"
).split()
for _hook in HOOKS:
    setattr(Script, _hook, lambda self, p, *args, **kwargs: None)


def basedir():
    """Folder of the extension whose script is being loaded; only then."""
    return current_basedir


def load_scripts(folders: list[Path]) -> None:
    """Execute ``scripts/*.py`` of each folder as the hosts do."""
    global current_basedir
    scripts_data.clear()
    script_callbacks.clear_callbacks()
    syspath = sys.path[:]
    for folder in folders:
        for path in sorted((folder / "scripts").glob("*.py")):
            try:
                current_basedir = str(folder)
                sys.path[:] = [str(folder), *syspath]
                spec = importlib.util.spec_from_file_location(path.name, path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                for cls in list(vars(module).values()):
                    if inspect.isclass(cls) and issubclass(cls, Script) and cls is not Script:
                        scripts_data.append(ScriptClassData(cls, str(path), str(folder), module))
            except Exception:
                errors.report(f"Error loading script: {path.name}", exc_info=True)
            finally:
                sys.path[:] = syspath
                current_basedir = os.getcwd()


class ScriptRunner:
    def __init__(self):
        self.scripts, self.selectable_scripts, self.alwayson_scripts = [], [], []
        self.infotext_fields, self.paste_field_names, self.inputs = [], [], [None]

    def initialize_scripts(self, is_img2img: bool) -> None:
        self.__init__()
        for data in scripts_data:
            script = data.script_class()
            script.filename, script.is_txt2img, script.is_img2img = data.path, not is_img2img, is_img2img
            script.tabname = "img2img" if is_img2img else "txt2img"
            shown = script.show(is_img2img)
            if shown is AlwaysVisible:
                script.alwayson = True
                self.alwayson_scripts.append(script)
            elif shown:
                self.selectable_scripts.append(script)
            else:
                continue
            self.scripts.append(script)

    def setup_ui(self) -> list:
        """Build every script's controls in the blocks under way; argument 0 picks the selectable script."""
        self.inputs = [None]
        for script in [*self.alwayson_scripts, *self.selectable_scripts]:
            script.args_from = len(self.inputs)
            script.name = script.title().lower()
            controls = self._call(script, "ui", script.is_img2img) or []
            self.infotext_fields += script.infotext_fields or []
            self.paste_field_names += script.paste_field_names or []
            self.inputs += controls
            script.args_to = len(self.inputs)
        return self.inputs

    @staticmethod
    def _call(script, hook, *args, **kwargs):
        try:
            return getattr(script, hook)(*args, **kwargs)
        except Exception:
            errors.report(f"Error running {hook}: {script.filename}", exc_info=True)
            return None

    def __getattr__(self, hook):
        if hook not in HOOKS:
            raise AttributeError(hook)

        def run(p, *args, **kwargs):
            for script in self.alwayson_scripts:
                self._call(script, hook, p, *args, *p.script_args[script.args_from : script.args_to], **kwargs)

        return run

    def run(self, p, *args):
        """Run the selectable script that argument 0 picks, or nothing."""
        if not args or not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        return script.run(p, *args[script.args_from : script.args_to])


scripts_txt2img, scripts_img2img = ScriptRunner(), ScriptRunner()
