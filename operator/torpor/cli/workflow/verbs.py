"""Validates, draws, runs and follows workflows: the Amazon States Language, durably.

A workflow is NAME, NAMESPACE/NAME or the ARN of a state machine; an execution is its name after
that of its workflow, or its ARN alone. With --endpoint (or TORPOR_WORKFLOWS) the execution API is
asked directly, as for torpor dev; else it is found in the cluster.
"""

from __future__ import annotations

import argparse

from torpor.cli import options
from torpor.cli.acting import act

STATUSES = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
SIGNALS = ("success", "failure", "heartbeat")
_MODULES = {
    "validate": "check",
    "graph": "draw",
    "run": "run",
    "list": "look",
    "show": "look",
    "history": "look",
    "stop": "act",
    "redrive": "act",
    "signal": "act",
}
_Verbs = options.Actions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every action with its options."""
    verbs = options.actions(parser)
    _add_validate(verbs)
    _add_graph(verbs)
    _add_run(verbs)
    _add_list(verbs)
    _add_show(verbs)
    _add_history(verbs)
    _add_stop(verbs)
    _add_redrive(verbs)
    _add_signal(verbs)


def run(args: argparse.Namespace) -> int:
    """Do what was asked for; 0 when it was done."""
    return act(f"workflow.{_MODULES[args.action]}", args.action, args)


def _add_validate(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    text = "report every problem of definitions; 0: no error, 1: errors, 2: a file cannot be read"
    parser = options.action(verbs, "validate", text)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="YAML with Workflows, or a bare definition as JSON or YAML; - is stdin, or a folder",
    )
    parser.add_argument(
        "--type",
        choices=("STANDARD", "EXPRESS"),
        default="STANDARD",
        help="what a bare definition is checked as (STANDARD)",
    )
    options.add_text_or_data(parser)


def _add_graph(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    text = "draw a definition; with an execution, its states are coloured"
    parser = _add(verbs, "graph", text)
    parser.add_argument("name", help="the workflow, or a file as for validate")
    parser.add_argument("execution", nargs="?", help="the execution whose states are coloured")
    parser.add_argument(
        "--format", choices=("mermaid", "svg"), default="mermaid", help="the drawing (mermaid)"
    )


def _add_run(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "run", "start an execution; without --wait or --watch, return at once")
    parser.add_argument("name", help="the workflow")
    _add_data(parser, "the input")
    parser.add_argument("--name", dest="execution", help="the execution's name (a random one)")
    parser.add_argument(
        "--wait", action="store_true", help="print its output when it has ended; 1 if it failed"
    )
    parser.add_argument(
        "--watch", action="store_true", help="as --wait, and show states on stderr as they change"
    )
    parser.add_argument("--timeout", type=options.seconds, metavar="SECONDS", help="wait no longer")
    options.add_text_or_data(parser)


def _add_list(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "list", "one line for each workflow, or for each execution of one")
    parser.add_argument("name", nargs="?", help="the workflow whose executions are listed")
    options.add_everywhere(parser)
    parser.add_argument("--status", choices=STATUSES, help="only executions that stand so")
    parser.add_argument("--limit", type=int, default=50, help="at most so many executions (50)")
    options.add_form(parser)


def _add_show(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "show", "all about a workflow, or about an execution and its states")
    parser.add_argument("name", help="the workflow")
    parser.add_argument("execution", nargs="?", help="the execution")
    options.add_form(parser)


def _add_history(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "history", "every event of an execution")
    parser.add_argument("name", help="the workflow")
    parser.add_argument("execution", nargs="?", help="the execution (the last one)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until it has ended")
    options.add_text_or_data(parser)


def _add_stop(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "stop", "stop a running execution")
    _add_execution(parser)
    parser.add_argument("--error", help="the error that it ends with")
    parser.add_argument("--cause", help="why, for people")
    options.add_text_or_data(parser)


def _add_redrive(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "redrive", "run the failed states of an ended execution again")
    _add_execution(parser)
    options.add_text_or_data(parser)


def _add_signal(verbs: _Verbs[argparse.ArgumentParser]) -> None:
    parser = _add(verbs, "signal", "tell a task that waits for a token how it went on")
    parser.add_argument("signal", choices=SIGNALS, metavar="SIGNAL", help=", ".join(SIGNALS))
    parser.add_argument("name", nargs="?", help="the workflow, unless --token is given")
    parser.add_argument("execution", nargs="?", help="the execution")
    parser.add_argument("--state", help="the waiting state, when several wait")
    parser.add_argument("--token", help="the task's token, in place of its execution")
    _add_data(parser, "success: the task's output")
    parser.add_argument("--error", help="failure: the error's name")
    parser.add_argument("--cause", help="failure: why, for people")


def _add(verbs: _Verbs[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    parser = options.action(verbs, name, text)
    options.add_engine(parser)
    return parser


def _add_execution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the workflow, or the execution's ARN")
    parser.add_argument("execution", nargs="?", help="the execution")


def _add_data(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "-d", "--data", help=f"{what} as JSON ({{}}); @FILE reads it from a file, @- from stdin"
    )
