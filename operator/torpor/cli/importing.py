"""Writes what others wrote as objects of Torpor: Functions, Workflows and Triggers.

The YAML is printed, or written to FOLDER/sam.yaml, with a comment for each thing that was not
imported or differs; the same lines are on standard error. Code of a few small text files becomes a
ConfigMap, other code an archive in FOLDER/archives, which you put where instances can fetch it.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from torpor.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add each format with its options."""
    formats = options.actions(parser)
    sam = options.action(formats, "sam", "a template of AWS SAM or CloudFormation")
    sam.add_argument(
        "template", type=Path, metavar="TEMPLATE", help="the file, such as template.yaml"
    )
    sam.add_argument("--out", type=Path, metavar="FOLDER", help="write files there")
    sam.add_argument("-n", "--namespace", default="", help="the namespace (none is written)")
    sam.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a value of one of the template's Parameters",
    )
    sam.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for the environment of each Function, such as AWS_ENDPOINT_URL_DYNAMODB=http://…",
    )
    sam.add_argument(
        "--events-url",
        default="http://torpor-events.torpor-system:8200",
        help="where Functions reach the events API, which has the queues (the cluster's Service)",
    )
    sam.add_argument(
        "--archives", default="", metavar="URL", help="where the archives will be found"
    )
    sam.add_argument(
        "--strict", action="store_true", help="exit with 1 if anything was not imported"
    )


def run(args: argparse.Namespace) -> int:
    """Import; 1 with --strict if anything was not imported."""
    return int(import_module("torpor.cli.import_sam").import_sam(args))
