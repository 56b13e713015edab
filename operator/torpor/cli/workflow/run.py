"""`torpor workflow run`: starts an execution, and if asked to, shows the way to its end."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from torpor.cli import output
from torpor.cli.workflow import reach, texts
from torpor.cli.workflow.data import json_data
from torpor.cli.workflow.events import LOOK_SECONDS, Events
from torpor.cli.workflow.narrate import Narrator
from torpor.cli.workflow.patience import patient
from torpor.errors import TorporError
from torpor.workflows.client import StepFunctions

EXPRESS_SECONDS = 330.0
"""Express executions end within 300 s; the rest is for the way there and back."""
_LONGEST_PAUSE_SECONDS = 1.0
_SUCCEEDED = "SUCCEEDED"


class StillRunning(TorporError):
    """The execution did not end within --timeout; it goes on."""

    code = "still-running"


async def run(args: argparse.Namespace) -> int:
    """Start the execution; with --wait or --watch print its output, and return 1 if it failed."""
    data = json_data(args.data)
    async with reach.connect(args) as api:
        named = await reach.find(api, args, args.name)
        waits = args.wait or args.watch
        request = {"stateMachineArn": named.machine, "input": data, "name": args.execution}
        if waits and await _is_express(api, named.machine):
            return _end(args, await _awaited_express(args, request))
        started = await api.call("StartExecution", **request)
        if not waits:
            _told_start(args, started)
            return 0
        return _end(args, await _awaited(api, args, str(started["executionArn"])))


async def _is_express(api: StepFunctions, machine: str) -> bool:
    found = await api.call("DescribeStateMachine", stateMachineArn=machine)
    return bool(found["type"] == "EXPRESS")


def _told_start(args: argparse.Namespace, started: dict[str, Any]) -> None:
    if args.output == "table":
        print(started["executionArn"])
    else:
        print(output.document(texts.readable(started), args.output))


async def _awaited_express(args: argparse.Namespace, request: Mapping[str, Any]) -> dict[str, Any]:
    """The end of an Express execution: one call, which is answered when it has ended."""
    try:
        async with (
            asyncio.timeout(args.timeout),
            reach.connect(args, EXPRESS_SECONDS) as api,
        ):
            return await api.call("StartSyncExecution", **request)
    except TimeoutError:
        text = f"{args.name} is still running after {args.timeout:g} s; it goes on"
        raise StillRunning(text) from None


async def _awaited(api: StepFunctions, args: argparse.Namespace, arn: str) -> dict[str, Any]:
    print(f"execution {arn}", file=sys.stderr)
    api = patient(api, arn)
    try:
        async with asyncio.timeout(args.timeout):
            return await (_watched(api, arn) if args.watch else _ended(api, arn))
    except TimeoutError:
        text = f"{arn} is still running after {args.timeout:g} s; it goes on"
        raise StillRunning(text) from None


async def _watched(api: StepFunctions, arn: str) -> dict[str, Any]:
    narrator = Narrator()
    async for event in Events(api, arn).until_end():
        line = narrator.line(event)
        if line:
            print(line, file=sys.stderr, flush=True)
    return await api.call("DescribeExecution", executionArn=arn)


async def _ended(api: StepFunctions, arn: str) -> dict[str, Any]:
    pause = LOOK_SECONDS
    while True:
        found = await api.call("DescribeExecution", executionArn=arn)
        if found["status"] != "RUNNING":
            return found
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE_SECONDS)


def _end(args: argparse.Namespace, ended: dict[str, Any]) -> int:
    succeeded = ended["status"] == _SUCCEEDED
    if args.output != "table":
        print(output.document(texts.readable(ended), args.output))
    elif succeeded:
        print(json.dumps(json.loads(ended.get("output", "null")), indent=2, ensure_ascii=False))
    if not succeeded:
        why = ": ".join(str(ended[name]) for name in ("error", "cause") if ended.get(name))
        told = f"{ended['status']}{': ' if why else ''}{why}"
        print(f"torpor workflow: {told}", file=sys.stderr)
    return int(not succeeded)
