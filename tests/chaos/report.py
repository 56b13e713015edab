"""What chaos tests did and what was lost by it: a line a fault, printed when all have run.

A test says it by the fixture `faults`; one in this folder that says nothing fails, so that no fault
is missing in the table. Tests elsewhere that kill what they need are in `ELSEWHERE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

PROPERTY = "fault"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault in one test: what was hit, how often, and what was lost, in words."""

    what: str
    times: int
    lost: str


@dataclass(frozen=True, slots=True)
class Faults:
    """Where one test tells of its faults; they go into its report."""

    properties: list[tuple[str, object]]

    def add(self, what: str, times: int, lost: str = "nothing") -> None:
        """Tell of a fault that was done so many times; `lost` is what the test has asserted."""
        assert times > 0, f"{what}: it was never done"
        self.properties.append((PROPERTY, Fault(what, times, lost)))


_INTEGRATION = "tests/integration/"
_COMMAND = f"{_INTEGRATION}test_chaos_cli.py::"
_CLUSTER = "tests/cluster/test_deaths.py::"
ELSEWHERE: Mapping[str, Fault] = {
    _INTEGRATION
    + "test_ledger_crash.py::test_no_acknowledged_commit_is_lost_when_postgresql_is_killed": Fault(
        "PostgreSQL killed while commits are made", 1, "no commit that was acknowledged"
    ),
    _INTEGRATION
    + "test_haproxy_loss.py::"
    + "test_one_of_two_instances_killed_loses_no_get_and_doubles_no_post": Fault(
        "one of two instances killed behind HAProxy", 1, "no GET, and no POST done twice"
    ),
    _INTEGRATION
    + "test_haproxy_loss.py::"
    + "test_haproxy_killed_is_back_with_everything_and_refuses_nobody": Fault(
        "HAProxy killed", 1, "requests that were inside; nobody was refused"
    ),
    _INTEGRATION
    + "test_triggers_broker_loss.py::"
    + "test_nothing_acknowledged_is_lost_when_the_server_is_killed_while_we_publish": Fault(
        "nats-server killed while events are published", 1, "no event that was acknowledged"
    ),
    _INTEGRATION
    + "test_triggers_delivery_loss.py::"
    + "test_a_dispatcher_killed_during_an_invocation_has_used_no_attempt_up": Fault(
        "dispatcher killed during an invocation", 1, "no attempt of the event"
    ),
    _INTEGRATION
    + "test_triggers_delivery_loss.py::"
    + "test_a_broker_killed_in_the_middle_loses_nothing_and_calls_nobody_twice": Fault(
        "nats-server killed in the middle of deliveries", 1, "nothing, and nobody called twice"
    ),
    _COMMAND + "test_a_killed_run_goes_on_from_its_checkpoint": Fault(
        "torpor chaos kill-run", 1, "the unit in hand"
    ),
    _COMMAND + "test_a_killed_instance_is_replaced_and_what_comes_meanwhile_is_answered": Fault(
        "torpor chaos kill-pod", 1, "nothing: nothing was in it"
    ),
    _COMMAND + "test_executions_go_on_after_their_engine_was_killed": Fault(
        "torpor chaos kill-engine", 1, "nothing"
    ),
    _COMMAND + "test_a_slow_function_answers_late_and_right": Fault(
        "torpor chaos slow", 2, "time alone"
    ),
    _COMMAND + "test_a_filled_queue_is_worked_off_to_its_last_message": Fault(
        "torpor chaos fill-queue", 1, "none of 25 messages"
    ),
}
"""Tests of other suites that are run too."""
ON_A_CLUSTER: Mapping[str, Fault] = {
    _CLUSTER + "test_a_killed_process_loses_no_get_and_no_post_is_delivered_twice": Fault(
        "process of a pod killed under traffic", 3, "no GET, and no POST done twice"
    ),
    _CLUSTER + "test_an_api_server_that_stands_still_disturbs_no_warm_traffic": Fault(
        "API server stopped under traffic", 1, "no warm request"
    ),
}
"""Those that need one; without KUBECONFIG they are not run."""


def elsewhere() -> Mapping[str, Fault]:
    """Return the tests of other suites that can be run here."""
    return {**ELSEWHERE, **(ON_A_CLUSTER if os.environ.get("KUBECONFIG") else {})}


def found_in(test: str, properties: Iterable[tuple[str, object]]) -> Iterator[Fault]:
    """Yield the faults of one test that has passed, by its report."""
    known = {**ELSEWHERE, **ON_A_CLUSTER}.get(test)
    if known is not None:
        yield known
    yield from (it for name, it in properties if name == PROPERTY and isinstance(it, Fault))


def table(faults: Iterable[Fault]) -> Iterator[str]:
    """Yield the lines: what was hit, how often, what was lost."""
    found = list(faults)
    width = max((len(fault.what) for fault in found), default=0)
    yield f"{'fault':<{width}}  times  lost"
    for fault in found:
        yield f"{fault.what:<{width}}  {fault.times:>5}  {fault.lost}"
