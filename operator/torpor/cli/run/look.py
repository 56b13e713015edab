"""`torpor run list|show`: which runs there are, and all about one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from torpor.cli import cluster, gatewayreach, output
from torpor.cli.run import cluster as incluster
from torpor.cli.run import gateway, texts
from torpor.cli.run.values import RunName
from torpor.resources.run import Run
from torpor.resources.run_details import RunDetails


def name_of(args: argparse.Namespace) -> RunName:
    """Return the run that ID, or NAMESPACE/ID, and the options mean."""
    key = cluster.key_of(args)
    return RunName(key.namespace, key.name)


async def list(args: argparse.Namespace) -> int:
    """Print runs."""
    everywhere = bool(args.all_namespaces)
    namespace = "" if everywhere else cluster.namespace_of(args)
    found = [run for run in await _runs(args, namespace) if _is_wanted(args, run)]
    found.sort(key=lambda run: run.created, reverse=True)
    if args.output in (output.Form.JSON, output.Form.YAML):
        whole = [run.to_json() for run in found]
        output.print_items(args.output, whole, output.Kind(lambda item: str(item["id"])))
    elif found:
        kind = texts.kind(datetime.now(UTC), everywhere=everywhere)
        output.print_items(args.output, found, kind)
    else:
        where = "anywhere" if everywhere else f"in {namespace}; -A looks everywhere"
        ended = "" if args.all else ", --all shows those that have ended"
        print(f"torpor run: no run goes on {where}{ended}", file=sys.stderr)
    return 0


async def show(args: argparse.Namespace) -> int:
    """Print all about one run."""
    details = await details_of(args)
    now = datetime.now(UTC)
    if args.output in (output.Form.JSON, output.Form.YAML):
        print(output.document(details.to_json(), args.output))
        return 0
    output.print_item(
        args.output,
        details.run,
        texts.name_of(details.run),
        lambda: texts.show(details, now, args.pod_hour),
    )
    return 0


async def details_of(args: argparse.Namespace) -> RunDetails:
    """Return all about the run of the options."""
    name = name_of(args)
    if args.gateway:
        async with gatewayreach.connect(args) as way:
            return await gateway.details(way, name)
    async with cluster.connect(args) as api:
        return await incluster.details(api, name)


async def _runs(args: argparse.Namespace, namespace: str) -> Sequence[Run]:
    if args.gateway:
        async with gatewayreach.connect(args) as way:
            return await gateway.runs(way, namespace)
    async with cluster.connect(args) as api:
        return await incluster.runs(api, namespace)


def _is_wanted(args: argparse.Namespace, run: Run) -> bool:
    if args.function and run.key.name != args.function:
        return False
    return bool(args.all) or not run.state.is_final
