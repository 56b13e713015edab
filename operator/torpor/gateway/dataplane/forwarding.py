"""What a proxy must do to headers (RFC 9110 section 7.6, RFC 7239), and nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict, CIMultiDictProxy

from torpor.resources.names import HEADER_FUNCTION, HEADER_REQUEST_ID, FunctionKey

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OURS = "x-torpor-"
_WEBSOCKET = "sec-websocket-"
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_ID_LENGTH = 128


def to_function(
    headers: CIMultiDictProxy[str], key: FunctionKey, client: str, ids: Mapping[str, str]
) -> CIMultiDict[str]:
    """Return the request headers that the function sees.

    `ids` are the headers to add where the client sent none that is usable (request id, trace).
    """
    kept = _end_to_end(headers, drop=("expect",))
    host = headers.get("Host", "")
    chain = ", ".join([*headers.getall("X-Forwarded-For", []), client])
    for name, value in ids.items():
        kept[name] = value
    kept[HEADER_FUNCTION] = str(key)
    kept["X-Forwarded-For"] = chain
    kept.setdefault("X-Forwarded-Host", host)
    kept.setdefault("X-Forwarded-Proto", "http")
    kept.add("Forwarded", f"for={_node(client)};host={_quoted(host)};proto=http")
    return kept


def to_client(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """Return the response headers that the client sees."""
    return _end_to_end(headers)


def without_handshake(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Return the headers without those that each leg of a WebSocket negotiates for itself."""
    return CIMultiDict(
        (name, value) for name, value in headers.items() if not name.lower().startswith(_WEBSOCKET)
    )


def request_id(headers: CIMultiDictProxy[str], fresh: str) -> str:
    """Return the client's request id if it is fit for logs and headers, else `fresh`."""
    given = headers.get(HEADER_REQUEST_ID, "")
    usable = 0 < len(given) <= _ID_LENGTH and set(given) <= _ID_CHARACTERS
    return given if usable else fresh


def _end_to_end(headers: CIMultiDictProxy[str], drop: tuple[str, ...] = ()) -> CIMultiDict[str]:
    named = {
        token.strip().lower()
        for value in headers.getall("Connection", [])
        for token in value.split(",")
    }
    gone = HOP_BY_HOP | named | set(drop)
    return CIMultiDict(
        (name, value)
        for name, value in headers.items()
        if name.lower() not in gone and not name.lower().startswith(_OURS)
    )


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
