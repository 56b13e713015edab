"""HTTP as AWS Lambda's handlers see it: payload format 2.0 of API Gateway and function URLs."""

from __future__ import annotations

import time
from binascii import a2b_base64, b2a_base64

from torpor_runtime.answer import Answer, BadReturn, checked_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from torpor_runtime.event import Context, Event

_STAGE = "$default"
_TEXTS = ("application/json", "application/javascript", "application/xml")
_JSON = [("Content-Type", "application/json")]
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


def event_of(event: Event, context: Context) -> dict[str, Any]:
    """Return the request as an event."""
    path, _, query = event.target.partition("?")
    headers = dict(event.headers)
    cookies = [part.strip() for part in headers.pop("cookie", "").split(";")]
    found: dict[str, Any] = {
        "version": "2.0",
        "routeKey": _STAGE,
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": _request_context(event, context, path),
        "isBase64Encoded": False,
    }
    if any(cookies):
        found["cookies"] = [cookie for cookie in cookies if cookie]
    if query:
        found["queryStringParameters"] = _parameters(query)
    if event.body:
        found["isBase64Encoded"], found["body"] = _body(event)
    return found


def answer_of(result: Any, json_of: Callable[[Any], bytes]) -> Answer:
    """Return the answer that a result stands for; BadReturn if it cannot be sent.

    An object with `statusCode` says all of it. Anything else is the body of a 200: a string as it
    is, the rest as JSON.
    """
    if isinstance(result, dict) and "statusCode" in result:
        return _said(result)
    return Answer(200, _JSON, result.encode() if isinstance(result, str) else json_of(result))


def _request_context(event: Event, context: Context, path: str) -> dict[str, Any]:
    headers, now = event.headers, time.time()
    domain = headers.get("x-forwarded-host") or headers.get("host", "")
    return {
        "accountId": "anonymous",
        "apiId": context.function.partition("/")[2],
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": event.method,
            "path": path,
            "protocol": "HTTP/1.1",
            "sourceIp": headers.get("x-forwarded-for", "").rpartition(",")[2].strip(),
            "userAgent": headers.get("user-agent", ""),
        },
        "requestId": context.request_id,
        "routeKey": _STAGE,
        "stage": _STAGE,
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
        "timeEpoch": int(now * 1000),
    }


def _parameters(query: str) -> dict[str, str]:
    from urllib.parse import parse_qsl

    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _body(event: Event) -> tuple[bool, str]:
    """Return the body and whether it is in base64: all but what is known to be text."""
    kind = event.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = kind.startswith("text/") or kind in _TEXTS or kind.endswith(("+json", "+xml"))
    if is_text or not kind:
        try:
            return False, event.body.decode()
        except UnicodeDecodeError:
            pass  # whatever it is called, a string of JSON cannot hold it
    return True, b2a_base64(event.body, newline=False).decode()


def _said(result: dict[str, Any]) -> Answer:
    fields = list((result.get("headers") or {}).items())
    if not any(str(name).lower() == "content-type" for name, _ in fields):
        fields.append(_TEXT)
    cookies = result.get("cookies") or []
    if not isinstance(cookies, list):
        raise BadReturn(f"cookies must be a list, not {type(cookies).__name__}")
    fields += [("Set-Cookie", cookie) for cookie in cookies]
    return Answer(_status(result["statusCode"]), checked_fields(fields), _content(result))


def _status(given: Any) -> int:
    try:
        status = int(given)
    except (TypeError, ValueError):
        status = 0
    if not 200 <= status <= 599:
        raise BadReturn(f"statusCode must be a number from 200 to 599, not {given!r}")
    return status


def _content(result: dict[str, Any]) -> bytes:
    body = result.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise BadReturn(f"body must be a string, not {type(body).__name__}: use json.dumps")
    if not result.get("isBase64Encoded"):
        return body.encode()
    try:
        return a2b_base64(body)
    except ValueError as error:
        raise BadReturn(f"isBase64Encoded is true and the body is no base64: {error}") from None
