"""`torpor workflow list|show|history`: what there is, and what happened."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from torpor.cli import cluster, output
from torpor.cli.workflow import reach, texts
from torpor.cli.workflow.events import Events
from torpor.cli.workflow.patience import patient
from torpor.cli.workflow.reach import Named
from torpor.workflows.client import Refused, StepFunctions

_MOST_SHOWN = 5
_PAGE = 1_000


async def list(args: argparse.Namespace) -> int:
    """Print workflows, or the executions of one."""
    async with reach.connect(args) as api:
        if args.name:
            named = await reach.find(api, args, args.name)
            found = await _executions(api, named.machine, args.status, args.limit)
            return _print(args, "executions", found, texts.executions(datetime.now(UTC)))
        namespace = "" if args.all_namespaces else cluster.namespace_of(args)
        machines = [
            item async for item in api.each("ListStateMachines", "stateMachines", maxResults=_PAGE)
        ]
    kept = texts.by_name(machines, namespace)
    return _print(args, "stateMachines", kept, texts.machines(datetime.now(UTC)))


def _print(args: argparse.Namespace, field: str, items: Sequence[Any], kind: output.Kind) -> int:
    if args.output in (output.Form.JSON, output.Form.YAML):
        print(output.document({field: texts.readable([*items])}, args.output))
    elif items:
        output.print_items(args.output, items, kind)
    else:
        what = "executions" if args.name else "workflows"
        where = "" if args.name or args.all_namespaces else "; -A looks everywhere"
        print(f"torpor workflow: no {what}{where}", file=sys.stderr)
    return 0


async def _executions(
    api: StepFunctions, machine: str, status: str | None, limit: int
) -> tuple[dict[str, Any], ...]:
    found: tuple[dict[str, Any], ...] = ()
    request = {"stateMachineArn": machine, "statusFilter": status}
    async for item in api.each(
        "ListExecutions", "executions", maxResults=min(limit, _PAGE), **request
    ):
        found = (*found, item)
        if len(found) >= limit:
            break
    return found


async def show(args: argparse.Namespace) -> int:
    """Print all about a workflow or an execution."""
    async with reach.connect(args) as api:
        named = await reach.find(api, args, args.name, args.execution)
        if named.execution is None:
            return await _show_machine(api, args, named)
        return await _show_execution(api, args, named.execution)


async def _show_machine(api: StepFunctions, args: argparse.Namespace, named: Named) -> int:
    machine = await api.call("DescribeStateMachine", stateMachineArn=named.machine)
    people = args.output in (output.Form.TABLE, output.Form.WIDE)
    latest = await _last(api, named.machine) if people else ()
    now = datetime.now(UTC)
    name = texts.machines(now).name(machine)
    output.print_item(
        args.output,
        texts.readable(machine),
        name,
        lambda: texts.show_machine(machine, latest, now),
    )
    return 0


async def _last(api: StepFunctions, machine: str) -> tuple[dict[str, Any], ...]:
    try:
        return await _executions(api, machine, None, _MOST_SHOWN)
    except Refused as error:
        if error.name == "StateMachineTypeNotSupported":  # Express executions are not kept
            return ()
        raise


async def _show_execution(api: StepFunctions, args: argparse.Namespace, arn: str) -> int:
    execution = await api.call("DescribeExecution", executionArn=arn)
    people = args.output in (output.Form.TABLE, output.Form.WIDE)
    history = [event async for event in Events(api, arn).new()] if people else []
    now, width = datetime.now(UTC), output.terminal_width()
    output.print_item(
        args.output,
        texts.readable(execution),
        arn,
        lambda: texts.show_execution(execution, history, now, width),
    )
    return 0


async def history(args: argparse.Namespace) -> int:
    """Print the events of an execution, and with --follow those to come."""
    async with reach.connect(args) as api:
        named = await reach.find(api, args, args.name, args.execution)
        arn = await reach.latest(api, named)
        events = Events(patient(api, arn) if args.follow else api, arn)
        if args.follow:
            async for event in events.until_end():
                line = texts.event_line(event, events.start, output.terminal_width())
                print(line, flush=True)
            return 0
        found = [event async for event in events.new()]
    if args.output == "table":
        print(texts.history_table(found, output.terminal_width()))
    else:
        print(output.document({"events": texts.readable(found)}, args.output))
    return 0
