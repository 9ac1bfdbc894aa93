"""The command ``nncore``: train a network on a data set or a CSV file, and use what has been trained."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import nncore
from nncore.cli import convert, info, predict, train


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line ``argv`` (by default the process's) and returns its exit code.

    0: done; 1: the request cannot be met, and the error stream says why; 2: the command line is wrong; 130: Ctrl-C.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nnncore: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of the output, such as "head", has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        print(f"nncore: error: {str(error) or 'there is not enough memory.'}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nncore",
        description="Neural networks on the CPU: Keras's Sequential API over compiled SIMD kernels.",
        epilog="""\
examples:
  nncore train digits                learn handwritten digits, in seconds
  nncore train FILE.csv --target Y --save MODEL.npz
                                     learn to predict the column Y of a table
  nncore predict MODEL.npz NEW.csv   predict it for the lines of another one
  nncore info MODEL.npz              what is in a file
  nncore convert MODEL.npz MODEL.onnx
                                     the same in another format
  nncore train --help                everything that train can be told
  nncore info                        instruction sets compiled, supported, used

environment:
  NNCORE_BACKEND   native (default) or numpy
  NNCORE_ISA       the instruction set to use, one of those "nncore info" lists
  NNCORE_HOME      folder for downloaded data sets (default: ~/.cache/nncore)

exit codes:
  0 done; 1 it can't be done, and the error says why; 2 a wrong command line;
  130 interrupted
""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nncore {nncore.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for command in (train, predict, info, convert):
        command.add(commands)
    return parser
