"""JSON lines on standard error; inside a request each carries its id and its trace's id."""

from __future__ import annotations

import os
import sys
import time
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

request_fields: ContextVar[dict[str, str] | None] = ContextVar("request_fields", default=None)
"""What every line logged inside the current request carries."""


def configure_on_import() -> None:
    """Have the `logging` of this process, the handler's included, go to standard error.

    It is configured in the moment that anyone first imports it, so that nobody waits for an import
    that is not used.
    """
    if "logging" in sys.modules:
        _configure(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _Configures())


def write_line(level: str, message: str, **fields: Any) -> None:
    """Write one line at once, past `logging`; whoever has something to log has more to do."""
    line = _line(level, message, fields)
    try:  # noqa: SIM105 - importing contextlib takes longer than writing
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass  # standard error is closed: there is nobody to be told


def write_failure(message: str, error: BaseException) -> None:
    """Write an error with its traceback, which begins with the user's code."""
    from torpor_runtime.failure import traceback_of

    write_line("error", message, logger="torpor", exception=traceback_of(error))


class _Configures:
    """A finder that finds `logging` where everyone does, and configures it once it is there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of `logging`, None for all other modules."""
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        assert spec
        assert spec.loader
        execute = spec.loader.exec_module

        def execute_and_configure(module: ModuleType) -> None:
            execute(module)
            _configure(module)

        spec.loader.exec_module = execute_and_configure  # type: ignore[method-assign]
        return spec


def _configure(logging: Any) -> None:
    class JsonFormatter(logging.Formatter):  # type: ignore[misc]
        def format(self, record: Any) -> str:
            extra = {"logger": record.name}
            if record.exc_info:
                extra["exception"] = self.formatException(record.exc_info)
            return _line(record.levelname.lower(), record.getMessage(), extra)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    level = os.environ.get("TORPOR_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _line(level: str, message: str, fields: dict[str, Any]) -> str:
    import json

    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    line = {
        "ts": f"{moment}.{int(now % 1 * 1000):03d}+00:00",
        "level": level,
        "msg": message,
        "function": os.environ.get("TORPOR_FUNCTION", ""),
        **(request_fields.get() or {}),
        **fields,
    }
    return json.dumps(line, default=str)
