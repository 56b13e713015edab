"""Finds the user's handler: inline source or a folder, and `module.function` in it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Handler = Callable[[Any, Any], Any]
CODE_DIRECTORY = "/var/torpor/code"


class BadHandler(Exception):
    """The handler's name does not lead to something that can be called."""


def load_handler(environment: Mapping[str, str]) -> Handler:
    """Return the handler that TORPOR_HANDLER names.

    BadHandler if there is none; whatever the user's module raises while it is imported.
    """
    name = environment.get("TORPOR_HANDLER", "")
    module_name, _, function_name = name.rpartition(".")
    if not module_name or not function_name:
        raise BadHandler(f"TORPOR_HANDLER is {name!r}; it must read module.function")
    folder = environment.get("TORPOR_CODE_DIR") or CODE_DIRECTORY
    sys.path.insert(0, folder)
    source = environment.get("TORPOR_CODE")
    module = _inline(module_name, source) if source else importlib.import_module(module_name)
    handler = getattr(module, function_name, None)
    if not callable(handler):
        raise BadHandler(f"module {module_name!r} has no function {function_name!r}")
    found: Handler = handler
    return found


def _inline(name: str, source: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = f"<code of {name}>"
    sys.modules[name] = module
    _remember_lines(module.__file__, source)
    exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102 - the user's own
    return module


def _remember_lines(file: str, source: str) -> None:
    import linecache  # tracebacks show the lines of inline code, too

    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
