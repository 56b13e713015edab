"""What a handler is given: the request as `event`, its circumstances as `context`."""

from __future__ import annotations

import json
import logging
import time
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote


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

    @cached_property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's parameters; of a repeated one the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def text(self) -> str:
        """The body as UTF-8; UnicodeDecodeError if it is not."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body as JSON; ValueError if it is not."""
        return json.loads(self.body)


class Context:
    """Where and under which limits the handler runs. `deadline` is on `time.monotonic()`."""

    def __init__(self, function: str, request_id: str, trace_id: str, deadline: float) -> None:
        self.function = function
        self.request_id = request_id
        self.trace_id = trace_id
        self.deadline = deadline
        self.log = logging.getLogger("function")

    def remaining_ms(self) -> int:
        """Return the milliseconds left until the request is answered with a time-out."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))
