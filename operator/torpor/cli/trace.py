"""Prints a trace as a tree: what was done for a request, an event or a run, by whom, and how long.

The spans are those that the dashboard keeps: that of `torpor dev`, or of a cluster whose chart was
installed with dashboard.enabled=true.
"""

from __future__ import annotations

import argparse
import asyncio
import re

from torpor.cli import options
from torpor.errors import TorporError

_ID = re.compile(r"[0-9a-f]{32}")


class NoTrace(TorporError):
    """There is no such trace, or none at all."""

    code = "no-trace"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which trace, where it is kept, and how it is printed."""
    parser.add_argument(
        "id", nargs="?", type=_trace_id, help="its id, 32 hexadecimal digits (the latest trace)"
    )
    options.add_cluster(parser)
    options.add_place(parser)
    options.add_dashboard(parser)
    options.add_text_or_data(parser)


def run(args: argparse.Namespace) -> int:
    """Print the trace; NoTrace where there is none."""
    asyncio.run(_show(args))
    return 0


def _trace_id(text: str) -> str:
    """Return the id in a text, which may be a whole traceparent."""
    parts = text.lower().split("-")
    found = parts[1] if len(parts) == 4 else parts[0]
    if not _ID.fullmatch(found):
        raise argparse.ArgumentTypeError(f"{text!r}: a trace's id has 32 hexadecimal digits")
    return found


async def _show(args: argparse.Namespace) -> None:
    from torpor.cli import output
    from torpor.cli.dashboardreach import connect
    from torpor.cli.traceshow import show

    async with connect(args) as dashboard:
        wanted = args.id
        if wanted is None:
            traces = (await dashboard.get("/api/traces"))["traces"]
            if not traces:
                raise NoTrace("no trace is kept yet: send a request, or start an execution")
            wanted = traces[0]["traceId"]
        found = await dashboard.get(f"/api/traces/{wanted}")
    width = output.terminal_width()
    output.print_item(args.output, found, wanted, lambda: show(found, width))
