"""The CloudEvent that every source makes and every target gets, and its way in and out of bytes.

What enters is checked against CloudEvents 1.0 once, here; inside, nothing checks again.
"""

from torpor.triggers.event.http_binding import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    from_http,
    to_http_binary,
)
from torpor.triggers.event.json_format import (
    from_batch,
    from_json,
    from_structured,
    to_batch,
    to_json,
    to_structured,
)
from torpor.triggers.event.model import NO_DATA, Event, Json, NoData, make_event
from torpor.triggers.event.rules import Attribute, MalformedEvent

__all__ = [
    "BATCH_CONTENT_TYPE",
    "NO_DATA",
    "STRUCTURED_CONTENT_TYPE",
    "Attribute",
    "Event",
    "Json",
    "MalformedEvent",
    "NoData",
    "from_batch",
    "from_http",
    "from_json",
    "from_structured",
    "make_event",
    "to_batch",
    "to_http_binary",
    "to_json",
    "to_structured",
]
