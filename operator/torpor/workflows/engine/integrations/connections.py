"""Connections: what `http:invoke` adds to a request so that the API knows who calls. Pure.

The fields are those of EventBridge's CreateConnection, so that what was made for AWS can be taken
over. Values are secrets: they are in no error and in no `repr`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

HOSTS: Final = "Hosts"
"""The one field that EventBridge has not: the hosts that the credentials may be sent to."""
_MOST_PARAMETERS = 100
_METHODS = ("GET", "POST", "PUT")
_ARN = re.compile(r"arn:[a-z-]+:events:[^:/]*:[^:/]*:connection/([.\-_A-Za-z0-9]{1,64})(/[^/]+)?")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

Object = Mapping[str, Any]


class ConnectionProblem(Exception):
    """A connection that cannot be used now; `error` is the Error Name that AWS has for it."""

    error = "Events.ConnectionResource.InternalError"


class NoConnection(ConnectionProblem):
    """The namespace has no connection of that name."""

    error = "Events.ConnectionResource.ResourceNotFound"


class BadConnection(ConnectionProblem):
    """What the installation says of a connection is wrong."""

    error = "Events.ConnectionResource.InvalidConnectionState"


class ConnectionDenied(ConnectionProblem):
    """The connection is not for the host that is called."""

    error = "Events.ConnectionResource.AccessDenied"


@dataclass(frozen=True, slots=True, repr=False)
class Parameters:
    """What is added to a request; each wins over what the request has of the same name."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, str] = field(default_factory=dict)

    def with_header(self, name: str, value: str) -> Parameters:
        """Return the same with this header, in place of one of that name in any spelling."""
        others = {of: text for of, text in self.headers.items() if of.lower() != name.lower()}
        return Parameters({**others, name: value}, self.query, self.body)


@dataclass(frozen=True, slots=True, repr=False)
class OAuth:
    """Where an access token comes from: a grant of client credentials (RFC 6749 section 4.4)."""

    endpoint: str
    method: str
    client_id: str
    client_secret: str
    parameters: Parameters


@dataclass(frozen=True, slots=True, repr=False)
class Connection:
    """What is added to every request; `hosts` are those that it is for, any when empty."""

    parameters: Parameters
    hosts: frozenset[str]
    oauth: OAuth | None = None

    def check(self, host: str) -> None:
        """Raise ConnectionDenied unless it may be used for requests to a host."""
        if self.hosts and host.lower() not in self.hosts:
            raise ConnectionDenied(f"the connection may not be used for requests to {host}")


def name_in_arn(arn: str) -> str:
    """Return the connection's name in its ARN; ValueError for what is no such ARN."""
    found = _ARN.fullmatch(arn)
    if found is None:
        raise ValueError(
            f"ConnectionArn must be arn:aws:events:REGION:ACCOUNT:connection/NAME/ID, not {arn!r}"
        )
    return found[1]


def basic(user: str, password: str) -> str:
    """Return the value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def parse_connection(content: bytes) -> Connection:
    """Return the connection that a JSON document describes; BadConnection names the wrong field."""
    try:
        document = orjson.loads(content)
    except ValueError:
        raise BadConnection("it is not JSON") from None
    top = _object(document, "the document")
    fields = _object(top.get("AuthParameters"), "AuthParameters")
    added = _parameters(fields.get("InvocationHttpParameters"), "InvocationHttpParameters")
    hosts = _hosts(top.get(HOSTS, []))
    match top.get("AuthorizationType"):
        case "BASIC":
            given = _object(fields.get("BasicAuthParameters"), "BasicAuthParameters")
            value = basic(_text(given, "Username"), _text(given, "Password"))
            return Connection(added.with_header("Authorization", value), hosts)
        case "API_KEY":
            given = _object(fields.get("ApiKeyAuthParameters"), "ApiKeyAuthParameters")
            name, value = _text(given, "ApiKeyName"), _text(given, "ApiKeyValue")
            _check_header(name, value, "ApiKeyAuthParameters")
            return Connection(added.with_header(name, value), hosts)
        case "OAUTH_CLIENT_CREDENTIALS":
            return Connection(added, hosts, _oauth(fields.get("OAuthParameters")))
    raise BadConnection("AuthorizationType must be BASIC, API_KEY or OAUTH_CLIENT_CREDENTIALS")


def _oauth(value: Any) -> OAuth:
    given = _object(value, "OAuthParameters")
    client = _object(given.get("ClientParameters"), "OAuthParameters.ClientParameters")
    endpoint, method = _text(given, "AuthorizationEndpoint"), _text(given, "HttpMethod")
    if not endpoint.startswith(("https://", "http://")):
        raise BadConnection("AuthorizationEndpoint must be an http or https URL")
    if method not in _METHODS:
        raise BadConnection(f"HttpMethod must be one of {', '.join(_METHODS)}")
    added = _parameters(given.get("OAuthHttpParameters"), "OAuthHttpParameters")
    return OAuth(endpoint, method, _text(client, "ClientID"), _text(client, "ClientSecret"), added)


def _parameters(value: Any, place: str) -> Parameters:
    given = _object({} if value is None else value, place)
    headers = _pairs(given, "HeaderParameters")
    for name, text in headers.items():
        _check_header(name, text, "HeaderParameters")
    query = _pairs(given, "QueryStringParameters")
    return Parameters(headers, query, _pairs(given, "BodyParameters"))


def _pairs(given: Object, name: str) -> dict[str, str]:
    items = given.get(name) or []
    if not isinstance(items, list) or len(items) > _MOST_PARAMETERS:
        raise BadConnection(f"{name} must be a list of at most {_MOST_PARAMETERS}")
    rows = [_object(item, name) for item in items]
    return {_text(row, "Key"): _text(row, "Value") for row in rows}


def _hosts(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadConnection(f"{HOSTS} must be a list of host names")
    return frozenset(item.lower() for item in value)


def _check_header(name: str, value: str, place: str) -> None:
    if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        raise BadConnection(f"{place} has a name or a value that no header can have")


def _object(value: Any, place: str) -> Object:
    if not isinstance(value, dict):
        raise BadConnection(f"{place} is missing or is not an object")
    return value


def _text(fields: Object, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadConnection(f"{name} is missing or is not a text")
    return value
