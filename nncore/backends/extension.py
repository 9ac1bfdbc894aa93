"""The compiled extension, loaded when it is first needed."""

from __future__ import annotations

import platform
from importlib import import_module
from types import ModuleType

from nncore.errors import MissingExtensionError
from nncore.threads import default_threads, obey_threadpoolctl


def load_native() -> ModuleType:
    """The compiled extension; ``MissingExtensionError`` where there is none."""
    try:
        native = import_module("nncore._native")
    except ModuleNotFoundError as error:
        if error.name != "nncore._native":
            raise
        raise MissingExtensionError(
            "nncore's compiled extension is missing for this Python "
            f"({platform.python_implementation()} {platform.python_version()}, {platform.machine()}).\n"
            "  In a source checkout, build it in place: pip install -e .\n"
            "  After a plain `pip install .`, start Python outside the checkout, or use the `nncore` command: inside "
            "it, Python imports the source folder, which has no extension.\n"
            "  To run without compiled kernels, slowly, ask for NumPy: NNCORE_BACKEND=numpy or "
            'nncore.set_backend("numpy").'
        ) from None
    if native.get_num_threads() == 0:
        native.set_num_threads(default_threads())
    obey_threadpoolctl(native)
    return native
