"""``nncore convert``: a model or weights in another format."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nncore import console
from nncore.cli.places import EXPORTS, check_place, check_suffix, in_words, is_of
from nncore.export import export
from nncore.saving.files import MODELS, WEIGHTS, Contents, read, write
from nncore.saving.weights import weights_of
from nncore.saving.whole import contents_of, model_of

READABLE = {**WEIGHTS, **MODELS}
OF_KERAS_2 = (".h5", ".hdf5")
"""The formats with Keras 2's layout."""


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
    if contents.config is None:
        _check_weights(source, target, contents)
        write("convert", target, contents, WEIGHTS)
    elif is_of(target, MODELS):
        model = model_of(contents, source, None, compile=True)
        write("convert", target, _with_history(contents_of(model, {}), contents.metadata), MODELS)
    elif is_of(target, WEIGHTS):
        write("convert", target, weights_of(model_of(contents, source, None, compile=False)), WEIGHTS)
    else:
        export(model_of(contents, source, None, compile=False), target)
    console.write(f"{target}: {os.path.getsize(target):,} bytes\n")


def _with_history(contents: Contents, metadata: Mapping[str, Any]) -> Contents:
    """What was read and made a model of, with what that doesn't know: how its training went, what the user added."""
    own = metadata.get("nncore", {}) | contents.metadata["nncore"]
    return replace(contents, metadata={**metadata, "nncore": own})


def _check_weights(source: str, target: str, contents: Contents) -> None:
    """Checks that weights alone, without a model, are all that ``target`` needs."""
    if not is_of(target, WEIGHTS):
        raise ValueError(f"convert: {source!r} holds weights alone, and {target!r} needs a whole model.")
    if bool(contents.by_layer) != is_of(target, OF_KERAS_2):
        raise ValueError(
            f"convert: {source!r} holds weights alone. {in_words(OF_KERAS_2)} name them by layers, others by "
            f"places, and nothing in it says which is which. In Python: load_weights and save_weights of the model."
        )
