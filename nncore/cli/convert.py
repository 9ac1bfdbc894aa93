"""``nncore convert``: a model or weights in another format."""

from __future__ import annotations

import argparse
import os

from nncore import console
from nncore.cli.places import EXPORTS, check_place, check_suffix, in_words, is_of
from nncore.export import export
from nncore.saving.files import MODELS, WEIGHTS, Contents, read, write
from nncore.saving.whole import model_of

READABLE = {**WEIGHTS, **MODELS}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    convert = commands.add_parser(
        "convert",
        help="write a model in another format",
        usage="nncore convert IN OUT [--overwrite]",
        description=f"""\
Reads a model from one file and writes it into another; the suffixes of the
names say in which formats. What was there before is there still if it fails.

  whole models, in and out     {in_words(MODELS)}
  weights alone, in and out    {in_words(WEIGHTS)}
  for other programs, out      {in_words(EXPORTS)}

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
    source, target = arguments.source, arguments.target
    check_suffix("convert: IN", source, READABLE)
    check_suffix("convert: OUT", target, (*READABLE, *EXPORTS))
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
