"""A real PostgreSQL, one for all tests of a run, and a fresh database for each test."""

from __future__ import annotations

import asyncio
import functools
import itertools
import shutil
import tempfile
from atexit import register
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from torpor.workflows.ledger.embedded import EmbeddedPostgres
from torpor.workflows.ledger.postgres_programs import available

needs_postgres = pytest.mark.skipif(not available(), reason="no PostgreSQL on this machine")
_numbers = itertools.count(1)


@functools.cache
def shared_server() -> EmbeddedPostgres:
    """The server of this run: started at the first use, stopped at exit."""
    folder = Path(tempfile.mkdtemp(prefix="torpor-test-pg-"))
    folder.chmod(0o755)
    server = EmbeddedPostgres(folder / "pg")
    server.start()
    register(_end, server, folder)
    return server


def _end(server: EmbeddedPostgres, folder: Path) -> None:
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def fresh_database() -> AsyncIterator[str]:
    """The DSN of an empty database of the shared server, dropped at the end."""
    server = shared_server()
    name = f"test_{next(_numbers)}"
    await _administer(server, f'CREATE DATABASE "{name}"')
    try:
        yield server.dsn_of(name)
    finally:
        await _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(server: EmbeddedPostgres, statement: str) -> None:
    async with asyncio.timeout(30):
        connection = await asyncpg.connect(server.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
