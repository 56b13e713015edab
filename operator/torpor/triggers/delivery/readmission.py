"""An event's way back to a Trigger, under another message id: it is delivered as if it were new."""

from __future__ import annotations

from typing import Final

from torpor.resources.trigger import SourceKind
from torpor.triggers.broker import names
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.definitions import Definition
from torpor.triggers.event import Event
from torpor.triggers.partition import partitioning

OCCASION: Final = "Torpor-Occasion"
"""The header with the replay or redrive that a message is there for."""


def readmit(definition: Definition, event: Event, encoded: bytes, occasion: str) -> Outgoing:
    """Return the message that puts an event, `encoded` as JSON, into a Trigger's inbox or queue.

    `occasion` names the redrive or replay: what is readmitted twice on one is stored once.
    """
    trigger = definition.trigger
    namespace, partition = trigger.key.namespace, partitioning(trigger)(event)
    if trigger.source.kind is SourceKind.QUEUE:
        queue = str(trigger.source.settings.get("name", ""))
        subject = names.queue_subject(namespace, queue, partition)
    else:
        subject = names.inbox_subject(namespace, trigger.key.name, partition)
    message_id = names.message_id(event.source, event.id, f"{occasion} {trigger.uid}")
    return Outgoing(subject, encoded, message_id, {OCCASION: occasion})
