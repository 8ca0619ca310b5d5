"""The options of ``match``, and of ``audit`` for it: read without loading what the commands themselves need."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, bounded: Callable) -> None:
    """The actions of the command; `bounded` makes an argparse type for a range."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="action", parser_class=type(parser))
    index = actions.add_parser("index", help="make an index of folders of pictures, or bring it up to date")
    index.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders of pictures (those that the index was made of)")
    index.add_argument("--out", type=Path, required=True, metavar="INDEX", help="folder for the index; there it goes on")
    find = actions.add_parser("find", help="the pictures of an index that are nearest to others")
    find.add_argument("pictures", nargs="+", type=Path, metavar="PATH", help="pictures, or folders of them")
    find.add_argument("--index", type=Path, required=True, metavar="INDEX", help="folder of the index")
    find.add_argument("--count", type=bounded(int, 1, 50), default=3, help="how many of each (%(default)s)")
    for one in (index, find):
        add_describers(one)
    show = actions.add_parser("show", help="what an index says of itself, and which files it could not read")
    show.add_argument("index", type=Path, metavar="INDEX")
    bench = actions.add_parser("bench", help="what an index of a million pictures costs")
    bench.add_argument("--pictures", type=bounded(int, 1000, 10**8), default=1_000_000, help="(%(default)s)")
    bench.add_argument(
        "--numbers", type=bounded(int, 64, 8192), nargs="+", default=[256, 1024], help="of a picture: 256 or 1024, by the checkpoint's autoencoder"
    )
    bench.add_argument("--folder", type=Path, help="where it is made, and deleted again (the system's temporary folder)")


def add_describers(parser: argparse.ArgumentParser) -> None:
    """What describes pictures: by default their pixels."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--webui-url", metavar="URL", help="describe by the autoencoder that this web UI has loaded; pictures are sent there, small")
    group.add_argument("--sscd", type=Path, metavar="FILE", help="describe by this TorchScript file of SSCD")
    parser.add_argument("--auth", default="", metavar="USER:PASSWORD", help="as in the web UI's --api-auth or --gradio-auth")


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``audit`` takes to look pictures up."""
    parser.add_argument("--match", type=Path, metavar="INDEX", help="look every picture up in this index of training pictures; see match")
    add_describers(parser)
