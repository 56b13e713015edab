"""The events of a template's functions and state machines as Triggers. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.importing.sam import shapes
from torpor.importing.sam.naming import kubernetes_name, name_in
from torpor.importing.sam.notes import Notes
from torpor.importing.sam.routes import ANY, Route, Routes
from torpor.importing.sam.schedules import NoSchedule, schedule_of
from torpor.importing.sam.template import BadTemplate, understood
from torpor.resources.names import API_VERSION
from torpor.resources.trigger_rules import PathType

Json = Mapping[str, Any]
_INSTEAD: Mapping[str, str] = {
    "DynamoDB": "a Trigger with source.postgres tells of changed rows; or have the writer publish "
    "an event to a bus",
    "Kinesis": "a Trigger with source.kafka or source.redis reads a stream, in batches",
    "MSK": "a Trigger with source.kafka reads the topic: give its brokers and a Secret",
    "SelfManagedKafka": "a Trigger with source.kafka reads the topic: give its brokers",
    "MQ": "a Trigger with source.rabbitmq reads the queue: give its url and a Secret",
    "IoTRule": "a Trigger with source.mqtt reads the topics",
}
_FALSE = (False, "false", "False")
_LONGEST_PAUSE = 3600


@dataclass(frozen=True, slots=True)
class Target:
    """What an event goes to: `kind` is function or workflow."""

    kind: str
    name: str
    id: str


class Triggers:
    """Makes Triggers. `queues` has the properties of the template's queues by their names here."""

    def __init__(self, namespace: str, queues: Mapping[str, Json], notes: Notes) -> None:
        self.made: list[dict[str, Any]] = []
        self.routes = Routes(notes)
        self._namespace = namespace
        self._queues = queues
        self._notes = notes
        self._readers: dict[str, str] = {}
        self._kinds: Mapping[str, Callable[[Target, str, dict[str, Any]], None]] = {
            "Api": self._rest,
            "HttpApi": self._http,
            "SQS": self._queue,
            "S3": self._bucket,
            "Schedule": self._schedule,
            "ScheduleV2": self._schedule,
            "EventBridgeRule": self._rule,
            "CloudWatchEvent": self._rule,
            "SNS": self._topic,
        }

    def add(self, target: Target, name: str, event: Any) -> None:
        """Make the Trigger of one entry of Events, or say why there is none."""
        place = f"{target.id}.Events.{name}"
        if not isinstance(event, Mapping) or not isinstance(event.get("Properties") or {}, Mapping):
            raise BadTemplate(f"{place}: an event, and its Properties, must be objects")
        kind = str(event.get("Type"))
        make = self._kinds.get(kind)
        if make is None:
            instead = _INSTEAD.get(kind, "Torpor has no such source")
            self._notes.left_out(place, f"{kind}: {instead}")
            return
        if target.kind != "function" and kind in ("Api", "HttpApi", "SQS", "S3", "SNS"):
            self._notes.left_out(place, f"{kind}: write a Trigger with target.workflow by hand")
            return
        rest = dict(event.get("Properties") or {})
        with understood(place):
            make(target, name, rest)
        for left in rest:
            self._notes.left_out(f"{place}.{left}", "there is no such setting here")

    def http(self, function: str) -> None:
        """Make the Triggers of a function's routes, which `add` has collected."""
        for number, (address, methods) in enumerate(self.routes.addresses(function), start=1):
            source: dict[str, Any] = {"path": address.path}
            if address.path_type is not PathType.PREFIX:
                source["pathType"] = address.path_type.value
            if methods:
                source["methods"] = list(methods)
            name = f"{function}-http" + (f"-{number}" if number > 1 else "")
            target = {"function": {"name": function, "path": address.path}}
            self._make(name, {"source": {"http": source}, "target": target})

    def _make(self, name: str, spec: dict[str, Any]) -> None:
        meta = {"name": name, **({"namespace": self._namespace} if self._namespace else {})}
        body = {"apiVersion": API_VERSION, "kind": "Trigger", "metadata": meta, "spec": spec}
        self.made.append(body)

    def _rest(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        self._route(target, name, rest, "1.0")
        if rest.pop("RestApiId", None):
            text = "one gateway serves all: paths have no stage (such as /Prod) before them"
            self._notes.differs(f"{target.id}.Events.{name}", text)

    def _http(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        form = str(rest.pop("PayloadFormatVersion", "2.0"))
        rest.pop("ApiId", None)
        self._route(target, name, rest, form)

    def _route(self, target: Target, name: str, rest: dict[str, Any], form: str) -> None:
        path = str(rest.pop("Path", "$default"))
        method = str(rest.pop("Method", ANY)).upper()
        method = ANY if method in ("*", "X-AMAZON-APIGATEWAY-ANY-METHOD") else method
        self.routes.add(target.name, f"{target.id}.Events.{name}", Route(method, path, form))

    def _queue(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        place = f"{target.id}.Events.{name}"
        queue = name_in(str(rest.pop("Queue", "")))
        other = self._readers.setdefault(queue, place)
        if other != place:
            self._notes.left_out(place, f"{other} reads the queue {queue}; a queue has one Trigger")
            rest.clear()
            return
        batch: dict[str, Any] = {"size": int(rest.pop("BatchSize", 10))}
        window = rest.pop("MaximumBatchingWindowInSeconds", 0)
        if window:
            batch["windowSeconds"] = int(window)
        rest.pop("FunctionResponseTypes", None)  # an answer that names failures is always heeded
        spec = {
            "source": {"queue": {"name": queue}},
            "target": {target.kind: {"name": target.name}},
            "batch": batch,
            **self._redelivery(queue),
            **self._suspended(rest),
        }
        self._make(f"{target.name}-{kubernetes_name(name)}", spec)

    def _redelivery(self, queue: str) -> dict[str, Any]:
        """Return how often and for how long a queue's messages are tried, and what becomes of them.

        Without a RedrivePolicy SQS tries until a message is too old.
        """
        known = self._queues.get(queue, {})
        policy = _parsed(known.get("RedrivePolicy")) or {}
        pause = max(0.01, min(_LONGEST_PAUSE, float(known.get("VisibilityTimeout", 30))))
        age = int(known.get("MessageRetentionPeriod", 345_600))
        delivery = {
            "maxAttempts": min(1000, int(policy.get("maxReceiveCount", 1000))),
            "maxAgeSeconds": max(60, min(604_800, age)),
            "backoff": {"initialSeconds": pause, "maxSeconds": pause, "factor": 1, "jitter": 0},
        }
        target = policy.get("deadLetterTargetArn")
        if not target:
            return {"delivery": delivery}
        letters = {"target": {"queue": {"name": name_in(str(target))}}}
        return {"delivery": delivery, "deadLetter": letters}

    def _bucket(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        place = f"{target.id}.Events.{name}"
        events = rest.pop("Events", [])
        wanted = [events] if isinstance(events, str) else [str(it) for it in events]
        kinds = ["created"] * any("ObjectCreated" in it for it in wanted)
        kinds += ["removed"] * any("ObjectRemoved" in it for it in wanted)
        for it in wanted:
            if "ObjectCreated" not in it and "ObjectRemoved" not in it:
                self._notes.left_out(place, f"{it}: only objects made and removed are told of")
            elif not it.endswith(":*"):
                self._notes.differs(
                    place, f"{it}: every way of making or removing an object counts"
                )
        source: dict[str, Any] = {"bucket": str(rest.pop("Bucket", "")).rpartition(":")[2]}
        rules = ((rest.pop("Filter", None) or {}).get("S3Key") or {}).get("Rules") or []
        source |= {str(rule["Name"]).lower(): str(rule["Value"]) for rule in rules}
        source["events"] = kinds or ["created"]
        text = "the store must notify Torpor, or the source needs pollSeconds"
        self._notes.differs(place, text)
        self._plain(target, name, {"storage": source}, shapes.OBJECT, rest)

    def _schedule(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        place = f"{target.id}.Events.{name}"
        expression = str(rest.pop("Schedule", None) or rest.pop("ScheduleExpression", ""))
        zone = str(rest.pop("ScheduleExpressionTimezone", "UTC"))
        try:
            source = schedule_of(expression, zone)
        except NoSchedule as error:
            self._notes.left_out(place, str(error))
            rest.clear()
            return
        for told in ("Name", "Description", "RoleArn"):
            rest.pop(told, None)
        given = _parsed(rest.pop("Input", None))
        trigger = f"{target.name}-{kubernetes_name(name)}"
        transform = shapes.scheduled(trigger, given)
        if rest.pop("State", "ENABLED") == "DISABLED":
            rest["Enabled"] = False
        self._plain(target, name, {"schedule": dict(source)}, transform, rest)

    def _rule(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        bus = name_in(str(rest.pop("EventBusName", "default")))
        pattern = rest.pop("Pattern", None) or rest.pop("EventPattern", None) or {}
        given, transform = _parsed(rest.pop("Input", None)), shapes.EVENTBRIDGE
        if given is not None:
            transform = shapes.literal(given)
        if rest.pop("State", "ENABLED") == "DISABLED":
            rest["Enabled"] = False
        for told in ("RuleName", "Target"):
            rest.pop(told, None)
        place = f"{target.id}.Events.{name}"
        found = {"filter": {"pattern": self._pattern(pattern, place)}} if pattern else {}
        self._plain(target, name, {"bus": {"name": bus}}, transform, rest, found)

    def _pattern(self, pattern: Json, place: str) -> Json:
        """Return an EventBridge pattern over a CloudEvent."""
        names = {"detail-type": "type", "detail": "data", "source": "source", "id": "id"}
        for field in pattern.keys() - names.keys():
            text = f"{field}: events are of this installation alone; the pattern is without it"
            self._notes.left_out(f"{place}.Pattern", text)
        if any(str(source).startswith("aws.") for source in _listed(pattern.get("source"))):
            text = "AWS's own services tell nobody here of their events"
            self._notes.left_out(f"{place}.Pattern", text)
        return {names[it]: value for it, value in pattern.items() if it in names}

    def _topic(self, target: Target, name: str, rest: dict[str, Any]) -> None:
        arn = str(rest.pop("Topic", ""))
        source = {"bus": {"name": name_in(arn)}}
        text = "the topic is a bus: publish to it with `torpor publish` or EventBridge's PutEvents"
        self._notes.differs(f"{target.id}.Events.{name}", text)
        self._plain(target, name, source, shapes.published(arn), rest)

    def _plain(
        self,
        target: Target,
        name: str,
        source: Json,
        transform: Json,
        rest: dict[str, Any],
        more: Json | None = None,
    ) -> None:
        spec: dict[str, Any] = {"source": source, **(more or {}), "transform": transform}
        spec["target"] = {target.kind: {"name": target.name}}
        spec |= {**self._retries(rest), **self._suspended(rest)}
        self._make(f"{target.name}-{kubernetes_name(name)}", spec)

    def _retries(self, rest: dict[str, Any]) -> dict[str, Any]:
        policy, letters = rest.pop("RetryPolicy", None) or {}, rest.pop("DeadLetterConfig", None)
        found: dict[str, Any] = {}
        if "MaximumRetryAttempts" in policy:
            found["maxAttempts"] = int(policy["MaximumRetryAttempts"]) + 1
        if "MaximumEventAgeInSeconds" in policy:
            found["maxAgeSeconds"] = max(60, int(policy["MaximumEventAgeInSeconds"]))
        spec: dict[str, Any] = {"delivery": found} if found else {}
        if letters and letters.get("Arn"):
            queue = {"queue": {"name": name_in(str(letters["Arn"]))}}
            spec["deadLetter"] = {"target": queue}
        return spec

    def _suspended(self, rest: dict[str, Any]) -> dict[str, Any]:
        enabled = rest.pop("Enabled", True)
        return {"suspend": True} if enabled in _FALSE else {}


def entries(events: Any, place: str) -> Json:
    """Return the Events of a function or state machine; BadTemplate where they are no object."""
    if not isinstance(events or {}, Mapping):
        raise BadTemplate(f"{place}.Events: must be an object")
    return events or {}


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def _parsed(given: Any) -> Any:
    """Return an Input, which is JSON in a text, or a text."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given
