"""`torpor workflow list|show|history`: what there is, and what happened."""

from __future__ import annotations

import argparse
import sys
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
            _print(args, "executions", found, texts.execution_table)
            return 0
        namespace = "" if args.all_namespaces else cluster.namespace_of(args)
        machines = [
            item async for item in api.each("ListStateMachines", "stateMachines", maxResults=_PAGE)
        ]
    kept = texts.by_name(machines, namespace)
    _print(args, "stateMachines", kept, texts.machine_table)
    return 0


def _print(args: argparse.Namespace, field: str, items: Any, table: Any) -> None:
    if args.output != "table":
        print(output.document({field: texts.readable([*items])}, args.output))
    elif items:
        print(table(items, datetime.now(UTC)))
    else:
        what = "executions" if args.name else "workflows"
        where = "" if args.name or args.all_namespaces else "; -A looks everywhere"
        print(f"torpor workflow: no {what}{where}", file=sys.stderr)


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
    if args.output != "table":
        print(output.document(texts.readable(machine), args.output))
        return 0
    executions = await _last(api, named.machine)
    print(texts.show_machine(machine, executions, datetime.now(UTC)))
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
    if args.output != "table":
        print(output.document(texts.readable(execution), args.output))
        return 0
    history = [event async for event in Events(api, arn).new()]
    now = datetime.now(UTC)
    print(texts.show_execution(execution, history, now, output.terminal_width()))
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
