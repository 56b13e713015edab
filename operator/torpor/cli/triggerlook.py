"""`torpor trigger list|show`: what there is, and how it stands."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from torpor.cli import cluster, output, triggerobjects, triggershow


async def list(args: argparse.Namespace) -> int:
    """Print Triggers."""
    everywhere = bool(args.all_namespaces)
    namespace = "" if everywhere else cluster.namespace_of(args)
    objects = await triggerobjects.all_of(args, namespace)
    if objects or args.output in (output.Form.JSON, output.Form.YAML):
        kind = triggershow.kind(datetime.now(UTC), everywhere=everywhere)
        output.print_items(args.output, objects, kind)
    else:
        where = f"in {namespace}; -A looks everywhere" if namespace else "anywhere"
        print(f"torpor trigger: no Triggers {where}", file=sys.stderr)
    return 0


async def show(args: argparse.Namespace) -> int:
    """Print all about one Trigger."""
    obj = await triggerobjects.one(args, cluster.key_of(args))
    now = datetime.now(UTC)
    output.print_item(
        args.output, obj, triggershow.name_of(obj), lambda: triggershow.show(obj, now)
    )
    return 0
