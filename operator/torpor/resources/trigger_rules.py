"""What the CRD's rules in CEL refuse of a Trigger, in the same words. Pure.

Said here as well for `torpor dev`, whose files no API server has seen, and for what was stored
before a rule was; a query or path that no request can have is said here only. That there is
exactly one source, target, filter and transform is said where they are parsed.
"""

from __future__ import annotations

import re
from enum import StrEnum

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields

_ONE_TIME = "give exactly one of cron (0 9 * * 1-5), every (15m) and at (2027-01-31T09:00:00Z)"
_NO_LOOKING = "secret is for looking into the bucket: add pollSeconds, or remove secret"
_NO_BATCH = (
    "batch is for functions and workflows: a bus or a queue takes events one by one; remove batch"
)
_NO_ANSWER = (
    "an http source whose target is a bus or a queue has nothing to answer with: set "
    "source.http.async to true"
)
_NO_QUERY = (
    "the requests of an http source bring their own query: remove the ? and what follows from "
    "target.function.path, or set source.http.async to true"
)
_NO_EVENTS = (
    "filter, transform, batch, ordering and dedupe are for events: with source.http set async to "
    "true, or remove them"
)
SAME_SOURCE = (
    "the kind of source, and the name of its bus or queue, cannot be changed: delete the Trigger "
    "and create it anew"
)
_OURS = "/function/ and /v1/namespaces/ are the gateway's own: choose another path"
_OWN_PATHS = ("/function/", "/v1/namespaces/")
_PATH = re.compile(r"/[-A-Za-z0-9._~!$&'()*+,=:@%/]*")
_HOST = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NO_DOTS = "a path must not have . or .. between its slashes: clients resolve them before they ask"
_FIFO_ORDER = (
    "a .fifo queue keeps the order of each MessageGroupId, which is the key partitionkey: remove "
    "ordering"
)
_FIFO_SUFFIX = ".fifo"
GROUP_KEY = "partitionkey"
"""The attribute of an event with the group that it keeps its order in: in SQS MessageGroupId."""
_FOR_EVENTS = ("filter", "transform", "batch", "ordering", "dedupe")


class PathType(StrEnum):
    """What an http source takes of its path; the words are those of Kubernetes' Ingress."""

    PREFIX = "Prefix"
    """The path and all below it, whole parts between slashes compared."""
    EXACT = "Exact"
    """The path alone, each character compared."""


def check_trigger(spec: Fields) -> None:
    """Refuse the first thing that goes against a rule."""
    source, target = spec.child("source"), spec.child("target")
    served = target.has("function") or target.has("workflow")
    if spec.has("batch") and not served:
        raise InvalidResource("spec.batch", _NO_BATCH)
    if source.has("schedule"):
        _check_schedule(source.child("schedule"))
    storage = source.child("storage")
    if storage.has("secret") and not storage.has("pollSeconds"):
        raise InvalidResource("spec.source.storage.secret", _NO_LOOKING)
    if source.has("http"):
        _check_http(spec, source.child("http"), target)
    backoff = spec.child("delivery").child("backoff")
    initial = backoff.number("initialSeconds", 1.0, low=0.01, high=3600)
    if initial > backoff.number("maxSeconds", 300.0, low=0.01, high=86_400):
        problem = "initialSeconds must not be more than maxSeconds"
        raise InvalidResource("spec.delivery.backoff", problem)


def ordering_key(spec: Fields) -> str | None:
    """Return the JMESPath of the key that order is kept by, None without one.

    A FIFO queue has always one, and no other; InvalidResource when it is to have another.
    """
    found = spec.child("ordering").required_text("key") if spec.has("ordering") else None
    queue = spec.child("source").child("queue").text("name", "")
    if not queue.endswith(_FIFO_SUFFIX):
        return found
    if found not in (None, GROUP_KEY):
        raise InvalidResource("spec.ordering.key", _FIFO_ORDER)
    return GROUP_KEY


def _check_schedule(schedule: Fields) -> None:
    if sum(schedule.has(name) for name in ("cron", "every", "at")) != 1:
        raise InvalidResource("spec.source.schedule", _ONE_TIME)


def _check_http(spec: Fields, http: Fields, target: Fields) -> None:
    path, host = http.text("path", "/"), http.text("host", "")
    http.choice("pathType", PathType, PathType.PREFIX)
    if path.startswith(_OWN_PATHS):
        raise InvalidResource("spec.source.http.path", _OURS)
    if not _PATH.fullmatch(path):
        raise InvalidResource("spec.source.http.path", f"must match {_PATH.pattern}")
    if not {".", ".."}.isdisjoint(path.split("/")):
        raise InvalidResource("spec.source.http.path", _NO_DOTS)
    if host and not _HOST.fullmatch(host):
        raise InvalidResource("spec.source.http.host", f"must match {_HOST.pattern}")
    if http.boolean("async", default=False):
        return
    if not (target.has("function") or target.has("workflow")):
        raise InvalidResource("spec.source.http.async", _NO_ANSWER)
    if "?" in target.child("function").text("path", "/"):
        raise InvalidResource("spec.target.function.path", _NO_QUERY)
    for name in _FOR_EVENTS:
        if spec.has(name) and spec.raw(name) != {}:
            raise InvalidResource(f"spec.{name}", _NO_EVENTS)
