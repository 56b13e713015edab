"""What a proxy must do to headers (RFC 9110 section 7.6, RFC 7239), and nothing else. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from multidict import CIMultiDict, CIMultiDictProxy

from torpor.gateway.heldspans import Trace
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
BEGUN = "torpor=begun"
"""In `tracestate`: a gateway began the trace, and nobody has told the span that it names yet."""
_TRACE_OURS = "torpor="
_OURS = "x-torpor-"
_WEBSOCKET = "sec-websocket-"
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Origin:
    """What the gateway knows of a request and tells the function.

    `client` is an address, `host` what the client asked for.
    """

    client: str
    host: str
    request_id: str


def to_function(
    headers: CIMultiDictProxy[str], key: FunctionKey, origin: Origin, trace: Trace
) -> CIMultiDict[str]:
    """Return the request headers that the function sees; `trace` is where `trace_of` said."""
    kept = onward(headers, origin)
    kept[HEADER_FUNCTION] = str(key)
    if not kept.get("traceparent"):
        kept["traceparent"] = trace.traceparent
        kept.popall("tracestate", None)  # it belongs to a traceparent (W3C Trace Context, 3.3.1.1)
        if trace.begun:
            kept["tracestate"] = BEGUN
    return kept


def onward(headers: CIMultiDictProxy[str], origin: Origin) -> CIMultiDict[str]:
    """Return the request headers that whoever is behind the gateway sees.

    Those that the client's Connection header names go first, so that it can take away none of ours.
    """
    kept = _end_to_end(headers, drop=("expect",))
    chain = ", ".join([*kept.getall("X-Forwarded-For", []), origin.client])
    if origin.host:
        kept["Host"] = origin.host
    kept[HEADER_REQUEST_ID] = origin.request_id
    if any(_TRACE_OURS in state for state in kept.getall("tracestate", ())):
        kept["tracestate"] = _others(",".join(kept.getall("tracestate")))
    kept["X-Forwarded-For"] = chain
    kept.setdefault("X-Forwarded-Host", origin.host)
    kept.setdefault("X-Forwarded-Proto", "http")
    kept.add("Forwarded", f"for={_node(origin.client)};host={_quoted(origin.host)};proto=http")
    return kept


def _others(state: str) -> str:
    """Return a tracestate without what only a gateway may say."""
    members = (member.strip() for member in state.split(","))
    return ",".join(each for each in members if not each.startswith(_TRACE_OURS))


def trace_of(headers: CIMultiDictProxy[str], fresh: str) -> Trace:
    """Return a request's place in its trace, begun with 48 `fresh` hex digits if it has none."""
    given = _end_to_end(headers).get("traceparent")
    return Trace(given or f"00-{fresh[:32]}-{fresh[32:]}-01", begun=not given)


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
