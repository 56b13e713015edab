"""Finds odd Triggers: quiet for long, with no target, suspended, doubled by another, or looping."""

from __future__ import annotations

import argparse
import asyncio
from urllib.parse import urlencode

from torpor.cli import cluster, eventsreach, output, triggershow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    eventsreach.add_arguments(parser)
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    parser.add_argument("--days", type=float, default=30, help="quiet is who had no event for (30)")
    parser.add_argument("-o", "--output", choices=output.FORMATS, default="table", help="(table)")


def run(args: argparse.Namespace) -> int:
    """Print what was found; 0."""
    return asyncio.run(_audit(args))


async def _audit(args: argparse.Namespace) -> int:
    namespace = "" if args.all_namespaces else cluster.namespace_of(args)
    query = urlencode({"days": args.days, "namespace": namespace})
    async with eventsreach.internal(args) as role:
        findings = (await role.call("GET", f"/v1/audit?{query}"))["findings"]
    if args.output != "table":
        print(output.document({"findings": findings}, args.output))
    else:
        print(triggershow.findings_table(findings) if findings else "nothing to find fault with")
    return 0
