"""The `torpor` command: finds the verb and imports only its module, so that every start is fast.

A verb's module has `add_arguments(parser)` and `run(args) -> int`; its exit status is 0 for done,
1 for a failure it explained, 2 for a command line it could not read. Under the name
`kubectl-torpor` it is kubectl's plugin `kubectl torpor`, the same in everything else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torpor.errors import TorporError

PLUGIN = "kubectl-torpor"


@dataclass(frozen=True, slots=True)
class Verb:
    """One subcommand: the module that does it, imported when it is asked for, and its help."""

    name: str
    module: str
    help: str


VERBS = (
    Verb("dev", "torpor.cli.dev", "run the functions in a folder as local processes"),
    Verb("invoke", "torpor.cli.invoke", "send one request to a function and print its answer"),
    Verb("fn", "torpor.cli.fn", "list, show, call, load, await and delete functions; their logs"),
    Verb("logs", "torpor.cli.logs", "what a function writes; of one trace or one request"),
    Verb("trace", "torpor.cli.trace", "print a trace as a tree: who did what, and how long"),
    Verb("run", "torpor.cli.run.verbs", "list, show, follow, cancel and repeat runs of Jobs"),
    Verb("workflow", "torpor.cli.workflow.verbs", "validate, draw, run and follow workflows"),
    Verb("trigger", "torpor.cli.trigger", "list, show, pause, resume and try Triggers"),
    Verb("publish", "torpor.cli.publish", "publish an event to a bus or a queue"),
    Verb("dlq", "torpor.cli.dlq", "list, redrive and purge events that were given up"),
    Verb("replay", "torpor.cli.replay", "deliver what a bus kept again"),
    Verb("transcode", "torpor.cli.transcode", "make a video's variants, to be killed at any time"),
    Verb("chaos", "torpor.cli.chaos.verb", "kill, slow and fill on purpose; tell what was lost"),
    Verb("cost", "torpor.cli.cost.verbs", "say what was spent; compare serverless and always on"),
    Verb("import", "torpor.cli.importing", "write a SAM template as Functions and Triggers"),
    Verb("dashboard", "torpor.cli.dashboard", "show all of it in a browser, live"),
    Verb("audit", "torpor.cli.audit", "find Triggers of no use"),
    Verb("doctor", "torpor.cli.doctor.verb", "find what is missing or wrong, and what mends it"),
    Verb("completion", "torpor.cli.completion", "print a script that completes command lines"),
    Verb("controller", "torpor.cli.controller", "role: reconcile Functions and scale them"),
    Verb("gateway", "torpor.cli.gateway", "role: carry requests and wake functions"),
    Verb("events", "torpor.cli.events", "role: take events and deliver them"),
    Verb("engine", "torpor.cli.engine", "role: run the executions of workflows"),
    Verb("version", "torpor.cli.version", "print the version"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    verb = next((verb for verb in VERBS if words[:1] == [verb.name]), None)
    if verb is None:
        _overview().parse_args(words)
        _overview().print_help(sys.stderr)
        return 2
    return _run(verb, words[1:])


def parser_of(verb: Verb) -> tuple[argparse.ArgumentParser, Any]:
    """Return a verb's parser, and its module."""
    module: Any = import_module(verb.module)
    parser = argparse.ArgumentParser(f"{_program()} {verb.name}", description=module.__doc__)
    module.add_arguments(parser)
    return parser, module


def _run(verb: Verb, words: Sequence[str]) -> int:
    parser, module = parser_of(verb)
    try:
        status = int(module.run(parser.parse_args(words)))
        sys.stdout.flush()
        return status
    except TorporError as error:
        print(f"torpor {verb.name}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


def _program() -> str:
    is_plugin = os.path.basename(sys.argv[0]) == PLUGIN
    return PLUGIN.replace("-", " ") if is_plugin else "torpor"


def _overview() -> argparse.ArgumentParser:
    width = max(len(verb.name) for verb in VERBS)
    listed = [f"  {verb.name:<{width}}  {verb.help}" for verb in VERBS]
    program = _program()
    parser = argparse.ArgumentParser(
        program,
        description="Serverless on any Kubernetes cluster: functions cost nothing while idle.",
        epilog="\n".join(["verbs:", *listed, "", f"{program} VERB --help tells more."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", metavar="VERB", choices=[verb.name for verb in VERBS])
    return parser


if __name__ == "__main__":
    sys.exit(main())
