"""From YAML to a price table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from torpor.telemetry.cost.document import Document
from torpor.telemetry.cost.rates import (
    NodeShare,
    PriceTable,
    RequestRates,
    ResourceRates,
    Server,
    WorkflowRates,
)
from torpor.telemetry.cost.values import ZERO, BadPrices

_TOLD = ("title", "currency", "asOf", "sources", "vcpusPerGib")
_SECTIONS = ("requests", "pods", "node", "workflows", "server")


def parsed(name: str, document: Document, other: Callable[[str], PriceTable]) -> PriceTable:
    """Return the table in a document; `other` finds the tables that it says to be completed by."""
    document.only(*_TOLD, *_SECTIONS, "with")
    table = PriceTable(
        name=name,
        title=document.text("title"),
        currency=document.text("currency"),
        as_of=document.day("asOf"),
        sources=document.texts("sources"),
        vcpus_per_gib=document.number("vcpusPerGib"),
        requests=_requests(document.child("requests")) if document.has("requests") else None,
        pods=_pods(document),
        workflows=_workflows(document.child("workflows")) if document.has("workflows") else None,
        server=_own_server(name, document),
    )
    for completing in _with(document, table.currency, other):
        table = table.completed(completing)
    return table


def server(name: str, document: Document) -> Server:
    """Return a machine that is always on."""
    document.only("hour", "vcpus", "memoryGib")
    size = document.positive("vcpus"), document.positive("memoryGib")
    return Server(name, document.number("hour"), *size)


def _with(
    document: Document, currency: str, other: Callable[[str], PriceTable]
) -> Iterator[PriceTable]:
    for name in document.texts("with") if document.has("with") else ():
        found = other(name)
        if found.currency != currency:
            raise BadPrices(f"{document.place}.with: {name} is in {found.currency}")
        yield found


def _requests(document: Document) -> RequestRates:
    rates = ("request", "gibSecond", "vcpuSecond", "readyGibSecond")
    document.only(*rates, "stepSeconds", "memoryStepGib", "leastSeconds")
    return RequestRates(
        document.number("request"),
        document.number("gibSecond"),
        document.number("vcpuSecond", ZERO),
        document.number("readyGibSecond", ZERO),
        document.number("stepSeconds", Decimal("0.001")),
        document.number("memoryStepGib", ZERO),
        document.number("leastSeconds", ZERO),
    )


def _pods(document: Document) -> ResourceRates | NodeShare | None:
    if document.has("pods") and document.has("node"):
        raise BadPrices(f"{document.place}: pods are charged by `pods` or by `node`, not by both")
    if document.has("node"):
        return _node(document.child("node"))
    if not document.has("pods"):
        return None
    pods = document.child("pods")
    pods.only("vcpuHour", "gibHour", "gpuHour")
    hours = pods.number("vcpuHour"), pods.number("gibHour"), pods.number("gpuHour", ZERO)
    return ResourceRates(*hours)


def _node(document: Document) -> NodeShare:
    document.only("hour", "vcpus", "memoryGib", "gpus")
    size = document.positive("vcpus"), document.positive("memoryGib")
    return NodeShare(document.number("hour"), *size, document.number("gpus", ZERO))


def _workflows(document: Document) -> WorkflowRates:
    names = ("transition", "express", "expressGibSecond")
    document.only(*names)
    return WorkflowRates(*(document.number(name) for name in names))


def _own_server(name: str, document: Document) -> Server | None:
    if document.has("server"):
        return server(name, document.child("server"))
    if not document.has("node"):
        return None
    node = _node(document.child("node"))
    return Server(name, node.hour, node.vcpus, node.memory_gib)
