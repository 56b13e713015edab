"""The execution API as the person at the terminal reaches it, and what the names given mean there.

With --endpoint (or TORPOR_WORKFLOWS, as `torpor dev` prints it) the API is asked directly; else the
way is through the cluster's API server to the Service of the engine, so that nothing is exposed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from torpor.cli import cluster
from torpor.cli.cluster import ANSWER_SECONDS, Request
from torpor.errors import TorporError
from torpor.workflows.client import StepFunctions

TOKEN_VARIABLE = "TORPOR_WORKFLOWS_TOKEN"  # noqa: S105 - the name of a variable
SERVICE = "torpor-engine:api"
_MACHINE, _EXECUTION, _EXPRESS = ":stateMachine:", ":execution:", ":express:"


class NoSuchWorkflow(TorporError):
    """The engine has no workflow, or no execution, of that name."""

    code = "no-such-workflow"


class NoEngine(TorporError):
    """The cluster has no engine where it was looked for."""

    code = "no-engine"


@asynccontextmanager
async def connect(
    args: argparse.Namespace, answer_seconds: float = ANSWER_SECONDS
) -> AsyncIterator[StepFunctions]:
    """Open a session with the execution API that the options name; each call may take so long."""
    if args.endpoint:
        async with aiohttp.ClientSession() as session:
            yield _direct(session, str(args.endpoint), answer_seconds)
        return
    async with cluster.connect(args) as api:
        yield _through(api, str(args.torpor_namespace), answer_seconds)


def _direct(session: aiohttp.ClientSession, endpoint: str, seconds: float) -> StepFunctions:
    url = endpoint if "://" in endpoint else f"http://{endpoint}"
    token = os.environ.get(TOKEN_VARIABLE)
    proof = {"authorization": f"Bearer {token}"} if token else {}

    async def send(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        request = Request("POST", url, {**headers, **proof}, body, seconds)
        async with cluster.exchange(session, request, f"the execution API at {url}") as answer:
            return answer.status, await answer.read()

    return StepFunctions(send)


def _through(api: cluster.Cluster, namespace: str, seconds: float) -> StepFunctions:
    path = f"/api/v1/namespaces/{namespace}/services/{SERVICE}/proxy/"

    async def send(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        async with api.stream(Request("POST", path, headers, body, seconds)) as answer:
            content = await answer.read()
            if answer.status >= 400 and _is_status(content):
                raise NoEngine(_no_engine(namespace, content))
            return answer.status, content

    return StepFunctions(send)


def _is_status(content: bytes) -> bool:
    """Whether the API server answered, in place of the engine."""
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("kind") == "Status"


def _no_engine(namespace: str, status: bytes) -> str:
    told = json.loads(status).get("message")
    return (
        f"the engine in {namespace} (--torpor-namespace) cannot be reached: {told}; for torpor dev "
        "give --endpoint; where a policy or a token stands in the way: "
        f"kubectl port-forward -n {namespace} svc/torpor-engine 8100:api, "
        "and --endpoint http://127.0.0.1:8100"
    )


@dataclass(frozen=True, slots=True)
class Named:
    """What NAME and EXECUTION mean: a machine, and perhaps one of its executions, by ARN."""

    machine: str
    execution: str | None = None

    @property
    def label(self) -> str:
        """The workflow as a person writes it: `namespace/name`."""
        return spoken(self.machine.rpartition(":")[2])


def spoken(machine: str) -> str:
    """A machine's name as a person writes it: `shop.saga` is `shop/saga`."""
    namespace, dot, name = machine.partition(".")
    return f"{namespace}/{name}" if dot else machine


async def find(
    api: StepFunctions, args: argparse.Namespace, name: str, execution: str | None = None
) -> Named:
    """What a NAME, NAMESPACE/NAME or ARN means, with the name or ARN of an execution.

    A plain NAME is first looked for in the namespace, then among the machines without one.
    """
    arn = execution if execution and execution.startswith("arn:") else name
    if _EXECUTION in arn or _EXPRESS in arn:
        return Named(machine_of(arn), arn)
    machine = name if _MACHINE in name else await _machine(api, args, name)
    return Named(machine, execution and execution_arn(machine, execution))


def machine_of(execution: str) -> str:
    """The ARN of an execution's machine."""
    kind = _EXECUTION if _EXECUTION in execution else _EXPRESS
    head, _, tail = execution.partition(kind)
    return head + _MACHINE + tail.partition(":")[0]


def execution_arn(machine: str, name: str) -> str:
    """The ARN of a machine's execution of that name."""
    head, _, tail = machine.partition(_MACHINE)
    return f"{head}{_EXECUTION}{tail.partition(':')[0]}:{name}"


async def _machine(api: StepFunctions, args: argparse.Namespace, name: str) -> str:
    namespace, slash, plain = name.rpartition("/")
    full = f"{namespace or cluster.namespace_of(args)}.{plain}"
    wanted = (full,) if slash else (full, plain)
    found: dict[str, Any] = {}
    async for item in api.each("ListStateMachines", "stateMachines", maxResults=1_000):
        if item["name"] in wanted:
            found[item["name"]] = item["stateMachineArn"]
            if item["name"] == full:
                break
    arn = next((found[item] for item in wanted if item in found), None)
    if arn is None:
        text = (
            f"there is no workflow {spoken(full)}; `torpor workflow list -A` shows those there are"
        )
        raise NoSuchWorkflow(text)
    return str(arn)


async def latest(api: StepFunctions, named: Named) -> str:
    """The ARN of the execution that was named, else of the one that was started last."""
    if named.execution:
        return named.execution
    found = api.each("ListExecutions", "executions", stateMachineArn=named.machine, maxResults=1)
    async for item in found:
        return str(item["executionArn"])
    raise NoSuchWorkflow(f"{named.label} has no execution yet; torpor workflow run starts one")
