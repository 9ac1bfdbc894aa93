"""``nncore convert``: a model or weights in another format."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from nncore import console
from nncore.cli.places import check_place, suffixes
from nncore.export import FORMATS, export
from nncore.saving.files import MODELS, WEIGHTS, Contents, path_of, read, write
from nncore.saving.whole import model_of

EXPORTS = dict.fromkeys(FORMATS.values(), "")
READABLE = {**WEIGHTS, **MODELS}
WRITABLE = {**READABLE, **EXPORTS}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    convert = commands.add_parser(
        "convert",
        help="write a model in another format",
        usage="nncore convert IN OUT [--overwrite]",
        description=f"""\
Reads a model from one file and writes it into another; the suffixes of the
names say in which formats. What was there before is there still if it fails.

  whole models, in and out     {suffixes(MODELS)}
  weights alone, in and out    {suffixes(WEIGHTS)}
  for other programs, out      {suffixes(EXPORTS) if EXPORTS else "none"}

All of a model is kept that the other format can hold. Weights alone cannot
become a model: the file does not say what its layers are.""",
        epilog="""\
examples:
  nncore convert model.npz model.keras
  nncore convert model.keras model.weights.h5
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("source", metavar="IN", help="the file to read")
    convert.add_argument("target", metavar="OUT", help="the file to write")
    convert.add_argument("--overwrite", action="store_true", help="replace OUT if it is there (default: an error)")
    convert.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    source = path_of("convert: IN", arguments.source, READABLE)
    target = path_of("convert: OUT", arguments.target, WRITABLE)
    if os.path.exists(target) and not arguments.overwrite:
        raise FileExistsError(f"convert: {target!r} is there already. --overwrite replaces it.")
    check_place("convert: OUT", target)
    contents = read("convert", source, READABLE)
    if is_of(target, WEIGHTS) and (contents.config is None or not is_of(target, MODELS)):
        weights = {name: array for name, array in contents.arrays.items() if not name.startswith("optimizer/")}
        write("convert", target, Contents(weights), WEIGHTS)
    elif contents.config is None:
        raise ValueError(f"convert: {source!r} holds weights alone, and {target!r} needs a whole model.")
    elif is_of(target, MODELS):
        write("convert", target, contents, MODELS)
    else:
        export(model_of(contents, source, None, compile=False), target)
    console.write(f"{target}: {os.path.getsize(target):,} bytes\n")


def is_of(path: str, formats: Mapping[str, str]) -> bool:
    """Whether a file is of one of ``formats``. Of two suffixes that fit, as .h5 and .weights.h5, the longer counts."""
    suffix = max((suffix for suffix in WRITABLE if path.endswith(suffix)), key=len)
    return suffix in formats
