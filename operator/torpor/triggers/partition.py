"""Which partition of its Trigger's inbox an event belongs to. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from torpor.resources.trigger import Trigger
from torpor.resources.trigger_rules import GROUP_KEY
from torpor.triggers.broker.names import partition_of
from torpor.triggers.event import Event, to_json
from torpor.triggers.transform.bounded_jmespath import compile_expression
from torpor.triggers.transform.result import Unfit


def partitioning(trigger: Trigger) -> Callable[[Event], int]:
    """Return the partition of each event: 0 without order by key.

    Events whose key is missing, or cannot be computed, have the key null, and keep their order
    among one another. ValueError when the Trigger's key is no JMESPath.
    """
    if trigger.ordering_key is None:
        return lambda _: 0
    expression = compile_expression(trigger.ordering_key)

    def partition(event: Event) -> int:
        return partition_of(_text(_value(event)))

    def _value(event: Event) -> Any:
        try:
            return expression.search(to_json(event))
        except Unfit:
            return None

    return partition


def partition_of_group(event: Event) -> int:
    """Return the partition of a FIFO queue, that of the key `partitionkey`: a MessageGroupId."""
    return partition_of(_text(event.attributes.get(GROUP_KEY)))


def _text(value: Any) -> str:
    """The same text for the same key, whatever its JSON type."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
