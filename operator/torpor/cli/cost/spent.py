"""`torpor cost`: the bill of what was used, or of the variants of one run."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from torpor.cli import output
from torpor.cli.cost import reach, texts, variants
from torpor.cli.cost.prices import table_of
from torpor.telemetry.cost import source, taken


async def spent(args: argparse.Namespace) -> int:
    """Print the bill."""
    if args.run:
        return await variants.variants(args)
    table = table_of(args.prices)
    sources = [source(text) for text in await reach.metrics(args)]
    if args.namespace:
        sources = [replace(it, usage=it.usage.of(args.namespace)) for it in sources]
    found = taken(sources, table, time.time())
    output.print_item(args.output, found.to_json(), "cost", lambda: texts.bill(found))
    return 0
