"""The request of an `http:invoke` task: read from its arguments, joined with a connection's. Pure.

Where both have the same name, the connection wins, as on AWS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from multidict import CIMultiDict
from yarl import URL

from torpor.expressions.values import json_text
from torpor.workflows.engine.integrations.connections import Parameters, name_in_arn

FORM = "application/x-www-form-urlencoded"
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
"""The methods that an HTTP task may use (Step Functions, "Call HTTPS APIs")."""
_CONNECTION_HEADERS = frozenset(
    "connection content-length expect host keep-alive proxy-connection te trailer "  # noqa: SIM905
    "transfer-encoding upgrade".split()
)
"""What the client says of the connection and of the body's length (RFC 9110, RFC 9112)."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")


class ArrayFormat(StrEnum):
    """How the items of an array are named in a form (Transform.RequestEncodingOptions)."""

    INDICES = "INDICES"
    REPEAT = "REPEAT"
    COMMAS = "COMMAS"
    BRACKETS = "BRACKETS"


@dataclass(frozen=True, slots=True, repr=False)
class Call:
    """One request; a body is text, a JSON value, or None; `arrays` is set for a form."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: Any = None
    arrays: ArrayFormat | None = None
    connection: str | None = None

    def joined(self, added: Parameters) -> Call:
        """Return the call with a connection's parameters; ValueError if the body is no object."""
        headers: CIMultiDict[str] = CIMultiDict(self.headers)
        headers.update(added.headers)
        url = self.url.update_query(dict(added.query)) if added.query else self.url
        return replace(self, url=url, headers=headers, body=_joined_body(self.body, added.body))

    def shown(self) -> dict[str, str]:
        """Return the members of `inspectionData.request`."""
        headers, body = self.encoded()
        return {
            "protocol": self.url.scheme,
            "method": self.method,
            "url": str(self.url),
            "headers": header_text(headers.items()),
            **({} if body is None else {"body": body.decode()}),
        }

    def encoded(self) -> tuple[CIMultiDict[str], bytes | None]:
        """Return the headers and the body as they are sent."""
        headers: CIMultiDict[str] = CIMultiDict(self.headers)
        if self.body is None:
            return headers, None
        if self.arrays is not None:
            headers.setdefault("Content-Type", FORM)
            return headers, _form(self.body, self.arrays).encode()
        if isinstance(self.body, str):
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
            return headers, self.body.encode()
        headers.setdefault("Content-Type", "application/json")
        return headers, json_text(self.body).encode()


def read_call(given: Mapping[str, Any], key: str) -> Call:
    """Return what a task's arguments ask for; ValueError says what is wrong with them.

    `key` is the task's, sent as `Idempotency-Key`.
    """
    method = given.get("Method", "GET")
    if method not in METHODS:
        raise ValueError(f"Method must be one of {', '.join(METHODS)}")
    url = _url(given.get("ApiEndpoint"))
    query = _object(given, "QueryParameters")
    if query:
        url = url.extend_query([*_query(query)])
    headers: CIMultiDict[str] = CIMultiDict({"Idempotency-Key": key})
    headers.update(_header(name, value) for name, value in _object(given, "Headers").items())
    return Call(
        method,
        url,
        headers,
        given.get("RequestBody"),
        _arrays(_object(given, "Transform")),
        _connection(given),
    )


def header_text(fields: Iterable[tuple[str, str]]) -> str:
    """Return header fields as TestState shows them."""
    return "[" + ", ".join(f"{name}: {value}" for name, value in fields) + "]"


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a member that is an object; an empty one where there is none."""
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a JSON object, not {json_text(value)}")
    return value


def _url(endpoint: Any) -> URL:
    if not isinstance(endpoint, str) or _NOT_IN_URL.search(endpoint):
        raise ValueError(f"ApiEndpoint must be an http or https URL, not {json_text(endpoint)}")
    url = URL(endpoint)
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise ValueError(f"ApiEndpoint must be an http or https URL, not {str(url)!r}")
    return url


def _query(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, _plain("QueryParameters", name, one)


def _header(name: str, value: Any) -> tuple[str, str]:
    if name.lower() in _CONNECTION_HEADERS:
        raise ValueError(f"Headers: {name} is the connection's own and cannot be set")
    text = _plain("Headers", name, value)
    if not _HEADER_NAME.fullmatch(name) or _CONTROL.search(text):
        raise ValueError(f"Headers: {json_text(name)} has characters that no header can have")
    return name, text


def _plain(member: str, name: str, value: Any) -> str:
    if value is None or isinstance(value, list | Mapping):
        what = "a text, a number or a boolean"
        raise ValueError(f"{member}: {json_text(name)} must be {what}, not {json_text(value)}")
    return value if isinstance(value, str) else json_text(value)


def _connection(given: Mapping[str, Any]) -> str | None:
    for member in ("InvocationConfig", "Authentication"):
        config = _object(given, member)
        if "ConnectionArn" in config:
            return name_in_arn(str(config["ConnectionArn"]))
    return None


def _arrays(transform: Mapping[str, Any]) -> ArrayFormat | None:
    encoding = transform.get("RequestBodyEncoding", "NONE")
    if encoding not in ("NONE", "URL_ENCODED"):
        given = json_text(encoding)
        raise ValueError(f"Transform: RequestBodyEncoding is NONE or URL_ENCODED, not {given}")
    if encoding == "NONE":
        return None
    options = _object(transform, "RequestEncodingOptions")
    named = options.get("ArrayFormat", ArrayFormat.INDICES)
    try:
        return ArrayFormat(named)
    except ValueError:
        known = ", ".join(ArrayFormat)
        raise ValueError(f"Transform: the ArrayFormat {named!r} is none of {known}") from None


def _joined_body(body: Any, added: Mapping[str, str]) -> Any:
    if not added:
        return body
    if body is not None and not isinstance(body, Mapping):
        raise ValueError(
            "RequestBody must be a JSON object: the connection has body parameters to add to it"
        )
    return {**(body or {}), **added}


def _form(body: Any, arrays: ArrayFormat) -> str:
    if not isinstance(body, Mapping):
        raise ValueError("RequestBody must be a JSON object to be sent as a form")
    fields = (one for name, value in body.items() for one in _fields(str(name), value, arrays))
    return "&".join(f"{quote(name, safe='')}={value}" for name, value in fields)


def _fields(name: str, value: Any, arrays: ArrayFormat) -> Iterator[tuple[str, str]]:
    """The fields of a value; names as they are, values encoded."""
    if isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _fields(f"{name}[{inner}]", one, arrays)
    elif not isinstance(value, list):
        yield name, _scalar(value)
    elif arrays is ArrayFormat.COMMAS:
        yield name, ",".join(_scalar(one) for one in value)
    else:
        for index, one in enumerate(value):
            yield from _fields(name + _SUFFIX[arrays].format(index), one, arrays)


_SUFFIX = {ArrayFormat.INDICES: "[{}]", ArrayFormat.REPEAT: "", ArrayFormat.BRACKETS: "[]"}


def _scalar(value: Any) -> str:
    return quote(value if isinstance(value, str) else json_text(value), safe="")
