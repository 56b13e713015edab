"""PostgreSQL dies in the middle of the load: what was acknowledged stays, the rest is repeated."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from tests.support.ledger_rig import (
    CHAIN,
    Running,
    a_machine,
    an_execution,
    claim_all,
    dispatches,
    started_in,
)
from tests.support.postgres import needs_postgres
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import Start, Step, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Ledger, LedgerAway, Owned
from torpor.workflows.ledger.embedded import EmbeddedPostgres
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.ledger.postgres_programs import EmbeddedFailed
from torpor.workflows.records import Execution

pytestmark = needs_postgres


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="torpor-crash-"))
    path.chmod(0o755)
    yield path / "pg"
    shutil.rmtree(path)


Got = TypeVar("Got")


async def _again(attempt: Callable[[], Awaitable[Got]]) -> Got:
    """Repeat until PostgreSQL is there."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await attempt()
            except LedgerAway:
                await asyncio.sleep(0.05)


async def test_no_acknowledged_commit_is_lost_when_postgresql_is_killed(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    acknowledged: dict[str, int] = {}
    stop = asyncio.Event()

    async def client(ledger: Ledger, owned: dict[int, Owned], name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            await one_execution(ledger, owned, an_execution(f"{name}-{number}"))

    async def one_execution(ledger: Ledger, owned: dict[int, Owned], execution: Execution) -> None:
        started = await _again(lambda: ledger.insert(execution))
        running = Running(ledger, owned[started.shard], started, CHAIN)
        step = await _taken(running, Start())
        acknowledged[running.execution.arn] = 1
        while dispatches(step):
            (task,) = dispatches(step)
            step = await _taken(running, TaskSucceeded(task.frame, task.ticket, Payload("ok")))
            acknowledged[running.execution.arn] += 1

    async def _taken(running: Running, event: object) -> Step:
        step = advance(running.program, running.frontier, event, running.world)  # type: ignore[arg-type]
        await _again(lambda: running.commit(step))
        return step

    async def reached(total: int) -> None:
        """Wait until so many commits are acknowledged."""
        async with asyncio.timeout(60):
            while sum(acknowledged.values()) < total:  # noqa: ASYNC110 - polled on purpose
                await asyncio.sleep(0.005)

    try:
        async with open_ledger(server.dsn, 8) as ledger:
            await ledger.put_machine(a_machine())
            owned = await claim_all(ledger, "one")
            async with asyncio.TaskGroup() as group:
                for n in range(20):
                    group.create_task(client(ledger, owned, f"c{n}"), name=f"client {n}")
                for _ in range(3):
                    await reached(sum(acknowledged.values()) + 300)
                    server.kill()
                    server.start()
                stop.set()
            await _check(ledger, acknowledged)
    finally:
        server.stop()


async def _check(ledger: Ledger, acknowledged: dict[str, int]) -> None:
    assert sum(acknowledged.values()) >= 900
    for arn, commits in acknowledged.items():
        assert commits == 4
        assert (await ledger.execution(arn)).status is Status.SUCCEEDED
        page = await ledger.history(arn, 100, None, newest_first=False)
        # Start, three tasks with five events each, the end: no event lost, none twice.
        assert [row.id for row in page.items] == list(range(1, 18))
        assert [row.type for row in page.items].count("TaskStateExited") == 3


async def test_a_ledger_that_is_away_says_so_and_comes_back(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        async with open_ledger(server.dsn, 2) as ledger:
            await ledger.put_machine(a_machine())
            server.stop()
            with pytest.raises(LedgerAway):
                await ledger.insert(an_execution("gone"))
            with pytest.raises(LedgerAway):
                await ledger.machines(10, None)
            server.start()
            await _again(lambda: ledger.insert(an_execution("back")))
            assert len(await started_in(ledger, [0, 1])) == 1
            assert await _woken(ledger)
    finally:
        server.stop()


async def _woken(ledger: Ledger) -> set[int]:
    return await ledger.wait_for_work([0, 1], 20)


def test_a_server_left_behind_and_a_stale_pid_file_do_not_hinder_a_start(folder: Path) -> None:
    first = EmbeddedPostgres(folder)
    first.start()
    second = EmbeddedPostgres(folder)
    second.start()
    assert first.pid is None
    assert second.pid is not None
    second.kill()
    (folder / "data" / "postmaster.pid").write_text("1\nnot ours\n")
    second.start()
    second.stop()
    assert second.pid is None


def test_a_server_that_cannot_start_says_why(folder: Path) -> None:
    server = EmbeddedPostgres(folder, {"no_such_setting": "on"})
    with pytest.raises(EmbeddedFailed, match="no_such_setting"):
        server.start()


async def test_what_a_killed_server_leaves_behind_ends_before_the_next_one_begins(
    folder: Path,
) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    connection = await asyncpg.connect(server.dsn)
    busy = connection.get_server_pid()
    endless = asyncio.create_task(
        connection.execute("SELECT count(*) FROM generate_series(1, 10000000000::bigint) AS n")
    )
    try:
        async with asyncio.timeout(20):
            while "SELECT" not in Path(f"/proc/{busy}/cmdline").read_text():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.02)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while server.pid is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await asyncio.to_thread(server.start)
        assert not Path(f"/proc/{busy}/cwd").exists()  # noqa: ASYNC240
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await endless
    finally:
        endless.cancel()
        await asyncio.wait((endless,))
        connection.terminate()
        server.stop()
