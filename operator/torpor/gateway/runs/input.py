"""What a request to a Job Function becomes: a run's input, and the key of its invocation. Pure.

A CloudEvent in binary mode (CloudEvents HTTP binding, 3.1) is put together, as the program sees no
headers; its source and id name the invocation where no Idempotency-Key does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import unquote

from torpor.resources.run import MAX_IDEMPOTENCY_KEY, MAX_INPUT_BYTES, RunRefused
from torpor.resources.trace_context import whole

_EVENT = "ce-"


def input_of(headers: Mapping[str, str], body: bytes) -> str:
    """Return the input; `headers` find names in any case. Raises RunRefused."""
    if headers.get("Content-Encoding", "identity").lower() != "identity":
        raise _unreadable("taken as it is: send it without Content-Encoding")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _unreadable("text in UTF-8: store other data, and send where it is") from None
    if "ce-specversion" in headers:
        text = _event(headers, text)
    if len(text.encode()) > MAX_INPUT_BYTES:
        raise too_large()
    return text


def key_of(headers: Mapping[str, str], new_id: Callable[[], str]) -> str:
    """Return what names the invocation, a new name if nothing does. Raises RunRefused."""
    given = headers.get("Idempotency-Key", "").strip()
    if len(given) > MAX_IDEMPOTENCY_KEY:
        text = f"an Idempotency-Key has at most {MAX_IDEMPOTENCY_KEY} characters: send a hash"
        raise RunRefused(HTTPStatus.BAD_REQUEST, "idempotency-key", text)
    source, event = headers.get("ce-source"), headers.get("ce-id")
    found = given or (f"{source}\n{event}" if source and event else new_id())
    return found.encode("ascii", "backslashreplace").decode()  # a header's bytes may be no text


def trace_of(headers: Mapping[str, str]) -> str:
    """Return the trace that the invocation belongs to (W3C Trace Context), empty for none."""
    found = headers.get("traceparent", "")
    return found if whole(found) else ""


def too_large() -> RunRefused:
    """Return what is told of an input that is too long."""
    text = f"the input of a run is at most {MAX_INPUT_BYTES} bytes: store it, and send where it is"
    return RunRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "request-too-large", text)


def _unreadable(problem: str) -> RunRefused:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return RunRefused(status, "unsupported-media-type", f"the input of a run is {problem}")


def _event(headers: Mapping[str, str], text: str) -> str:
    """Return the event in JSON (CloudEvents JSON format, 3)."""
    found: dict[str, object] = {
        name.lower().removeprefix(_EVENT): unquote(value.encode(errors="replace"))
        for name, value in headers.items()
        if name.lower().startswith(_EVENT)
    }
    kind = headers.get("Content-Type", "")
    if kind:
        found["datacontenttype"] = kind
    if text:
        found["data"] = _data(kind, text)
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


def _data(kind: str, text: str) -> object:
    media = kind.partition(";")[0].strip().lower()
    if media and media != "application/json" and not media.endswith("+json"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
