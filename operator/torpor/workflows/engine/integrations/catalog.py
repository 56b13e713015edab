"""Every service that a task can name, wired for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torpor.workflows.asl.events import ReadItems, WriteResults
from torpor.workflows.asl.fault import ITEM_READER_FAILED, RESULT_WRITER_FAILED, Fault
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.engine.base import Api, Integration, Items
from torpor.workflows.engine.integrations.connection_files import ConnectionFiles
from torpor.workflows.engine.integrations.events import Events
from torpor.workflows.engine.integrations.executions import Executions
from torpor.workflows.engine.integrations.functions import Functions
from torpor.workflows.engine.integrations.http import NO_CONNECTIONS, PUBLIC, Http
from torpor.workflows.engine.integrations.jobs import JOB_SERVICES, Asks, Jobs
from torpor.workflows.engine.integrations.objects import ObjectStore
from torpor.workflows.engine.integrations.reach import Reach
from torpor.workflows.engine.integrations.store import S3, StoredItems
from torpor.workflows.engine.integrations.unavailable import (
    BUS,
    BUS_SERVICES,
    TOPICS,
    Unavailable,
)
from torpor.workflows.engine.world import Clock
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.records import Machine

_STORE = "an object store: set TORPOR_OBJECT_STORE"


@dataclass(frozen=True, slots=True)
class Catalog:
    """What `Engine` takes: integrations by service, and the items of distributed Maps."""

    integrations: Mapping[str, Integration]
    items: Items


class NoItems:
    """For installations without an object store."""

    async def read(self, machine: Machine, request: ReadItems) -> list[Json]:
        """Fail: there is nothing to read from."""
        raise Fault(ITEM_READER_FAILED, f"{request.resource} needs {_STORE}.")

    async def write(self, machine: Machine, request: WriteResults) -> Payload:
        """Fail: there is nothing to write to."""
        raise Fault(RESULT_WRITER_FAILED, f"{request.resource} needs {_STORE}.")


def catalog(
    invoker: Asks,
    ledger: Ledger,
    engine: Callable[[], Api],
    clock: Clock,
    store: ObjectStore | None = None,
    connections: ConnectionFiles = NO_CONNECTIONS,
    reach: Reach = PUBLIC,
    events: Events | None = None,
) -> Catalog:
    """All services: those of objects where there is a store, those of `events` where it is given.

    `connections` are what HTTP tasks may show, `reach` is what they may call.
    """
    services: dict[str, Integration] = {
        "lambda": Functions(invoker),
        "states": Executions(ledger, engine, clock),
        "http": Http(connections, reach, clock),
        **dict.fromkeys(JOB_SERVICES, Jobs(invoker)),
        **dict.fromkeys(BUS_SERVICES, events or BUS),
        "sns": TOPICS,
    }
    if store is None:
        missing = Unavailable(_STORE)
        return Catalog({**services, "s3": missing, "aws-sdk:s3": missing}, NoItems())
    s3 = S3(store)
    return Catalog({**services, "s3": s3, "aws-sdk:s3": s3}, StoredItems(store))
