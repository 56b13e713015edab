"""Gives a handler of AWS Lambda the events that its template asked for. Written by `torpor import`.

It is beside your code, and _HANDLER names your own handler. SAM_ROUTES has the function's routes:
[method, path, payload format], as API Gateway matches them. What a queue sends comes in batches and
becomes an event with Records; all other events pass as they are.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
from hashlib import md5
from urllib.parse import parse_qsl, unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROUTES = json.loads(os.environ.get("SAM_ROUTES", "[]"))
_PARAMETER = re.compile(r"\{([A-Za-z0-9_.:-]+)(\+?)\}")


def _own() -> Any:
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), name)


_handler = _own()


def handler(event: Any, context: Any) -> Any:
    """Call the function's own handler with what Lambda would give it."""
    if isinstance(event, list):
        return _handler({"Records": [record(item) for item in event]}, context)
    if not _is_http(event):
        return _handler(event, context)
    found = route_of(event["requestContext"]["http"]["method"], event["rawPath"])
    if found is None:
        return {
            "statusCode": 404,
            "headers": {"content-type": "application/json"},
            "body": '{"message":"Not Found"}',
        }
    method, path, form, parameters = found
    if form == "1.0":
        return answer(_handler(first_format(event, path, parameters), context))
    event["routeKey"] = event["requestContext"]["routeKey"] = (
        "$default" if path == "$default" else f"{method} {path}"
    )
    if parameters:
        event["pathParameters"] = parameters
    return _handler(event, context)


def route_of(method: str, path: str) -> tuple[str, str, str, dict[str, str]] | None:
    """Return the route that a request takes, and its parameters: the most specific one."""
    for own, template, form in sorted(_ROUTES, key=_rank):
        if own not in ("ANY", method):
            continue
        if template == "$default":
            return own, template, form, {}
        found = _pattern(template).fullmatch(path.rstrip("/") or "/")
        if found:
            names = [name for name, _ in _PARAMETER.findall(template)]
            values = [unquote(value) for value in found.groups()]
            return own, template, form, dict(zip(names, values, strict=True))
    return None


def _rank(route: list[str]) -> tuple[bool, bool, int, int, bool]:
    """Exact routes are first, greedy ones last, those with more before their parameter earlier."""
    method, path, _ = route
    before = len(path.partition("{")[0])
    return path == "$default", "+}" in path, path.count("{"), -before, method == "ANY"


def _pattern(template: str) -> re.Pattern[str]:
    text, at = "", 0
    for found in _PARAMETER.finditer(template):
        text += re.escape(template[at : found.start()]) + ("(.+)" if found[2] else "([^/]+)")
        at = found.end()
    rest = template[at:]
    return re.compile(text + re.escape(rest.rstrip("/") if at or rest != "/" else rest))


def _is_http(event: Any) -> bool:
    return isinstance(event, dict) and "http" in (event.get("requestContext") or {})


def first_format(event: dict[str, Any], path: str, parameters: dict[str, str]) -> dict[str, Any]:
    """Return the event of a REST API: API Gateway's payload format 1.0."""
    http, context = event["requestContext"]["http"], event["requestContext"]
    headers = dict(event["headers"])
    if event.get("cookies"):
        headers["cookie"] = "; ".join(event["cookies"])
    query = parse_qsl(event["rawQueryString"], keep_blank_values=True)
    several: dict[str, list[str]] = {}
    for name, value in query:
        several.setdefault(name, []).append(value)
    return {
        "version": "1.0",
        "resource": path,
        "path": event["rawPath"],
        "httpMethod": http["method"],
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": dict(query) or None,
        "multiValueQueryStringParameters": several or None,
        "pathParameters": parameters or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": context["accountId"],
            "apiId": context["apiId"],
            "domainName": context["domainName"],
            "domainPrefix": context["domainPrefix"],
            "httpMethod": http["method"],
            "identity": {"sourceIp": http["sourceIp"], "userAgent": http["userAgent"]},
            "path": event["rawPath"],
            "protocol": http["protocol"],
            "requestId": context["requestId"],
            "requestTime": context["time"],
            "requestTimeEpoch": context["timeEpoch"],
            "resourcePath": path,
            "stage": "Prod",
        },
        "body": event.get("body"),
        "isBase64Encoded": event["isBase64Encoded"],
    }


def answer(result: Any) -> Any:
    """Return what a REST API makes of a result: multiValueHeaders, and JSON as the usual type."""
    if not isinstance(result, dict) or "statusCode" not in result:
        return result
    headers = {str(name).lower(): value for name, value in (result.get("headers") or {}).items()}
    cookies = [headers.pop("set-cookie")] if "set-cookie" in headers else []
    for name, values in (result.get("multiValueHeaders") or {}).items():
        if name.lower() == "set-cookie":
            cookies = list(values)
        else:
            headers[name.lower()] = ", ".join(map(str, values))
    headers.setdefault("content-type", "application/json")
    return {**result, "headers": headers, "cookies": cookies}


def record(event: dict[str, Any]) -> dict[str, Any]:
    """Return one CloudEvent of a queue as a record of SQS."""
    data = event.get("data")
    if "data_base64" in event:
        data = base64.b64decode(event["data_base64"]).decode(errors="replace")
    body = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    queue = str(event.get("source", "")).rpartition("/")[2]
    attributes = {"ApproximateReceiveCount": "1"}
    if "partitionkey" in event:
        attributes["MessageGroupId"] = event["partitionkey"]
    return {
        "messageId": event["id"],
        "receiptHandle": event["id"],
        "body": body,
        "attributes": attributes,
        "messageAttributes": message_attributes(event.get("sqsattributes")),
        "md5OfBody": md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue}",
        "awsRegion": "us-east-1",
    }


def message_attributes(text: Any) -> dict[str, Any]:
    """Return a message's attributes with their names as Lambda spells them."""
    found = json.loads(text) if isinstance(text, str) and text else {}
    return {
        name: {key[:1].lower() + key[1:]: value for key, value in facts.items()}
        for name, facts in found.items()
    }
