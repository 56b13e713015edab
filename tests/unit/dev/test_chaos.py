"""What a fault says when what it broke does not come back."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from torpor.dev.chaos import Chaos, NotBack, NothingToBreak
from torpor.platform.base import Instance
from torpor.resources.load import FunctionLoad
from torpor.resources.names import FunctionKey
from torpor.resources.run import UnknownRun, unknown_run

KEY = FunctionKey("default", "one")


class NeverBack:
    """A session whose only instance stays down once it was killed, and whose engine does so."""

    def __init__(self) -> None:
        function = SimpleNamespace(job=None)
        self.entries = {KEY: SimpleNamespace(program=SimpleNamespace(function=function))}
        self.platform = self.executions = self.runs = self
        self.rows: Any = lambda: [SimpleNamespace(key=KEY, load=FunctionLoad())]

    def instances(self, key: FunctionKey) -> tuple[Instance, ...]:
        return (Instance(key, "one-1", "1", "127.0.0.1", 1, ready=False, terminating=False),)

    def send_signal(self, *_: Any) -> None:
        """Nothing comes of it."""

    def under_way(self, namespace: str, name: str) -> Any:
        raise unknown_run(namespace, name)

    async def crash(self) -> int:
        raise TimeoutError


async def test_an_instance_that_stays_away_is_no_success() -> None:
    session: Any = NeverBack()
    chaos = Chaos(session, clock=itertools.count(0.0, 40.0).__next__)
    with pytest.raises(NotBack, match="instance one-1 of default/one was killed, and is not back"):
        await chaos.kill_pod(KEY)


async def test_an_engine_that_stays_away_is_no_success() -> None:
    session: Any = NeverBack()
    with pytest.raises(NotBack, match="the engine was killed, and is not back"):
        await Chaos(session).kill_engine()


async def test_a_function_without_a_run_is_not_taken_for_a_run_that_is_forgotten() -> None:
    session: Any = NeverBack()
    chaos = Chaos(session)
    with pytest.raises(NothingToBreak, match="default/one has no run that goes on"):
        await chaos.kill_run("default", "one")
    with pytest.raises(UnknownRun):
        await chaos.kill_run("default", "two")
