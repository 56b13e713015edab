"""Two electors over one Lease: never two leaders, quick takeover, loss is told at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import NoReturn

import pytest

from tests.support.fake_api import FakeApi, Refusal
from tests.support.platform_rig import client_at, client_of, relaying, until
from torpor.platform.kubernetes import KubernetesApi, Lease, LeaseLost, Limits, Timing
from torpor.platform.kubernetes.throttle import Backoff

TIMING = Timing(duration=1.0, deadline=0.6, retry=0.1, ending=0.5)
HASTE = Limits(attempt_seconds=0.3, attempts=2, backoff=Backoff(0.01, 0.02))


class Elector:
    """One replica: notes when it led."""

    def __init__(self, api: KubernetesApi, name: str) -> None:
        self.jump = 0.0
        self.lease = Lease(api, "torpor", "leader", name, timing=TIMING, clock=self.clock)
        self.leading = False
        self.led: list[tuple[float, float]] = []
        self.task = asyncio.create_task(self.lease.lead(self.work))

    def clock(self) -> float:
        return time.monotonic() + self.jump

    async def work(self) -> None:
        self.leading = True
        began = time.monotonic()
        try:
            await asyncio.sleep(60)
        finally:
            self.leading = False
            self.led.append((began, time.monotonic()))

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def fake() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    await fake.start()
    yield fake
    await fake.stop()


async def test_one_leads_and_its_release_lets_the_other_in_at_once(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api, client_of(fake, HASTE) as other:
        first, second = Elector(api, "one"), Elector(other, "two")
        await until(lambda: first.leading or second.leading)
        await asyncio.sleep(3 * TIMING.duration)
        leader, standby = (first, second) if first.leading else (second, first)
        assert leader.leading
        assert leader.lease.held()
        assert not standby.leading
        assert not standby.lease.held()
        stopped = time.monotonic()
        await leader.stop()
        await until(lambda: standby.leading)
        assert time.monotonic() - stopped < TIMING.duration / 2
        assert leader.led[0][1] <= time.monotonic()
        await standby.stop()
        lease = fake.find("leases", "torpor", "leader")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == ""
        assert lease["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_dies_is_replaced_after_the_duration(fake: FakeApi) -> None:
    async with (
        relaying(fake.url) as relay,
        client_at(relay.url, HASTE) as api,
        client_of(fake, HASTE) as other,
    ):
        first = Elector(api, "one")
        await until(lambda: first.leading)
        second = Elector(other, "two")
        died = time.monotonic()
        relay.cut()
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(asyncio.shield(first.task), 5)
        lost = time.monotonic()
        await until(lambda: second.leading)
        assert lost - died <= TIMING.deadline + 0.3
        assert first.led[0][1] < time.monotonic()
        assert time.monotonic() - died >= TIMING.duration - TIMING.retry * 1.2
        await second.stop()


async def test_an_api_that_is_away_ends_leadership_before_others_may_lead(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api, client_of(fake, HASTE) as other:
        first = Elector(api, "one")
        await until(lambda: first.leading)
        second = Elector(other, "two")
        await fake.stop()
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(asyncio.shield(first.task), 5)
        assert not first.lease.held()
        assert not second.leading
        await fake.start()
        await until(lambda: second.leading)
        assert first.led[0][1] < time.monotonic()
        await second.stop()


async def test_a_short_outage_is_survived(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api:
        leader = Elector(api, "one")
        await until(lambda: leader.leading)
        fake.refuse("PATCH", Refusal(500), times=2)
        await asyncio.sleep(2 * TIMING.deadline)
        assert leader.leading
        await leader.stop()


async def test_a_renewal_whose_answer_is_lost_is_not_a_loss(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api:
        leader = Elector(api, "one")
        await until(lambda: leader.leading)
        fake.refuse("PATCH", Refusal(500, applied=True), times=2)
        await asyncio.sleep(2 * TIMING.deadline)
        assert leader.leading
        await leader.stop()


async def test_after_a_jump_of_the_clock_nothing_is_held(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api:
        leader = Elector(api, "one")
        await until(lambda: leader.leading)
        leader.jump = 3600.0
        assert not leader.lease.held()
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(asyncio.shield(leader.task), 1)
        assert not leader.leading


async def test_a_lease_that_somebody_takes_by_force_is_lost_at_once(fake: FakeApi) -> None:
    async with client_of(fake, HASTE) as api:
        leader = Elector(api, "one")
        await until(lambda: leader.leading)
        give(fake, "two")
        with pytest.raises(LeaseLost, match="two"):
            await asyncio.wait_for(asyncio.shield(leader.task), 3 * TIMING.retry)
        lease = fake.find("leases", "torpor", "leader")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "two"


async def test_a_renewal_that_was_cancelled_half_way_does_not_prevent_the_release(
    fake: FakeApi,
) -> None:
    async with client_of(fake, HASTE) as api:
        leader = Elector(api, "one")
        await until(lambda: leader.leading)
        lease = fake.find("leases", "torpor", "leader")
        assert lease is not None
        fake.put("leases", lease)  # a version that the leader has not heard of
        await leader.stop()
        lease = fake.find("leases", "torpor", "leader")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == ""


async def test_an_error_of_the_work_comes_out_and_releases(fake: FakeApi) -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async with client_of(fake, HASTE) as api:
        with pytest.raises(ZeroDivisionError):
            await Lease(api, "torpor", "leader", "one", timing=TIMING).lead(broken)
        lease = fake.find("leases", "torpor", "leader")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == ""


@pytest.mark.parametrize("end", ["lost", "cancelled"])
async def test_an_error_of_the_work_s_own_end_comes_out(
    fake: FakeApi, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaking() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError("in clean-up")

    caplog.set_level(logging.WARNING, "torpor.platform.kubernetes.lease")
    async with client_of(fake, HASTE) as api:
        lease = Lease(api, "torpor", "leader", "one", timing=TIMING)
        leading = asyncio.create_task(lease.lead(breaking))
        await until(lease.held)
        if end == "lost":
            give(fake, "two")
        else:
            leading.cancel()
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(leading, 5)
        assert any("taken by two" in it.getMessage() for it in caplog.records) == (end == "lost")


class Ended(BaseException):
    """Stands for the end of the process."""


async def test_work_that_does_not_end_ends_the_process(
    fake: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    let_go, status = asyncio.Event(), list[int]()

    async def hanging() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await let_go.wait()

    def end(code: int) -> NoReturn:
        status.append(code)
        let_go.set()
        raise Ended

    async with client_of(fake, HASTE) as api:
        lease = Lease(api, "torpor", "leader", "one", timing=TIMING, end_process=end)
        leading = asyncio.create_task(lease.lead(hanging))
        await until(lease.held)
        give(fake, "two")
        with pytest.raises(Ended):
            await asyncio.wait_for(leading, 5)
        assert status == [1]
        assert "work of the leader" in caplog.records[-1].getMessage()


def give(fake: FakeApi, holder: str) -> None:
    """Write another holder into the Lease, as whoever takes it by force does."""
    lease = fake.find("leases", "torpor", "leader")
    assert lease is not None
    taken = {**lease, "spec": {**lease["spec"], "holderIdentity": holder}}
    fake.put("leases", {**taken, "metadata": {**lease["metadata"]}})
