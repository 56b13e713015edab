"""One audit of the Triggers, on the terminal."""

from __future__ import annotations

import argparse
from urllib.parse import urlencode

from torpor.cli import cluster, eventsreach, output, triggershow


async def audit(args: argparse.Namespace) -> int:
    """Print what was found; 0."""
    namespace = "" if args.all_namespaces else cluster.namespace_of(args)
    query = urlencode({"days": args.days, "namespace": namespace})
    async with eventsreach.internal(args) as role:
        findings = (await role.call("GET", f"/v1/audit?{query}"))["findings"]
    if findings or args.output != output.Form.TABLE:
        output.print_items(args.output, findings, triggershow.FINDINGS, "findings")
    else:
        print("nothing to find fault with")
    return 0
