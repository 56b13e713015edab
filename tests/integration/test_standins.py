"""What a folder's Secrets stand for, in a `torpor dev` of nothing but a Function."""

# ruff: noqa: ASYNC240 - the files are few and small

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from tests.integration.test_dev_session import _url, ended, outcome, start
from tests.support.postgres import needs_postgres

pytestmark = needs_postgres
CODE = """
import json
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

async def handler(event, context):
    connection = await asyncpg.connect(os.environ["DSN"])
    try:
        await connection.execute("INSERT INTO visits DEFAULT VALUES")
        visits = await connection.fetchval("SELECT count(*) FROM visits")
        log = await connection.fetchval("SHOW wal_level")
    finally:
        await connection.close()
    place = Path(unquote(urlsplit(os.environ["url"]).path))
    return {
        "visits": visits,
        "log": log,
        "place": str(place),
        "there": place.is_dir(),
        "key": os.environ["AWS_ACCESS_KEY_ID"],
        "gateway": os.environ["TORPOR_GATEWAY"],
    }
"""
DSN = {"valueFrom": {"secretKeyRef": {"name": "catalog", "key": "dsn"}}}


def objects(schema: str) -> list[dict[str, Any]]:
    plain = _config("Secret", "another", stringData={"dsn": "postgresql://h/shop"})
    plain["metadata"]["annotations"]["torpor.dev/embedded"] = "postgresql"
    return [
        plain,  # that a Secret without a schema names it first must not leave it without tables
        _config("Secret", "catalog", "postgresql", stringData={"dsn": "postgresql://h/shop"}),
        _config("ConfigMap", "tables", data={"schema.sql": schema}),
        _config(
            "Secret",
            "store",
            "storage",
            stringData={"url": "s3://media/in", "AWS_ACCESS_KEY_ID": "change-me"},
        ),
        _config("ConfigMap", "apis", "apis", data={"TORPOR_GATEWAY": "http://gateway.svc"}),
        {
            "apiVersion": "torpor.dev/v1alpha1",
            "kind": "Function",
            "metadata": {"name": "one"},
            "spec": {
                "runtime": "python3",
                "handler": "main.handler",
                "code": {"inline": CODE},
                "env": [{"name": "DSN", **DSN}],
                "envFrom": [
                    {"secretRef": {"name": "store"}},
                    {"configMapRef": {"name": "apis"}},
                ],
            },
        },
    ]


def _config(kind: str, name: str, asked: str = "", **fields: Any) -> dict[str, Any]:
    notes = {"torpor.dev/embedded": asked} if asked else {}
    if asked == "postgresql":
        notes["torpor.dev/embedded-schema"] = "tables"
    meta = {"name": name, "annotations": notes}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, **fields}


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place that PostgreSQL may enter, which runs as another user where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield Path(folder)


@asynccontextmanager
async def asked(folder: Path) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Run the folder inside the block; give its address and what its Function says."""
    process = await start(folder)
    async with ended(process), asyncio.timeout(60), ClientSession() as client:
        url = await _url(process)
        async with client.get(f"{url}/function/default/one") as response:
            yield url, json.loads(await response.text())
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0


async def test_a_function_has_what_is_embedded_and_finds_it_again(
    tmp_path: Path, state: Path
) -> None:
    (tmp_path / "all.yaml").write_text(
        yaml.safe_dump_all(objects("CREATE TABLE visits (at timestamptz DEFAULT now())"))
    )
    async with asked(tmp_path) as (url, found):
        [place] = state.rglob("objects/media/in")
        assert found == {
            "visits": 1,
            "log": "logical",
            "place": str(place),
            "there": True,
            "key": "",
            "gateway": url,
        }
    async with asked(tmp_path) as (_, found):
        assert found["visits"] == 2, "the schema was run again, or the table is gone"


async def test_a_schema_that_is_wrong_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects("CREATE TABLE visits (at time")))
    status, output = await outcome(tmp_path)
    assert status == 2, output
    assert "torpor dev: the database shop cannot be made: syntax error at end of input" in output
    assert "Traceback" not in output


async def test_a_database_whose_schema_was_cut_short_is_made_anew(
    tmp_path: Path, state: Path
) -> None:
    wanted, mark = "CREATE TABLE visits (at timestamptz DEFAULT now())", state / "at-work" / "mark"
    mark.parent.mkdir()
    mark.parent.chmod(0o777)  # PostgreSQL writes there
    slow = f"COPY (SELECT 1) TO '{mark}'; SELECT pg_sleep(60); {wanted}"
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects(slow)))
    process = await start(tmp_path)
    async with ended(process), asyncio.timeout(60):
        while not mark.exists():  # noqa: ASYNC110 - PostgreSQL writes it
            await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects(wanted)))
    async with asked(tmp_path) as (_, found):
        assert found["visits"] == 1
    async with asked(tmp_path) as (_, found):
        assert found["visits"] == 2, "it was made once more, though it was whole"
