"""Options that several verbs share, apart from what they lead to, which is slow to import."""

from __future__ import annotations

import argparse
import math
import os

from torpor.cli.output import Form
from torpor.errors import TorporError

GATEWAY_VARIABLE = "TORPOR_GATEWAY"
WORKFLOWS_VARIABLE = "TORPOR_WORKFLOWS"
EVENTS_VARIABLE = "TORPOR_EVENTS"
EVENTS_ADMIN_VARIABLE = "TORPOR_EVENTS_ADMIN"
DASHBOARD_VARIABLE = "TORPOR_DASHBOARD"


class BadOption(TorporError):
    """An option that cannot be understood."""

    code = "bad-option"


def seconds(text: str) -> float:
    """Return how long to wait, in seconds; it is more than none, and has an end."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if found > 0 and math.isfinite(found):
        return found
    raise argparse.ArgumentTypeError(f"{text!r}: give seconds, more than 0, such as 30 or 0.5")


Actions = argparse._SubParsersAction
"""What `add_subparsers` gives."""


def actions(parser: argparse.ArgumentParser) -> Actions[argparse.ArgumentParser]:
    """Have the verb ask for one of its actions, which are added to what is returned."""
    return parser.add_subparsers(dest="action", metavar="ACTION", required=True)


def action(
    verbs: Actions[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    """Add an action whose help is `text`."""
    return verbs.add_parser(name, help=text, description=text)


def add_cluster(
    parser: argparse.ArgumentParser, namespace: str = "the namespace (the kubeconfig's)"
) -> None:
    """Add which cluster and which namespace; `namespace` is the help where it is another one."""
    parser.add_argument("-n", "--namespace", help=namespace)
    parser.add_argument("--kubeconfig", help="the kubeconfig ($KUBECONFIG, ~/.kube/config)")
    parser.add_argument("--context", help="the kubeconfig's context (the current one)")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Add where Torpor itself is."""
    parser.add_argument(
        "--torpor-namespace", default="torpor-system", help="where Torpor runs (torpor-system)"
    )


def add_gateway(parser: argparse.ArgumentParser) -> None:
    """Add the way to a gateway: directly, or through the API server."""
    parser.add_argument(
        "--gateway",
        default=os.environ.get(GATEWAY_VARIABLE),
        help=f"a gateway's URL, such as http://127.0.0.1:8080, or HOST:PORT (${GATEWAY_VARIABLE})",
    )
    add_place(parser)


def add_request(parser: argparse.ArgumentParser) -> None:
    """Add the parts of a request to a function."""
    parser.add_argument("--path", default="/", help="path and query that the function sees (/)")
    parser.add_argument("-X", "--method", help="the method (GET; POST when there is data)")
    parser.add_argument("-d", "--data", help="the body; @FILE reads it from a file, @- from stdin")
    parser.add_argument(
        "-H", "--header", action="append", default=[], metavar="NAME: VALUE", help="a header"
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add cluster and the way to the execution API."""
    add_cluster(parser)
    parser.add_argument(
        "--endpoint",
        default=os.environ.get(WORKFLOWS_VARIABLE),
        help=f"the execution API's URL, as torpor dev prints it (${WORKFLOWS_VARIABLE})",
    )
    add_place(parser)


def add_events(parser: argparse.ArgumentParser) -> None:
    """Add cluster and the ways to the two APIs of the events role."""
    add_cluster(parser)
    parser.add_argument(
        "--endpoint",
        default=os.environ.get(EVENTS_VARIABLE),
        help=f"the events API's URL, as torpor dev prints it (${EVENTS_VARIABLE})",
    )
    parser.add_argument(
        "--admin",
        default=os.environ.get(EVENTS_ADMIN_VARIABLE),
        help=f"the internal API's URL (${EVENTS_ADMIN_VARIABLE}; that of torpor dev is found)",
    )
    add_place(parser)


def add_dashboard(parser: argparse.ArgumentParser) -> None:
    """Add the way to the dashboard of torpor dev."""
    parser.add_argument(
        "--dashboard",
        default=os.environ.get(DASHBOARD_VARIABLE),
        help=f"the dashboard's URL, as torpor dev prints it (${DASHBOARD_VARIABLE})",
    )


def add_everywhere(parser: argparse.ArgumentParser) -> None:
    """Add the choice of all namespaces."""
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")


def add_form(parser: argparse.ArgumentParser) -> None:
    """Add how things that have names are printed."""
    _add_output(parser, tuple(Form), "a table, with more columns, the objects, or names only")


def add_text_or_data(parser: argparse.ArgumentParser) -> None:
    """Add how an answer that has no name is printed."""
    _add_output(parser, (Form.TABLE, Form.JSON, Form.YAML), "text for people, or the whole answer")


def _add_output(parser: argparse.ArgumentParser, forms: tuple[Form, ...], text: str) -> None:
    names = [form.value for form in forms]
    parser.add_argument(
        "-o", "--output", choices=names, default=Form.TABLE.value, help=f"{text} (table)"
    )
