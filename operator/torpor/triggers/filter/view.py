"""An event as patterns see it. Pure.

What came by PutEvents has, beside its CloudEvents members, those of an EventBridge event, so that a
pattern written for EventBridge matches here too: `detail-type`, `detail`, `account`, `region` and
`resources`. Its `source` is seen as it was given, where CloudEvents had to have it percent-encoded.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote

import orjson

from torpor.triggers.event import Event, to_json

ACCOUNT: Final = "awsaccount"
"""The attribute that only events of PutEvents have."""
REGION: Final = "awsregion"
RESOURCES: Final = "awsresources"
"""A JSON array, left out when it is empty."""


def seen(event: Event) -> dict[str, Any]:
    """Return what a pattern is held against."""
    members = to_json(event)
    if ACCOUNT not in members:
        return members
    return {
        **members,
        "source": unquote(event.source),
        "detail-type": event.type,
        "detail": members.get("data"),
        "account": members[ACCOUNT],
        "region": members.get(REGION),
        "resources": _listed(members.get(RESOURCES)),
    }


def _listed(resources: Any) -> list[Any]:
    """Anybody may have written the attribute: what is no array has no items."""
    try:
        found = orjson.loads(resources)
    except (orjson.JSONDecodeError, TypeError):
        return []
    return found if isinstance(found, list) else []
