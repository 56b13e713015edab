"""JSON texts in requests: parsed once, within the quota, refused in the words AWS has for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from torpor.aws.errors import Refused, validation
from torpor.expressions.values import parse_json
from torpor.workflows.asl.payload import Payload

_VALUES = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_EXPECTED = {
    "Expecting value": f"expected a valid value {_VALUES}",
    "Expecting property name enclosed in double quotes": (
        "was expecting double-quote to start field name"
    ),
    "Expecting ',' delimiter": "was expecting comma to separate entries",
    "Expecting ':' delimiter": "was expecting a colon to separate field name and value",
}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_payload(
    text: str, member: str, most_bytes: int | None, refuse: Callable[[str], Refused]
) -> Payload:
    """The JSON value of a member's text; the text itself is kept as it was given.

    `most_bytes` is the quota in bytes of UTF-8; `refuse` makes the refusal from its reason.
    """
    if most_bytes is not None and len(text.encode("utf-8", "surrogatepass")) > most_bytes:
        raise validation(
            f"1 validation error detected: Value at '{member}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {most_bytes}"
        )
    try:
        value = parse_json(text)
    except json.JSONDecodeError as wrong:
        raise refuse(_reason(wrong)) from None
    except ValueError as wrong:
        raise refuse(str(wrong)) from None
    if _SURROGATE.search(text) and not _is_encodable(value):
        raise refuse("Unpaired surrogate in a string")
    return Payload(value, text)


def _is_encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(wrong: json.JSONDecodeError) -> str:
    """What is wrong, as AWS's parser (Jackson) says it."""
    text = wrong.doc[wrong.pos :]
    if not text.strip():
        return "Unexpected end-of-input" if wrong.doc.strip() else "Invalid execution input."
    word = re.match(r"[A-Za-z_$][\w$]*", text)
    if word and wrong.msg in ("Expecting value", "Extra data"):
        return f"Unrecognized token '{word[0]}': was expecting {_VALUES}"
    expected = _EXPECTED.get(wrong.msg, wrong.msg)
    return f"Unexpected character ('{text[0]}' (code {ord(text[0])})): {expected}"
