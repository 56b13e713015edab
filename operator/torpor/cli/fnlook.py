"""`torpor fn list|show|logs`: what there is, how it stands, and what it writes."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from torpor.cli import cluster, devlogs, fnevents, fnlogs, fnshow, output
from torpor.cli.loglines import Belonging
from torpor.cli.options import BadOption


async def list(args: argparse.Namespace) -> int:
    """Print Functions."""
    everywhere = bool(args.all_namespaces)
    namespace = "" if everywhere else cluster.namespace_of(args)
    async with cluster.connect(args) as api:
        objects = await api.functions(namespace)
    if objects or args.output in (output.Form.JSON, output.Form.YAML):
        kind = fnshow.kind(datetime.now(UTC), everywhere=everywhere)
        output.print_items(args.output, objects, kind)
    else:
        where = "in this cluster" if everywhere else f"in {namespace}; -A looks everywhere"
        print(f"torpor fn: no Functions {where}", file=sys.stderr)
    return 0


async def show(args: argparse.Namespace) -> int:
    """Print all about one Function."""
    key = cluster.key_of(args)
    people = args.output in (output.Form.TABLE, output.Form.WIDE)
    async with cluster.connect(args) as api:
        obj = await api.function(key)
        events = await fnevents.latest(api, key) if people else ()
    now, width = datetime.now(UTC), output.terminal_width()
    output.print_item(
        args.output, obj, fnshow.name_of(obj), lambda: fnshow.show(obj, events, now, width)
    )
    return 0


async def logs(args: argparse.Namespace) -> int:
    """Print what the instances write."""
    belonging = Belonging(args.trace, args.request)
    if args.dashboard:
        return await _local_logs(args, belonging)
    key = cluster.key_of(args)
    wanted = fnlogs.Wanted(args.tail, args.previous, belonging)
    async with cluster.connect(args) as api:
        await api.function(key)
        if args.follow:
            await fnlogs.follow_logs(api, key, wanted, sys.stdout)
        elif not await fnlogs.print_logs(api, key, wanted, sys.stdout):
            print(
                f"torpor fn: no instance of {key} runs, so there is no log: a request starts one",
                file=sys.stderr,
            )
    return 0


async def _local_logs(args: argparse.Namespace, belonging: Belonging) -> int:
    if args.previous:
        raise BadOption("--previous: torpor dev keeps one log for all that a process wrote")
    found = devlogs.logs_of(cluster.key_of(args), belonging)
    if args.follow:
        await found.follow(sys.stdout, args.tail)
    found.print_new(sys.stdout, args.tail)
    return 0
