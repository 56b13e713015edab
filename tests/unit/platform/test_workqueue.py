"""The work queue's rules, one at a time, in virtual time."""

from __future__ import annotations

import asyncio

from tests.support.virtual_time import run
from torpor.errors import ApiConflict
from torpor.platform.kubernetes import WorkQueue
from torpor.platform.kubernetes.throttle import Backoff


def queue_of(rate_per_second: float = 1000.0, burst: int = 1000) -> WorkQueue[str]:
    return WorkQueue(
        backoff=Backoff(first_seconds=1.0, most_seconds=8.0),
        rate_per_second=rate_per_second,
        burst=burst,
        clock=asyncio.get_running_loop().time,
        rand=lambda: 1.0,
    )


def test_a_key_added_twice_is_worked_on_once() -> None:
    async def scenario() -> None:
        queue = queue_of()
        queue.add("a")
        queue.add("b")
        queue.add("a")
        assert [await queue.get(), await queue.get()] == ["a", "b"]
        assert len(queue) == 0

    run(scenario())


def test_a_key_added_during_its_work_comes_again_after_it() -> None:
    async def scenario() -> None:
        queue = queue_of()
        queue.add("a")
        key = await queue.get()
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0
        queue.done(key)
        assert await queue.get() == "a"
        queue.done("a")
        assert len(queue) == 0

    run(scenario())


def test_the_earliest_of_several_delays_holds_and_an_add_overrides_it() -> None:
    async def scenario() -> None:
        queue, clock = queue_of(), asyncio.get_running_loop().time
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 5)
        assert await queue.get() == "a"
        assert clock() == 3
        queue.done("a")
        queue.add_after("b", 20)
        queue.add("b")
        assert (await queue.get(), clock()) == ("b", 3)
        queue.done("b")
        await asyncio.sleep(60)
        queue._promote()
        assert len(queue) == 0

    run(scenario())


def test_failures_come_back_later_and_later_until_forgotten() -> None:
    async def scenario() -> None:
        queue, clock = queue_of(), asyncio.get_running_loop().time
        times: list[float] = []
        for _ in range(6):
            queue.retry("a")
            queue.done(await queue.get())
            times.append(clock())
        gaps = [later - sooner for sooner, later in zip([0.0, *times], times, strict=False)]
        assert gaps == [1, 2, 4, 8, 8, 8]
        queue.forget("a")
        queue.retry("a")
        await queue.get()
        assert clock() - times[-1] == 1

    run(scenario())


def test_a_key_that_breaks_does_not_stop_the_others_and_succeeds_later() -> None:
    async def scenario() -> None:
        queue, clock = queue_of(), asyncio.get_running_loop().time
        done: list[tuple[str, float]] = []
        errors = [ApiConflict(409, "Conflict", "changed"), ZeroDivisionError()]

        async def work(key: str) -> float | None:
            if key == "bad" and errors:
                raise errors.pop(0)
            done.append((key, clock()))
            return 30.0 if key == "again" and len(done) < 4 else None

        for key in ("bad", "good", "again"):
            queue.add(key)
        task = asyncio.create_task(queue.run(1, work))
        await asyncio.sleep(120)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert done == [("good", 0), ("again", 0), ("bad", 3), ("again", 30)]

    run(scenario())


def test_the_pace_over_all_keys_is_bounded() -> None:
    async def scenario() -> None:
        queue, clock = queue_of(rate_per_second=10, burst=5), asyncio.get_running_loop().time
        times: list[float] = []

        async def work(key: str) -> float | None:
            times.append(clock())
            return None

        for number in range(25):
            queue.add(str(number))
        task = asyncio.create_task(queue.run(4, work))
        await asyncio.sleep(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(times) == 25
        assert all(sum(at <= t < at + 1 for t in times) <= 15 for at in times)

    run(scenario())


def test_a_cancelled_worker_gives_its_key_back() -> None:
    async def scenario() -> None:
        queue = queue_of()
        queue.add("a")
        task = asyncio.create_task(queue.run(1, lambda key: asyncio.sleep(100)))
        await asyncio.sleep(1)
        queue.add("a")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await queue.get() == "a"

    run(scenario())


def test_the_oldest_waiting_key_has_an_age() -> None:
    async def scenario() -> None:
        queue = queue_of()
        assert queue.oldest_seconds() == 0
        queue.add("a")
        await asyncio.sleep(7)
        queue.add("b")
        assert queue.oldest_seconds() == 7

    run(scenario())
