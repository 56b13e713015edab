"""`torpor workflow stop|redrive|signal`: changes what an execution does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from torpor.cli import output
from torpor.cli.workflow import reach, texts
from torpor.cli.workflow.data import json_data
from torpor.cli.workflow.events import Events
from torpor.cli.workflow.tokens import waiting
from torpor.errors import TorporError
from torpor.workflows.client import StepFunctions

_ACTIONS = {
    "success": "SendTaskSuccess",
    "failure": "SendTaskFailure",
    "heartbeat": "SendTaskHeartbeat",
}


class BadTarget(TorporError):
    """It is not clear which execution or which task is meant."""

    code = "bad-target"


async def stop(args: argparse.Namespace) -> int:
    """Stop an execution; 1 if it had ended already."""
    async with reach.connect(args) as api:
        arn = await _execution(api, args)
        found = await api.call("DescribeExecution", executionArn=arn)
        if found["status"] != "RUNNING":
            text = f"{arn} has ended already: {found['status']}"
            print(f"torpor workflow: {text}", file=sys.stderr)
            return 1
        answer = await api.call(
            "StopExecution", executionArn=arn, error=args.error, cause=args.cause
        )
    _tell(args, answer, f"stopped {arn}")
    return 0


async def redrive(args: argparse.Namespace) -> int:
    """Redrive an execution."""
    async with reach.connect(args) as api:
        arn = await _execution(api, args)
        answer = await api.call("RedriveExecution", executionArn=arn)
    _tell(args, answer, f"redriven {arn}")
    return 0


async def signal(args: argparse.Namespace) -> int:
    """Send a task's success, failure or heartbeat, by its token or by where it waits."""
    request: dict[str, Any] = {}
    if args.signal == "success":
        request = {"output": json_data(args.data)}
    elif args.signal == "failure":
        request = {"error": args.error, "cause": args.cause}
    async with reach.connect(args) as api:
        token = args.token or await _token(api, args)
        await api.call(_ACTIONS[args.signal], taskToken=token, **request)
    print(f"{args.signal} sent")
    return 0


def _tell(args: argparse.Namespace, answer: dict[str, Any], text: str) -> None:
    table = args.output == "table"
    print(text if table else output.document(texts.readable(answer), args.output))


async def _execution(api: StepFunctions, args: argparse.Namespace) -> str:
    named = await reach.find(api, args, args.name, args.execution)
    if named.execution is None:
        text = f"which execution of {named.label}? `torpor workflow list {args.name}` shows them"
        raise BadTarget(text)
    return named.execution


async def _token(api: StepFunctions, args: argparse.Namespace) -> str:
    if not args.name:
        raise BadTarget("which task? Give --token, or a workflow and its execution")
    arn = await _execution(api, args)
    tasks = waiting([event async for event in Events(api, arn).new()], arn)
    fitting = [task for task in tasks if args.state in (None, task.state)]
    if len(fitting) == 1:
        return fitting[0].token
    if not fitting:
        where = f" in {args.state}" if args.state else ""
        raise BadTarget(f"no task of {arn} waits for its token{where}")
    states = ", ".join(dict.fromkeys(task.state for task in fitting))
    text = f"{len(fitting)} tasks of {arn} wait, in {states}: choose one with --state or --token"
    raise BadTarget(text)
