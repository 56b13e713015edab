"""EventBridge's PutEvents: its entries become CloudEvents on buses.

| entry | CloudEvent |
| --- | --- |
| DetailType | `type` |
| Source | `source`, percent-encoded where a URI-reference must be |
| Detail | `data` (application/json) |
| Time | `time`; without it the time of the call |
| Resources | `awsresources`: a JSON array |
| TraceHeader | `traceparent` |
| EventBusName (name or ARN) | the bus: `name` in the namespace default, or `namespace.name` |

Patterns see both forms: `triggers/filter/view.py`. Limits are AWS's: 10 entries and 1 MiB a call.
Source: API reference of EventBridge, "PutEvents"; user guide, "Calculating PutEvents event size".
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from torpor.aws.errors import Refused, validation
from torpor.aws.http import Dialect
from torpor.aws.shapes import Group, Many, Number, Shape, Text, check
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.trace_context import whole
from torpor.triggers.api.ingress import Ingress
from torpor.triggers.api.parts import ApiParts, Caller
from torpor.triggers.api.places import bus_of
from torpor.triggers.broker.names import InvalidName
from torpor.triggers.event import Event, MalformedEvent, make_event
from torpor.triggers.filter.pattern import compile_pattern
from torpor.triggers.filter.pattern_error import PatternError
from torpor.triggers.filter.view import ACCOUNT, REGION, RESOURCES

TARGET = "AWSEvents."
DIALECT = Dialect("application/x-amz-json-1.1", "com.amazonaws.events#")
MAX_ENTRIES = 10
MAX_BYTES = 1 << 20
DEFAULT_BUS = "default"
_TIME_BYTES = 14
_URI_CHARACTERS = "/:?#[]@!$&'()*+,;=-._~"
_CALLS = uuid.UUID("3a9d1c55-5d0e-4f3e-9d5c-0b7c3f2a6e10")
_XRAY = re.compile(
    r"Root=1-(?P<high>[0-9a-f]{8})-(?P<low>[0-9a-f]{24})(?:;Parent=(?P<parent>[0-9a-f]{16}))?"
    r"(?:;Sampled=(?P<sampled>[01]))?"
)
_REQUIRED = ("Source", "DetailType", "Detail")

_ENTRY: Mapping[str, Shape] = {
    "Time": Number(fraction=True),
    "Source": Text(),
    "Resources": Many(Text()),
    "DetailType": Text(),
    "Detail": Text(hidden=True),
    "EventBusName": Text(1, 1600),
    "TraceHeader": Text(1, 500),
}
_PUT_EVENTS = Group(
    {"Entries": Many(Group(_ENTRY), 1, MAX_ENTRIES, show=lambda _: "PutEventsRequestEntry")},
    ("Entries",),
)
_TEST = Group(
    {"EventPattern": Text(0, 4096), "Event": Text(hidden=True)}, ("EventPattern", "Event")
)


@dataclass(frozen=True, slots=True)
class Bad:
    """Why an entry is not taken, by AWS's code and wording."""

    code: str
    message: str

    def to_json(self) -> dict[str, Any]:
        """Return the entry of the answer."""
        return {"ErrorCode": self.code, "ErrorMessage": self.message}


@dataclass(frozen=True, slots=True)
class Put:
    """An entry that can be taken: an event for a bus."""

    bus: FunctionKey
    event: Event


class EventBridge:
    """The calls of the service that exist here."""

    def __init__(self, parts: ApiParts, ingress: Ingress) -> None:
        self._parts = parts
        self._ingress = ingress

    async def call(self, action: str, request: Any, caller: Caller) -> dict[str, Any]:
        """Do one call; Refused with AWS's code when it cannot be done."""
        if action == "PutEvents":
            return await self._put_events(request, caller)
        if action == "TestEventPattern":
            return try_event_pattern(request)
        raise Refused("UnknownOperationException", f"Unknown operation: '{TARGET}{action}'")

    async def _put_events(self, request: Any, caller: Caller) -> dict[str, Any]:
        entries = check(_PUT_EVENTS, request)["Entries"]
        _check_whole(entries)
        settings = self._parts.settings
        now = self._parts.wall()
        read = [
            _traced(read_entry(entry, event_id, now, settings.account, settings.region), caller)
            for entry, event_id in zip(entries, self._ids(len(entries), caller), strict=True)
        ]
        results = [each if isinstance(each, Bad) else None for each in read]
        for bus in dict.fromkeys(each.bus for each in read if isinstance(each, Put)):
            failed = await self._publish(
                bus, [each.event for each in read if isinstance(each, Put) and each.bus == bus]
            )
            for number, each in enumerate(read):
                if failed is not None and isinstance(each, Put) and each.bus == bus:
                    results[number] = failed
        return _answer(read, results)

    def _ids(self, count: int, caller: Caller) -> list[str]:
        if not caller.idempotency_key:
            return [self._parts.new_id() for _ in range(count)]
        return [
            str(uuid.uuid5(_CALLS, f"{number} {caller.idempotency_key}")) for number in range(count)
        ]

    async def _publish(self, bus: FunctionKey, events: Sequence[Event]) -> Bad | None:
        """The entries of one bus fail together, and may be sent again."""
        try:
            await self._ingress.to_bus(bus, events)
        except Refused as refused:
            return Bad("ThrottlingException", refused.message)
        except TorporError as error:
            return Bad("InternalFailure", str(error))
        return None


def read_entry(
    entry: Mapping[str, Any], event_id: str, now: float, account: str, region: str
) -> Put | Bad:
    """Return what an entry puts where, or what is wrong with it."""
    for name in _REQUIRED:
        if not entry.get(name):
            return _invalid(name, f"{name} is a required argument.")
    if str(entry["Source"]).startswith("aws."):
        return Bad("NotAuthorizedForSourceException", "Not authorized for the source.")
    detail = _object(entry["Detail"])
    if detail is None:
        return Bad("MalformedDetail", "Detail is malformed.")
    resources = entry.get("Resources") or []
    try:
        event = make_event(
            id=event_id,
            source=quote(entry["Source"], safe=_URI_CHARACTERS),
            type=entry["DetailType"],
            time=_time(entry.get("Time") or now),
            datacontenttype="application/json",
            data=detail,
            extensions={
                ACCOUNT: account,
                REGION: region,
                RESOURCES: orjson.dumps(resources).decode() if resources else None,
                "traceparent": traceparent(entry.get("TraceHeader", "")),
            },
        )
        return Put(_bus(entry.get("EventBusName", DEFAULT_BUS)), event)
    except InvalidName as error:
        return _invalid("EventBusName", str(error))
    except (MalformedEvent, OverflowError, ValueError, OSError) as error:
        return Bad("InvalidArgument", str(error))


def _traced(read: Put | Bad, caller: Caller) -> Put | Bad:
    """With the trace of the call, where the entry brings none."""
    if isinstance(read, Bad) or caller.trace is None or read.event.traceparent is not None:
        return read
    trace = traceparent(caller.trace)
    return Put(read.bus, read.event.with_attributes({"traceparent": trace}))


def size_bytes(entry: Mapping[str, Any]) -> int:
    """Return what an entry counts as: the time 14 bytes, the texts their UTF-8."""
    texts = [entry.get(name) or "" for name in _REQUIRED] + list(entry.get("Resources") or [])
    return (_TIME_BYTES if entry.get("Time") else 0) + sum(len(text.encode()) for text in texts)


def traceparent(header: str) -> str | None:
    """Return the W3C traceparent of X-Ray's header, or of one that is in that form already."""
    if whole(header):
        return header
    found = _XRAY.search(header)
    if found is None or not found["parent"]:
        return None
    return f"00-{found['high']}{found['low']}-{found['parent']}-0{found['sampled'] or '0'}"


def try_event_pattern(request: Any) -> dict[str, Any]:
    """Return whether a pattern matches an event in EventBridge's own form."""
    given = check(_TEST, request)
    event = _object(given["Event"])
    pattern = _object(given["EventPattern"])
    if event is None:
        raise validation("Parameter Event is not valid.")
    if pattern is None:
        raise Refused(
            "InvalidEventPatternException", "Event pattern is not valid. Reason: not JSON"
        )
    try:
        return {"Result": compile_pattern(pattern).matches(event)}
    except PatternError as error:
        raise Refused("InvalidEventPatternException", str(error)) from error


def _check_whole(entries: Sequence[Mapping[str, Any]]) -> None:
    if not any(all(entry.get(name) for name in _REQUIRED) for entry in entries):
        missing = next(name for name in _REQUIRED if not entries[0].get(name))
        bad = _invalid(missing, f"{missing} is a required argument.")
        raise validation(bad.message)
    if sum(map(size_bytes, entries)) > MAX_BYTES:
        raise validation("Total size of the entries in the request is over the limit.")


def _answer(read: Sequence[Put | Bad], failures: Sequence[Bad | None]) -> dict[str, Any]:
    entries = [_told(failure or each) for each, failure in zip(read, failures, strict=True)]
    return {
        "FailedEntryCount": sum(failure is not None for failure in failures),
        "Entries": entries,
    }


def _told(result: Put | Bad) -> dict[str, Any]:
    return result.to_json() if isinstance(result, Bad) else {"EventId": result.event.id}


def _bus(name: str) -> FunctionKey:
    if not name.startswith("arn:"):
        return bus_of(name)
    kind, separator, plain = name.split(":", 5)[-1].partition("/")
    if kind != "event-bus" or not separator:
        raise InvalidName(f"{name[:200]!r} is not the ARN of an event bus")
    return bus_of(plain)


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _invalid(name: str, reason: str) -> Bad:
    return Bad("InvalidArgument", f"Parameter {name} is not valid. Reason: {reason}")
