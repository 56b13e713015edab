"""`torpor trigger list|show`: what there is, and how it stands."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from torpor.cli import cluster, output, triggerobjects, triggershow


async def list(args: argparse.Namespace) -> int:
    """Print Triggers."""
    namespace = "" if args.all_namespaces else cluster.namespace_of(args)
    objects = await triggerobjects.all_of(args, namespace)
    if args.output != "table":
        print(output.document({"items": objects}, args.output))
    elif objects:
        spread = "NAMESPACE" if args.all_namespaces else ""
        print(triggershow.list_table(objects, datetime.now(UTC), spread))
    else:
        where = f"in {namespace}; -A looks everywhere" if namespace else "anywhere"
        print(f"torpor trigger: no Triggers {where}", file=sys.stderr)
    return 0


async def show(args: argparse.Namespace) -> int:
    """Print all about one Trigger."""
    obj = await triggerobjects.one(args, cluster.key_of(args))
    table = args.output == "table"
    now = datetime.now(UTC)
    print(triggershow.show(obj, now) if table else output.document(obj, args.output))
    return 0
