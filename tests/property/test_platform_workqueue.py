"""The work queue under any interleaving: no key at two workers, no wish lost."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tests.support.virtual_time import run
from torpor.errors import ApiUnavailable
from torpor.platform.kubernetes import WorkQueue
from torpor.platform.kubernetes.throttle import Backoff

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["add", "later"]),
        st.floats(0, 3),
        st.floats(0, 2),
    ),
    min_size=1,
    max_size=30,
)


class Bench:
    """Adds keys over time, and checks what the workers do with them."""

    def __init__(self, seconds: list[float], failures: int) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(first_seconds=0.1, most_seconds=1.0)
        self.clock = loop.time
        self.queue: WorkQueue[str] = WorkQueue(backoff=backoff, clock=loop.time, rand=lambda: 0.5)
        self.seconds = seconds
        self.failures = failures
        self.busy: set[str] = set()
        self.began: dict[str, float] = {}
        self.wished: dict[str, float] = {}

    async def work(self, key: str) -> float | None:
        assert key not in self.busy, "two workers at one key"
        self.busy.add(key)
        self.began[key] = self.clock()
        try:
            await asyncio.sleep(self.seconds[len(self.began) % len(self.seconds)])
            if self.failures > 0:
                self.failures -= 1
                raise ApiUnavailable(503, "Injected", "the work fails")
        finally:
            self.busy.discard(key)
        return None

    def wish(self, key: str, kind: str, delay: float) -> None:
        now = self.clock()
        if kind == "add":
            self.queue.add(key)
            self.wished[key] = max(now, self.wished.get(key, 0.0))
        else:
            self.queue.add_after(key, delay)


@given(
    actions=ACTIONS,
    seconds=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    failures=st.integers(0, 6),
    workers=st.integers(1, 4),
)
def test_no_key_is_at_two_workers_and_no_wish_is_lost(
    actions: list[tuple[str, str, float, float]],
    seconds: list[float],
    failures: int,
    workers: int,
) -> None:
    async def scenario() -> None:
        bench = Bench(seconds, failures)
        task = asyncio.create_task(bench.queue.run(workers, bench.work))
        asked: set[str] = set()
        for key, kind, pause, delay in actions:
            await asyncio.sleep(pause)
            bench.wish(key, kind, delay)
            asked.add(key)
        await asyncio.sleep(60)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asked == set(bench.began)
        assert all(bench.began[key] >= wished for key, wished in bench.wished.items())
        assert bench.failures == 0 or bench.failures < failures
        assert len(bench.queue) == 0

    run(scenario())
