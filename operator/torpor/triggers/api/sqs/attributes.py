"""Message attributes: their rules, and the digest by which SDKs compare them. Pure.

Source: Developer guide of SQS, "Calculating the MD5 message digest for message attributes".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from torpor.triggers.api.sqs import errors

MAX_ATTRIBUTES = 10
_NAME = re.compile(r"(?!aws\.|amazon\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", re.IGNORECASE)
_TYPE = re.compile(r"(String|Number|Binary)(\..{1,249})?")
_STRING, _BINARY = b"\x01", b"\x02"

Attributes = Mapping[str, Mapping[str, str]]
"""By name: DataType and one of StringValue and BinaryValue (base64)."""


def check_attributes(given: Mapping[str, Any]) -> Attributes:
    """Return the attributes as they are kept; refuses what SQS does not take."""
    if len(given) > MAX_ATTRIBUTES:
        raise errors.invalid(
            "MessageAttributes", len(given), f"A message has at most {MAX_ATTRIBUTES} attributes."
        )
    return {name: _checked(name, value) for name, value in given.items()}


def md5_of_text(text: str) -> str:
    """Return the MD5 of a message's body."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def md5_of_attributes(attributes: Attributes) -> str:
    """Return the digest of message attributes."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        parts = [name.encode(), attribute["DataType"].encode()]
        for part in parts:
            digest.update(_sized(part))
        digest.update(_valued(attribute))
    return digest.hexdigest()


def size_bytes(attributes: Attributes) -> int:
    """Return what the attributes count for in a message's size."""
    return sum(
        len(name.encode()) + len(attribute["DataType"]) + len(_value(attribute))
        for name, attribute in attributes.items()
    )


def chosen(attributes: Attributes, patterns: list[str]) -> Attributes:
    """Return the attributes that a receiver asks for: names, `prefix.*`, `.*` or All."""
    if "All" in patterns or ".*" in patterns:
        return attributes
    prefixes = tuple(each.removesuffix("*") for each in patterns if each.endswith(".*"))
    return {
        name: attribute
        for name, attribute in attributes.items()
        if name in patterns or (prefixes and name.startswith(prefixes))
    }


def _checked(name: str, value: Any) -> Mapping[str, str]:
    if _NAME.fullmatch(name) is None or len(name) > 256:
        raise errors.invalid("MessageAttributeName", name[:300], "It is no name of an attribute.")
    if not isinstance(value, dict):
        raise errors.unreadable(f"MessageAttributes.{name}")
    kind = value.get("DataType")
    if not isinstance(kind, str) or _TYPE.fullmatch(kind) is None:
        text = f"The message attribute '{name}' has an invalid message attribute type."
        raise errors.bad_message_attribute(text)
    member = "BinaryValue" if kind.startswith("Binary") else "StringValue"
    content = value.get(member)
    if not isinstance(content, str) or not content:
        text = f"The message attribute '{name}' must contain a non-empty {member} of type {kind}."
        raise errors.bad_message_attribute(text)
    if member == "BinaryValue":
        _check_base64(name, content)
    elif kind.startswith("Number"):
        _check_number(name, content)
    return {"DataType": kind, member: content}


def _check_base64(name: str, content: str) -> None:
    try:
        base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise errors.unreadable(f"MessageAttributes.{name}.BinaryValue") from None


def _check_number(name: str, content: str) -> None:
    try:
        float(content)
    except ValueError:
        text = f"Can't cast the value of message (user) attribute '{name}' to a number."
        raise errors.bad_message_attribute(text) from None


def _valued(attribute: Mapping[str, str]) -> bytes:
    kind = _BINARY if "BinaryValue" in attribute else _STRING
    return kind + _sized(_value(attribute))


def _value(attribute: Mapping[str, str]) -> bytes:
    if "BinaryValue" in attribute:
        return base64.b64decode(attribute["BinaryValue"])
    return attribute["StringValue"].encode()


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
