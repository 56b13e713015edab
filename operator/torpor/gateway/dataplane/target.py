"""Where a request wants to go: the host, and the path with its query."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Target:
    """`path` with the query, its bytes unchanged; `host` may carry a port, and may be empty."""

    path: str
    host: str

    @classmethod
    def of(cls, request: web.BaseRequest) -> Target | None:
        """Return the target; the host of one in absolute form goes before Host (RFC 9112 3.2.2).

        None for the forms without a path, of CONNECT and `OPTIONS *`.
        """
        target, host = request.raw_path, request.headers.get("Host", "")
        if target.startswith("/"):
            return cls(target, host)
        parts = _split(target)
        if request.method == "CONNECT" or parts is None:
            return None
        path, query, host = parts
        return cls((path or "/") + (f"?{query}" if query else ""), host)


def _split(target: str) -> tuple[str, str, str] | None:
    try:
        parts = urlsplit(target)
    except ValueError:  # such as a bracket that nothing closes
        return None
    host = parts.netloc.rpartition("@")[2]
    return (parts.path, parts.query, host) if host else None
