"""`torpor cost compare`: serverless against a server that is always on, in numbers and drawn."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torpor.cli import output
from torpor.cli.cost import chart, texts
from torpor.cli.cost.picture import picture
from torpor.cli.cost.prices import table_of
from torpor.errors import TorporError
from torpor.telemetry.cost import Comparison, Load, named_server
from torpor.telemetry.cost import compare as compared


class Unwritable(TorporError):
    """A file cannot be written."""

    code = "unwritable"


async def compare(args: argparse.Namespace) -> int:
    """Print both costs, and where they meet."""
    table = table_of(args.prices)
    load = Load.of(args.requests, args.milliseconds, args.memory, args.vcpus, args.ready)
    found = compared(load, table, named_server(args.always_on, table))
    if args.svg:
        _write(args.svg, picture(found))
    if args.output in (output.Form.JSON, output.Form.YAML):
        print(output.document(found.to_json(), args.output))
        return 0
    print("\n".join([*output.facts(_told(found)), ""]))
    chart.show(found, sys.stdout)
    return 0


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unwritable(f"{file} cannot be written: {error.strerror or error}") from error


def _told(found: Comparison) -> dict[str, str]:
    load, currency = found.load, found.table.currency
    serverless, always_on = found.serverless(load.requests), found.always_on(load.requests)
    place = (
        f"{texts.plain(load.seconds * 1000)} ms in {texts.plain(load.size.memory_gib * 1024)} MiB"
    )
    parts = [
        f"requests {texts.money(load.requests * found.request_part)}",
        f"compute {texts.money(load.requests * (found.each - found.request_part))}",
    ]
    if found.fixed:
        parts.append(f"kept ready {texts.money(found.fixed)}")
    servers = output.counted(int(found.servers(load.requests)), "server", "servers")
    less = "serverless" if serverless < always_on else "always on"
    return {
        "requests": f"{texts.count(load.requests)} a month, each {place}",
        "prices": texts.priced(found.table),
        "serverless": f"{currency} {texts.money(serverless)} a month: {', '.join(parts)}",
        "a request": f"{currency} {texts.money(found.each)}",
        "always on": f"{currency} {texts.money(always_on)} a month: {servers} {found.server.name}",
        "cheaper": less,
        "crossover": _crossover(found),
    }


def _crossover(found: Comparison) -> str:
    if found.crossover is None:
        return "none: however many requests, serverless costs less than the servers for them"
    return f"{texts.count(found.crossover)} requests a month"
