"""Lists functions, tells all about one, and streams its logs."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from torpor.cli import cluster, fnlogs, fnshow, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add list, show and logs."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _action(verbs, "list", "one line for each function")
    listing.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")
    showing = _action(verbs, "show", "state, last decision, replicas, cold starts by phase")
    for reader in (listing, showing):
        reader.add_argument(
            "-o",
            "--output",
            choices=output.FORMATS,
            default="table",
            help="a table for people, or the object itself (table)",
        )
    logs = _action(verbs, "logs", "what the function's instances write")
    logs.add_argument("-f", "--follow", action="store_true", help="go on, with new instances too")
    logs.add_argument("--tail", type=int, metavar="LINES", help="only the last lines of each")
    logs.add_argument("-p", "--previous", action="store_true", help="of the run before a restart")
    for one in (showing, logs):
        one.add_argument("name", help="the function: NAME or NAMESPACE/NAME")


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    actions = {"list": _list, "show": _show, "logs": _logs}
    return asyncio.run(actions[args.action](args))


def _action(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text)
    cluster.add_arguments(parser)
    return parser


async def _list(args: argparse.Namespace) -> int:
    everywhere = bool(args.all_namespaces)
    namespace = "" if everywhere else cluster.namespace_of(args)
    async with cluster.connect(args) as api:
        objects = await api.functions(namespace)
    if args.output != "table":
        print(output.document({"items": objects}, args.output))
    elif objects:
        print(fnshow.list_table(objects, now=datetime.now(UTC), with_namespace=everywhere))
    else:
        where = "in this cluster" if everywhere else f"in {namespace}; -A looks everywhere"
        print(f"torpor fn: no Functions {where}", file=sys.stderr)
    return 0


async def _show(args: argparse.Namespace) -> int:
    async with cluster.connect(args) as api:
        obj = await api.function(cluster.key_of(args))
    table = args.output == "table"
    print(fnshow.show(obj, datetime.now(UTC)) if table else output.document(obj, args.output))
    return 0


async def _logs(args: argparse.Namespace) -> int:
    key = cluster.key_of(args)
    wanted = fnlogs.Wanted(args.tail, args.previous)
    async with cluster.connect(args) as api:
        await api.function(key)
        if args.follow:
            await fnlogs.follow_logs(api, key, wanted, sys.stdout)
        elif not await fnlogs.print_logs(api, key, wanted, sys.stdout):
            print(f"torpor fn: no instance of {key} runs, so there is no log", file=sys.stderr)
    return 0
