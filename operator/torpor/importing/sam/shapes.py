"""What AWS's services hand to a function for an event, as transforms of Torpor's events. Pure.

Source: AWS Lambda Developer Guide, the example event of each service, and the EventBridge User
Guide, "Event structure".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.importing.sam.naming import ACCOUNT, REGION

Transform = Mapping[str, Any]

EVENTBRIDGE: Transform = {
    "input": {
        "version": "0",
        "id": "${id}",
        "detail-type": "${type}",
        "source": "${source}",
        "account": ACCOUNT,
        "time": "${time}",
        "region": REGION,
        "resources": [],
        "detail": "${data}",
    }
}
_OBJECT = """{"Records": [{
  "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": time,
  "eventName": data.eventName ? $replace(data.eventName, /^s3:/, "")
    : $contains(type, "removed") ? "ObjectRemoved:Delete" : "ObjectCreated:Put",
  "s3": {"s3SchemaVersion": "1.0",
    "bucket": {"name": data.bucket, "arn": "arn:aws:s3:::" & data.bucket},
    "object": {"key": $replace($encodeUrlComponent(data.key), "%2F", "/"), "size": data.size,
      "eTag": data.etag, "versionId": data.versionId, "sequencer": data.sequencer}}}]}"""
OBJECT: Transform = {"jsonata": _OBJECT}


def scheduled(trigger: str, given: Any) -> Transform:
    """Return what a schedule hands over: its Input, or EventBridge's event of a rule."""
    if given is not None:
        return {"input": _literal(given)}
    event = {
        "version": "0",
        "id": "${id}",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": "${time}",
        "region": REGION,
        "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{trigger}"],
        "detail": {},
    }
    return {"input": event}


def published(topic_arn: str) -> Transform:
    """Return what SNS hands over for an event of the bus that stands for a topic."""
    text = f"""{{"Records": [{{
  "EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": "{topic_arn}:torpor",
  "Sns": {{"Type": "Notification", "MessageId": id, "TopicArn": "{topic_arn}",
    "Subject": subject ? subject : null,
    "Message": $type(data) = "string" ? data : $string(data), "Timestamp": time,
    "MessageAttributes": {{}}}}}}]}}"""
    return {"jsonata": text}


def literal(given: Any) -> Transform:
    """Return a transform whose value is always this."""
    return {"input": _literal(given)}


def _literal(value: Any) -> Any:
    """Return a value in which no text is an expression."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [_literal(item) for item in value]
    if isinstance(value, dict):
        return {name: _literal(item) for name, item in value.items()}
    return value
