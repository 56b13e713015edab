"""What a handler is given: the request as `event`, its circumstances as `context`."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from typing import Any


class Headers(dict[str, str]):
    """Header fields by lower-case name, found in any case; repeated ones are joined by commas."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """Return the field, or `default`."""
        return super().get(name.lower(), default)


class Event:
    """One HTTP request. `target` is path and query as sent; `body` is the whole body."""

    def __init__(self, method: str, target: str, headers: Headers, body: bytes) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self._query: dict[str, str] | None = None

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        path = self.target.partition("?")[0]
        if "%" not in path:
            return path
        from urllib.parse import unquote

        return unquote(path)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last."""
        if self._query is None:
            from urllib.parse import parse_qsl

            text = self.target.partition("?")[2]
            self._query = dict(parse_qsl(text, keep_blank_values=True))
        return self._query

    @property
    def text(self) -> str:
        """The body as UTF-8; UnicodeDecodeError if it is not."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body as JSON; ValueError if it is not."""
        import json

        return json.loads(self.body)


class Context:
    """Where and under which limits the handler runs. `deadline` is on `time.monotonic()`."""

    def __init__(self, function: str, request_id: str, trace_id: str, deadline: float) -> None:
        self.function = function
        self.request_id = request_id
        self.trace_id = trace_id
        self.deadline = deadline

    @property
    def log(self) -> Logger:
        """The logger `function`; its lines carry the request's ids."""
        import logging

        return logging.getLogger("function")

    def remaining_ms(self) -> int:
        """Return the milliseconds left until the request is answered with a time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))
