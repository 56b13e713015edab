"""A transaction took place and its answer was lost: what was taken is not taken from everybody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.support.ledger_rig import ONE_TASK, a_machine, begin, claim_all, dispatches
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.ledger.base import ActivityTask, LedgerAway
from torpor.workflows.ledger.postgres import open_ledger

pytestmark = needs_postgres
ACTIVITY = "arn:aws:states:us-east-1:123456789012:activity:review"
SOCKET = ".s.PGSQL.5432"
_READ_BYTES = 65_536


class Between:
    """Stands between PostgreSQL and a client; breaks the connection at the next COMMIT."""

    def __init__(self, socket: str, before_it_takes_place: bool) -> None:
        self._socket = socket
        self._before = before_it_takes_place
        self.armed = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection."""
        answers, server = await asyncio.open_unix_connection(self._socket)
        back = asyncio.create_task(_pass_on(answers, writer), name="answers")
        try:
            while data := await reader.read(_READ_BYTES):
                breaks = self.armed and b"COMMIT;" in data
                if breaks:
                    self.armed = False
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)
                if not (breaks and self._before):
                    server.write(data)
                    await server.drain()
                if breaks:
                    if not self._before:
                        await answers.read(_READ_BYTES)
                    break
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            writer.close()
            server.close()


async def _pass_on(answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await answers.read(_READ_BYTES):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def between(dsn: str, folder: Path, before: bool) -> AsyncIterator[tuple[str, Between]]:
    """The DSN of a server in between."""
    parts = urlsplit(dsn)
    [host] = parse_qs(parts.query)["host"]
    broken = Between(f"{host}/{SOCKET}", before)
    server = await asyncio.start_unix_server(broken.serve, folder / SOCKET)
    try:
        yield f"{dsn.partition('?')[0]}?host={quote(str(folder), safe='')}", broken
    finally:
        server.close()


@pytest.mark.parametrize("before", [False, True], ids=["it took place", "it took not place"])
async def test_a_task_whose_taking_got_no_answer(before: bool, tmp_path: Path) -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        await ledger.put_machine(a_machine())
        owned = await claim_all(ledger)
        run, step = await begin(ledger, owned, ONE_TASK)
        [task] = dispatches(step)
        offered = ActivityTask(run.execution.arn, task.frame, task.ticket, task.argument)
        await ledger.offer(ACTIVITY, offered)
        async with (
            between(dsn, tmp_path, before) as (other_dsn, connection),
            open_ledger(other_dsn) as other,
        ):
            connection.armed = True
            if before:
                with pytest.raises(LedgerAway):
                    await other.take(ACTIVITY, "w")
            assert await other.take(ACTIVITY, "w") == offered
            assert not connection.armed
            assert await other.take(ACTIVITY, "w") is None
        assert len(await ledger.posted(range(16))) == 1
