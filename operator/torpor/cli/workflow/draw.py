"""`torpor workflow graph`: a definition of a file or of the engine as Mermaid or SVG."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torpor.cli.workflow import reach
from torpor.cli.workflow.check import BAD_FILE, check, lines
from torpor.cli.workflow.events import Events
from torpor.cli.workflow.files import STDIN, BadFile, read_definitions
from torpor.workflows.graph import Look, looks, mermaid, read_graph, svg


async def graph(args: argparse.Namespace) -> int:
    """Print the drawing; a file that holds several definitions, or a wrong one, is refused."""
    if _is_file(args.name):
        return _draw_file(args)
    async with reach.connect(args) as api:
        named = await reach.find(api, args, args.name, args.execution)
        if named.execution is None:
            machine = await api.call("DescribeStateMachine", stateMachineArn=named.machine)
            _print(args, machine["definition"], {})
            return 0
        machine = await api.call("DescribeStateMachineForExecution", executionArn=named.execution)
        history = [event async for event in Events(api, named.execution).new()]
    _print(args, machine["definition"], looks(history))
    return 0


def _is_file(name: str) -> bool:
    return name == STDIN or Path(name).exists()


def _draw_file(args: argparse.Namespace) -> int:
    try:
        [found, *others] = read_definitions([args.name])
    except BadFile as error:
        print(f"torpor workflow: {error}", file=sys.stderr)
        return BAD_FILE
    if others:
        names = ", ".join(str(item.name) for item in (found, *others))
        print(f"torpor workflow: {args.name} has {names}: a drawing has one", file=sys.stderr)
        return BAD_FILE
    checked = check(found)
    if not checked.valid:
        print("\n".join(lines(checked)), file=sys.stderr)
        return 1
    _print(args, found.text, {})
    return 0


def _print(args: argparse.Namespace, definition: str, stand: Mapping[str, Look]) -> None:
    drawn: Any = svg if args.format == "svg" else mermaid
    sys.stdout.write(drawn(read_graph(json.loads(definition)), stand))
