"""The verb `package`, which builds a model image package or verifies one; `infra.package_options` makes it of the options."""

import argparse
import sys
from pathlib import Path
from typing import Any

from infra.settings import Settings


def add_package_verb(verbs: Any) -> None:
    """Add the verb to those of `infra.cli`."""
    parser = verbs.add_parser("package", help="build a model image package, or verify one")
    parser.set_defaults(run=package)
    add = parser.add_argument
    add(
        "folder",
        type=Path,
        nargs="?",
        help="with image.yaml and weights; default: what the options say, or the shipped package",
    )
    add("--target", type=Path, help="<name>@<version>[.tar|.tar.gz|.tgz|.tar.zst]; default: in the first archive root")
    add("--verify", type=Path, metavar="FILE", help="only verify a package, as loading it would")
    add(
        "--network",
        action="append",
        metavar="NAME[=WEIGHTS]",
        help="a network it offers, perhaps with initial weights (safetensors); repeatable",
    )
    add("--input", metavar="WIDTHxHEIGHT", help="what images are resized to; default: 128x128")
    add("--mean", metavar="R,G,B", help="standardisation, of values from 0 to 1; default: ImageNet's")
    add("--deviation", metavar="R,G,B", help="standardisation; default: ImageNet's")
    add("--codes", metavar="CODE,...", help="the default code list, special codes last; default: the manual's")
    add("--classes", type=int, metavar="NUMBER", help="how many of the codes are classes; default: all")
    add(
        "--images",
        action="append",
        metavar="SIZE",
        help="image sizes that comply: 224x224 (repeatable), or one range such as 100x100-400x300; default: left to the images",
    )
    add("--special-code-min-pixels", type=int, metavar="NUMBER", help="predicted pixels of a special code; default: 1")
    add("--training-parameters", type=Path, metavar="FILE", help="JSON; default: the manual's")
    add("--prediction-parameters", type=Path, metavar="FILE", help="JSON; default: the manual's")
    add("--summary", metavar="TEXT", help="what people read beside the package")


def package(settings: Settings, asked: argparse.Namespace) -> int:
    """Build a model image package, or verify one."""
    from domain.refusals import Refusal, Refusals  # noqa: PLC0415
    from infra import package_options  # noqa: PLC0415 - needs torch

    try:
        for line in package_options.run(asked, next(iter(settings.archive_roots.values()))):
            print(line)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}." if error.filename else error, file=sys.stderr)
        return 1
    except (package_options.WrongOption, Refusal, Refusals) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
