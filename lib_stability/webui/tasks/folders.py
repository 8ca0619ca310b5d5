"""Which folders the page may look into: the host's output folders and what its administrator has opened, nothing else.

On a server that is open to others whoever sees the page may change most settings, so there only those count that the host keeps from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...sentences import Sentence
from ...validation import ValidationError
from ..host import host, texts, visitors

#: The host's options ``outdir_…``, and those of them that ``--hide-ui-dir-config`` keeps visitors from changing on every host.
_RESTRICTED = ("samples", "txt2img_samples", "img2img_samples", "extras_samples", "grids", "txt2img_grids", "save", "init_images")
OUTPUTS = (*_RESTRICTED, "img2img_grids", "videos")
#: Our own option: folders of the user's that may be audited, too.
MORE = "memorization_guard_audit_folders"
MOST = 4096


@dataclass(frozen=True)
class Root:
    """A folder that is open: as somebody named it, absolute, and with links resolved."""

    label: str
    path: str
    real: str

    @classmethod
    def of(cls, label: str, base: str) -> Root:
        path = os.path.abspath(os.path.join(base, label))
        return cls(label, path, os.path.realpath(path))


def shared() -> bool:
    """Whether others than its owner are at the host's page."""
    return visitors.strangers()


def offered() -> list[Root]:
    """The host's output folders that exist, each once."""
    found = {}
    for name in OUTPUTS:
        label = getattr(host.opts(), f"outdir_{name}", None)
        if isinstance(label, str) and label.strip():
            root = Root.of(label.strip(), _base())
            if _may_be_trusted(name, root) and os.path.isdir(root.real):
                found.setdefault(os.path.normcase(root.real), root)
    return list(found.values())


def opened() -> list[Root]:
    """Everything that may be looked into: :func:`offered`, ``--gradio-allowed-path``, and our own option where the page is the owner's."""
    more = "" if shared() else getattr(host.opts(), MORE, None) or ""
    lines = [line.strip() for line in str(more).splitlines()]
    mine = [Root.of(line, _base()) for line in lines if line]
    return [*offered(), *_allowed(), *(root for root in mine if not _is_top(root.real))]


def listed() -> list[str]:
    """Names of what may be looked into and exists, to be chosen from."""
    return list(dict.fromkeys(root.label for root in opened() if os.path.isdir(root.real)))


def resolve(text: str) -> tuple[Path, list[Root]]:
    """The folder that `text` names, and the roots that it may be walked within.

    Raises
    ------
    ValidationError
        It is not open, or not there: one line that says nothing about folders that are not open.
    """
    roots = opened()
    path = permitted(text, roots, _base())
    if not os.path.isdir(path):
        raise ValidationError(Sentence(texts.FOLDERS["none"], folder=text))
    return Path(path), roots


def permitted(text: str, roots: Iterable[Root], base: str) -> str:
    """The absolute path that `text` names, if it lies in one of `roots`, also after links are resolved.

    The name alone is looked at first: a path elsewhere, on another machine perhaps, is not touched.
    """
    if not text or len(text) > MOST or "\0" in text:
        raise ValidationError(Sentence(texts.FOLDERS["name"]))
    if ".." in text.replace("\\", "/").split("/"):
        raise ValidationError(Sentence(texts.FOLDERS["up"]))
    roots, path = list(roots), os.path.abspath(os.path.join(base, text))
    if not any(_within(path, form) for root in roots for form in (root.path, root.real)) or not is_open(path, roots):
        raise ValidationError(Sentence(texts.FOLDERS["closed"]))
    return path


def is_open(path: str, roots: Iterable[Root]) -> bool:
    """Whether a file or folder, its links resolved, lies in one of `roots`."""
    real = os.path.realpath(path)
    return any(_within(real, root.real) for root in roots)


def _within(path: str, top: str) -> bool:
    path, top = os.path.normcase(path), os.path.normcase(top)
    try:
        return os.path.commonpath([path, top]) == top
    except ValueError:  # another drive
        return False


def _may_be_trusted(name: str, root: Root) -> bool:
    if _is_top(root.real):
        return False
    return (
        not shared()
        or (visitors.hides_folders() and name in _RESTRICTED)
        or any(_within(root.real, one.real) for one in [Root.of(_home(), _base()), *_allowed()])
    )


def _allowed() -> list[Root]:
    # Both hosts put their own folder first, which nobody has decided on.
    home = Root.of(_home(), _base()).real
    named = getattr(host.command_line(), "gradio_allowed_path", None) or []
    roots = [Root.of(str(one), _base()) for one in ([named] if isinstance(named, str) else named)]
    return [root for root in roots if os.path.normcase(root.real) != os.path.normcase(home)]


def _is_top(path: str) -> bool:
    return os.path.dirname(path) == path


def _base() -> str:
    """What the hosts resolve relative folders against: where they were started."""
    try:
        from modules.paths_internal import cwd
    except ImportError:
        return os.getcwd()
    return str(cwd)


def _home() -> str:
    """The host's own data folder."""
    try:
        from modules.paths_internal import data_path
    except ImportError:
        return _base()
    return str(data_path)
