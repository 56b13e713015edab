"""`torpor cost tables`: which prices come along, and of when they are."""

from __future__ import annotations

import argparse
from typing import Any

from torpor.cli import output
from torpor.cli.cost import texts
from torpor.telemetry.cost import PriceTable, Server, shipped_servers, shipped_tables


async def tables(args: argparse.Namespace) -> int:
    """Print tables and servers."""
    found = {
        "tables": [_table(each) for each in shipped_tables()],
        "servers": [_server(each) for each in shipped_servers().values()],
    }
    output.print_item(args.output, found, "tables", _text)
    return 0


def _table(table: PriceTable) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "currency": table.currency,
        "asOf": table.as_of.isoformat(),
        "sources": list(table.sources),
    }


def _server(server: Server) -> dict[str, Any]:
    size = {"vcpus": float(server.vcpus), "memoryGib": float(server.memory_gib)}
    return {"name": server.name, "hour": float(server.hour), **size}


def _text() -> str:
    rows = [
        [table.name, table.as_of.isoformat(), table.currency, table.title, " ".join(table.sources)]
        for table in shipped_tables()
    ]
    servers = [
        [server.name, texts.money(server.hour), f"{server.vcpus}", f"{server.memory_gib}"]
        for server in shipped_servers().values()
    ]
    return "\n".join(
        [
            output.table(["TABLE", "AS OF", "CURRENCY", "PRICES", "SOURCE"], rows),
            "",
            output.table(["SERVER", "AN HOUR", "VCPUS", "GIB"], servers),
        ]
    )
