"""The catalog: one row a video, whose changes are announced by PostgreSQL's own log."""

import os

import asyncpg

_PUT = """
INSERT INTO videos (id, status, seconds, variants, cost, problem, execution, traceparent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (id) DO UPDATE SET
  status = excluded.status, seconds = excluded.seconds, variants = excluded.variants,
  cost = excluded.cost, problem = excluded.problem, execution = excluded.execution,
  traceparent = excluded.traceparent, updated_at = now()
WHERE videos.status <> 'ready'
"""
_ANSWER_SECONDS = 10


async def put(*values):
    """Write a video's row; one that is ready stays as it is, so that nothing is told twice."""
    connection = await _connected()
    try:
        await connection.execute(_PUT, *values)
    finally:
        await connection.close()


async def row(video):
    """Return a video's row, None if there is none."""
    connection = await _connected()
    try:
        return await connection.fetchrow("SELECT * FROM videos WHERE id = $1", video)
    finally:
        await connection.close()


async def latest(count):
    """Return the latest rows."""
    connection = await _connected()
    try:
        asked = "SELECT * FROM videos ORDER BY updated_at DESC LIMIT $1"
        return await connection.fetch(asked, count)
    finally:
        await connection.close()


def _connected():
    return asyncpg.connect(
        os.environ["CATALOG"], timeout=_ANSWER_SECONDS, command_timeout=_ANSWER_SECONDS
    )
