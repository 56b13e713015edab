"""The way into a Trigger's inbox, the same from a source, a bus and a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from torpor.resources.trigger import Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.publishing import Outgoing, Publisher
from torpor.triggers.event import Event
from torpor.triggers.filter.compiled import CompiledFilter, compile_filter
from torpor.triggers.partition import partitioning

PLACE: Final = "Torpor-Place"
"""The header with the place of an ordered event on its bus, which it keeps when routed again."""
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entrance:
    """What decides whether, and where, an event enters a Trigger's inbox."""

    trigger: Trigger
    filter: CompiledFilter
    _partition: Callable[[Event], int]

    @property
    def ordered(self) -> bool:
        """Whether what enters has to stay in order."""
        return self.trigger.ordering_key is not None

    def message(
        self, event: Event, encoded: bytes, headers: Mapping[str, str] = _NO_HEADERS
    ) -> Entering:
        """Return what is to be published for an event that passes, `encoded` as JSON."""
        key = self.trigger.key
        outgoing = Outgoing(
            names.inbox_subject(key.namespace, key.name, self._partition(event)),
            encoded,
            names.message_id(event.source, event.id, self.trigger.uid),
            headers,
        )
        return Entering(outgoing, self.ordered)


@dataclass(frozen=True, slots=True)
class Entering:
    """A message on its way to an inbox."""

    outgoing: Outgoing
    ordered: bool


def entrance(trigger: Trigger) -> Entrance:
    """Return a Trigger's entrance.

    PatternError, CesqlError and ValueError say what is wrong with its filter or key.
    """
    return Entrance(trigger, compile_filter(trigger.filter), partitioning(trigger))


async def enter(publisher: Publisher, messages: Sequence[Entering]) -> None:
    """Return when all are in their inboxes. Raises as `Publisher.publish` does.

    What is not ordered goes all at once.
    """
    ordered = [each.outgoing for each in messages if each.ordered]
    others = [each.outgoing for each in messages if not each.ordered]
    if not ordered:
        await publisher.publish_batch(others)
        return
    results = await asyncio.gather(
        publisher.publish_batch(others),
        publisher.publish_in_order(ordered),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
