"""Finds the user's handler: inline source or a folder, and `module.function` in it.

`folder/module.function`, as AWS Lambda writes it, is the module `folder.module`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

    Handler = Callable[[Any, Any], Any]

CODE_DIRECTORY = "/var/torpor/code"


class BadHandler(Exception):
    """The handler's name does not lead to something that can be called."""


def code_directory(environment: Mapping[str, str]) -> str:
    """Return the folder of the code."""
    return environment.get("TORPOR_CODE_DIR") or CODE_DIRECTORY


def load_handler(environment: Mapping[str, str]) -> Handler:
    """Return the handler that TORPOR_HANDLER names.

    BadHandler if there is none; whatever the user's module raises while it is imported.
    """
    name = environment.get("TORPOR_HANDLER", "")
    path, _, function_name = name.rpartition(".")
    module_name = path.replace("/", ".")
    if not module_name or not function_name:
        raise BadHandler(f"TORPOR_HANDLER is {name!r}; it must read module.function")
    sys.path.insert(0, code_directory(environment))
    source = environment.get("TORPOR_CODE")
    module = _inline(module_name, source) if source else _imported(module_name)
    handler = getattr(module, function_name, None)
    if not callable(handler):
        raise BadHandler(f"module {module_name!r} has no function {function_name!r}")
    found: Handler = handler
    return found


def _imported(name: str) -> ModuleType:
    __import__(name)  # what `importlib.import_module` does, without importing importlib
    return sys.modules[name]


class _Source:
    """Lets tracebacks show the lines of inline code (the optional `get_source` of PEP 302)."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, name: str) -> str:
        """Return the source of the module."""
        return self._text


def _inline(name: str, source: str) -> ModuleType:
    module = type(sys)(name)
    module.__file__ = f"code of {name}"
    module.__loader__ = _Source(source)  # type: ignore[assignment]
    sys.modules[name] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102 - the user's own
    return module
