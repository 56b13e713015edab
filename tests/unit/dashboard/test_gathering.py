"""One snapshot of many parts, when some of them are away, slow, or too many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from tests.support.virtual_time import run as run_virtual
from tests.unit.dashboard.empty import Empty
from torpor.dashboard.gathering import PART_SECONDS, Gathering
from torpor.dashboard.model import EventSeen, FunctionSeen, FunctionState, Json, to_json
from torpor.dashboard.sources import Away


def function(name: str) -> FunctionSeen:
    return FunctionSeen("shop", name, "Service", FunctionState.ZERO)


class Flaky(Empty):
    """Whose runs are away, and whose traces take forever, when it is `ill`."""

    ill = False

    async def functions(self) -> Sequence[FunctionSeen]:
        return [function(f"f{number}") for number in range(2000)]

    async def runs(self) -> Sequence[Json]:
        if self.ill:
            raise Away("the controller does not answer")
        return [{"id": "one"}]

    async def traces(self) -> Sequence[Json]:
        if self.ill:
            await asyncio.sleep(3600)
        return [{"traceId": "a"}] * 60


def test_what_is_away_stays_as_it_was_and_is_said() -> None:
    async def story() -> None:
        sources = Flaky()
        gathering = Gathering(sources, wall=lambda: 7.0)
        whole = await gathering.snapshot()
        assert (whole.problem, whole.runs, len(whole.traces)) == ("", ({"id": "one"},), 50)
        sources.ill = True
        since = asyncio.get_running_loop().time()
        partly = await gathering.snapshot()
        assert asyncio.get_running_loop().time() - since == PART_SECONDS
        assert (partly.runs, partly.traces) == (whole.runs, whole.traces)
        assert partly.problem == (
            "runs: the controller does not answer; traces: no answer within 3 s"
        )

    run_virtual(story())


def test_a_defect_in_one_part_is_said_and_logged_once_and_the_rest_is_live(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Flaky):
        async def bus(self) -> Sequence[EventSeen]:
            raise KeyError("subject")

    async def story() -> None:
        gathering = Gathering(Broken(), wall=lambda: 7.0)
        for _ in range(2):
            found = await gathering.snapshot()
            assert found.problem.startswith("bus: a defect of the dashboard")
            assert "KeyError('subject')" in found.problem
            assert found.runs == ({"id": "one"},)

    run_virtual(story())
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_snapshot_is_bounded_and_has_the_names_of_the_page() -> None:
    told = to_json(run_virtual(Gathering(Flaky(), wall=lambda: 7.0).snapshot()))
    assert len(told["functions"]) == 1000
    assert (told["at"], told["place"], told["cost"]) == (7.0, "a test", None)
    assert told["functions"][0] == {
        "namespace": "shop",
        "name": "f0",
        "workload": "Service",
        "state": "zero",
        "replicas": 0,
        "ready": 0,
        "wanted": 0,
        "inFlight": 0,
        "queued": 0,
        "held": 0,
        "requests": 0,
        "reason": "",
        "coldStarts": [],
    }
