"""Row changes from a real PostgreSQL: each kind of change, and each way in which it goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.postgres import fresh_database, needs_postgres
from tests.support.source_rig import (
    KeptPositions,
    Reader,
    content_of,
    data_of,
    reading,
    trigger,
    world,
)
from torpor.resources.trigger import Trigger
from torpor.telemetry.metrics import REGISTRY
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources import postgres
from torpor.triggers.sources.catalog import forget
from torpor.triggers.sources.postgres import open_source
from torpor.triggers.sources.postgres_slot import subscription_name
from torpor.workflows.ledger.embedded import running

pytestmark = needs_postgres
ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, total numeric(10,2), note text)"


@dataclass
class Rig:
    """A database with a connection of the application's."""

    dsn: str
    app: asyncpg.Connection
    positions: KeptPositions = field(default_factory=KeptPositions)

    def world(self, dsn: str | None = None) -> Any:
        secrets = {"db": {"dsn": (dsn or self.dsn).encode()}}
        return world(positions=self.positions, secrets=secrets)

    async def run(self, statements: str) -> None:
        await self.app.execute(statements)

    @contextlib.asynccontextmanager
    async def read(self, of: Trigger | None = None, window: int = 256) -> AsyncIterator[Reader]:
        async with reading(open_source, of or orders(), self.world(), window=window) as reader:
            yield reader

    @property
    def acknowledged(self) -> list[bytes]:
        """The LSNs that are kept, of each place that was read."""
        values = self.positions.values
        return [value for (_, name), value in values.items() if name.startswith("lsn.")]

    async def slots(self) -> int:
        found: int = await self.app.fetchval(
            "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
        )
        return found


def orders(**settings: Any) -> Trigger:
    return trigger({"postgres": {"secret": "db", "tables": ["orders"], **settings}})


@contextlib.asynccontextmanager
async def rig(schema: str = ORDERS) -> AsyncIterator[Rig]:
    async with fresh_database() as dsn:
        app = await asyncpg.connect(dsn)
        try:
            await app.execute(schema)
            yield Rig(dsn, app)
        finally:
            await app.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE database = current_database()"
            )
            await app.close()


@contextlib.contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-pg-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


async def failure(at: Rig, of: Trigger | None = None) -> BaseException | None:
    async with at.read(of) as reader:
        return await reader.failure()


async def test_each_kind_of_change_is_told_in_the_order_of_the_commits() -> None:
    async with (
        rig() as at,
        at.read(orders(operations=["insert", "update", "delete", "truncate"])) as reader,
    ):
        await at.run("INSERT INTO orders VALUES (1, 9.5, 'a'), (2, 20, NULL)")
        await at.run("UPDATE orders SET total = 10 WHERE id = 1")
        await at.run("DELETE FROM orders WHERE id = 2; TRUNCATE orders")
        events = await reader.take(5)
        assert [event.type.rpartition(".")[2] for event in events] == [
            "insert",
            "insert",
            "update",
            "delete",
            "truncate",
        ]
        assert {event.subject for event in events} == {"public.orders"}
        assert [(data_of(event)["old"], data_of(event)["new"]) for event in events] == [
            (None, {"id": 1, "total": 9.5, "note": "a"}),
            (None, {"id": 2, "total": 20.0, "note": None}),
            (None, {"id": 1, "total": 10.0, "note": "a"}),
            ({"id": 2}, None),
            (None, None),
        ]
        first, second = events[0], events[1]
        assert first.id == f"{data_of(first)['lsn']}-0"
        assert second.id == f"{data_of(first)['lsn']}-1"
        assert data_of(first)["committedAt"] == first.time
        assert data_of(first)["txid"] == data_of(second)["txid"] != data_of(events[2])["txid"]
        assert first.source.startswith("postgresql://localhost/test_")


async def test_with_the_full_identity_the_old_row_and_untouched_large_values_are_told() -> None:
    table = f"{ORDERS}; ALTER TABLE orders ALTER note SET STORAGE EXTERNAL"
    async with rig(table) as at, at.read() as reader:
        await at.run("INSERT INTO orders VALUES (1, 1, repeat('x', 100000))")
        await at.run("UPDATE orders SET total = 2")
        await at.run("ALTER TABLE orders REPLICA IDENTITY FULL")
        await at.run("UPDATE orders SET total = 3; UPDATE orders SET id = 7, note = 'y'")
        inserted, poor, rich, moved = await reader.take(4)
        assert len(data_of(inserted)["new"]["note"]) == 100_000
        assert data_of(poor)["new"] == {"id": 1, "total": 2.0}
        assert data_of(poor)["unchanged"] == ["note"]
        assert len(data_of(rich)["new"]["note"]) == 100_000
        assert (data_of(rich)["old"]["total"], data_of(rich)["unchanged"]) == (2.0, [])
        assert (data_of(moved)["old"]["id"], data_of(moved)["new"]["note"]) == (1, "y")


async def test_types_become_json() -> None:
    table = """CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE orders (id bigint PRIMARY KEY,
        b bool, f float8, n numeric, j jsonb, a int[], m mood, raw bytea, at timestamptz, t text)"""
    async with rig(table) as at, at.read() as reader:
        await at.run(
            """INSERT INTO orders VALUES (9007199254740993, true, 'NaN', 12345678901234567.25,
            '{"x": [1, null]}', '{1,2}', 'ok', '\\x00ff', '2026-03-29 12:00+02', 'grüße'),
            (2, false, 0.5, -0.5, 'null', NULL, NULL, '', NULL, '')"""
        )
        first, second = await reader.take(2)
        assert data_of(first)["new"] == {
            "id": 9007199254740993,
            "b": True,
            "f": "NaN",
            "n": "12345678901234567.25",
            "j": {"x": [1, None]},
            "a": "{1,2}",
            "m": "ok",
            "raw": "AP8=",
            "at": "2026-03-29 10:00:00+00",
            "t": "grüße",
        }
        assert data_of(second)["new"] == {
            "id": 2,
            "b": False,
            "f": 0.5,
            "n": -0.5,
            "j": None,
            "a": None,
            "m": None,
            "raw": "",
            "at": None,
            "t": "",
        }


async def test_what_was_not_acknowledged_comes_again_with_its_id() -> None:
    async with rig() as at:
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (1), (2)")
            held = await reader.hold(2)
            await held[0].ack()
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (3)")
            again = await reader.take(3)
            assert [event.id for event in again[:2]] == [content_of(each).id for each in held]
            assert data_of(again[2])["new"]["id"] == 3


async def test_what_was_refused_is_read_again() -> None:
    async with rig() as at:
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (1)")
            (refused,) = await reader.hold(1)
            await refused.nak()
            assert isinstance(await reader.failure(), SourceAway)
        async with at.read() as reader:
            assert [event.id for event in await reader.take(1)] == [content_of(refused).id]


async def test_what_was_acknowledged_does_not_come_again_when_the_slot_is_put_back() -> None:
    with folder_for_all() as folder, running(folder / "pg") as server:
        at = Rig(server.dsn, await asyncpg.connect(server.dsn))
        await at.run(ORDERS)
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (1)")
            await reader.take(1)
            await _advanced(at)
            server.kill()  # without a checkpoint
            assert isinstance(await reader.failure(), SourceAway)
        at.app.terminate()
        server.start()
        at.app = await asyncpg.connect(server.dsn)
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (2)")
            (event,) = await reader.take(1)
            assert data_of(event)["new"]["id"] == 2
        await at.app.close()


async def test_another_server_is_not_read_from_the_lsn_of_the_last() -> None:
    with (
        folder_for_all() as folder,
        running(folder / "one") as one,
        running(folder / "other") as other,
    ):
        at = Rig(one.dsn, await asyncpg.connect(one.dsn))
        await at.run(ORDERS)
        async with at.read() as reader:
            await _switched(at)
            await at.run("INSERT INTO orders VALUES (1)")
            await reader.take(1)
            await _advanced(at)
        await at.app.close()
        at = Rig(other.dsn, await asyncpg.connect(other.dsn), at.positions)
        await at.run(ORDERS)
        async with at.read():
            pass  # its slot is made
        await at.run("INSERT INTO orders VALUES (2)")
        await _switched(at)
        await _switched(at)
        async with at.read() as reader:
            (event,) = await reader.take(1)
            assert data_of(event)["new"]["id"] == 2
        await at.app.close()


async def _switched(at: Rig) -> None:
    """Put the end of the WAL some segments further."""
    for _ in range(3):
        await at.run("SELECT pg_logical_emit_message(false, 'filler', 'x')")
        await at.run("SELECT pg_switch_wal()")


async def _advanced(at: Rig) -> None:
    """Wait until the position is kept."""
    async with asyncio.timeout(10):
        while not at.acknowledged:  # noqa: ASYNC110 - the source's work, beside
            await asyncio.sleep(0.01)


async def test_a_transaction_of_100_000_rows_comes_whole_and_only_once() -> None:
    async with rig() as at, at.read() as reader:
        await at.run("INSERT INTO orders SELECT n FROM generate_series(1, 100000) n")
        await at.run("INSERT INTO orders VALUES (0)")
        seen = [data_of(event)["new"]["id"] for event in await reader.take(100_001, 60)]
        assert seen == [*range(1, 100_001), 0]
        assert await reader.quiet(0.5)


async def test_other_tables_neither_tell_nor_keep_wal() -> None:
    async with rig(f"{ORDERS}; CREATE TABLE other (id int, t text)") as at, at.read():
        before = await _confirmed(at)
        await at.run("INSERT INTO other SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n")
        async with asyncio.timeout(10):
            while await _confirmed(at) - before < 2_000_000:  # noqa: ASYNC110 - beside
                await asyncio.sleep(0.05)
        assert not at.acknowledged


async def _confirmed(at: Rig) -> int:
    found: int = await at.app.fetchval(
        "SELECT (confirmed_flush_lsn - '0/0')::bigint FROM pg_replication_slots "
        "WHERE slot_name = $1",
        subscription_name(orders()),
    )
    return found


async def test_a_changed_table_goes_on() -> None:
    async with rig() as at, at.read() as reader:
        await at.run("INSERT INTO orders VALUES (1, 1, 'a')")
        await at.run("ALTER TABLE orders ADD paid bool DEFAULT true; ALTER TABLE orders DROP note")
        await at.run("INSERT INTO orders VALUES (2, 2, false)")
        first, second = await reader.take(2)
        assert data_of(first)["new"] == {"id": 1, "total": 1.0, "note": "a"}
        assert data_of(second)["new"] == {"id": 2, "total": 2.0, "paid": False}


async def test_a_column_with_the_trace_is_the_events() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with rig() as at, at.read() as reader:
        await at.run("ALTER TABLE orders ADD traceparent text")
        await at.run(f"INSERT INTO orders VALUES (1, 1, 'a', '{trace}')")
        await at.run("UPDATE orders SET note = 'b' WHERE id = 1")
        await at.run("UPDATE orders SET traceparent = 'none' WHERE id = 1")
        traces = [event.traceparent for event in await reader.take(3)]
    assert traces == [trace, trace, None]


async def test_forget_leaves_nothing_behind() -> None:
    async with rig() as at:
        async with at.read():
            assert await at.slots() == 1
        await forget(orders(), at.world())
        assert await at.slots() == 0
        assert await at.app.fetchval("SELECT count(*) FROM pg_publication") == 0
        await forget(orders(), at.world())


@pytest.mark.parametrize(
    ("schema", "settings", "says"),
    [
        (ORDERS, {"tables": ["orders", "shop.gone"]}, "there is no table shop.gone"),
        ("CREATE TABLE orders (id int)", {}, "REPLICA IDENTITY FULL"),
        (ORDERS, {"tables": ["."]}, "write schema.table"),
        (ORDERS, {"operations": ["upsert"]}, "insert, update, delete, truncate"),
    ],
)
async def test_what_cannot_be_read_is_told_with_what_to_do(
    schema: str, settings: dict[str, Any], says: str
) -> None:
    async with rig(schema) as at:
        with pytest.raises(SourceMisconfigured, match=says):
            raise await failure(at, orders(**settings)) or AssertionError
        assert await at.slots() == 0


async def test_a_table_without_identity_can_be_read_for_inserts() -> None:
    inserts = orders(operations=["insert"])
    async with rig("CREATE TABLE orders (id int)") as at, at.read(inserts) as reader:
        await at.run("INSERT INTO orders VALUES (1); UPDATE orders SET id = 2")
        (event,) = await reader.take(1)
        assert data_of(event)["new"] == {"id": 1}


async def test_a_server_that_does_not_decode_and_one_that_has_no_slot_left() -> None:
    with folder_for_all() as folder:
        for setting, value, says in (
            ("wal_level", "replica", "set wal_level = logical"),
            ("max_replication_slots", "0", "max_replication_slots above 0"),
        ):
            with running(folder / "pg", {setting: value}) as server:
                app = await asyncpg.connect(server.dsn)
                await app.execute("DROP TABLE IF EXISTS orders")
                await app.execute(ORDERS)
                with pytest.raises(SourceMisconfigured, match=says):
                    raise await failure(Rig(server.dsn, app)) or AssertionError
                await app.close()


async def test_a_user_who_may_not_is_told_what_it_takes() -> None:
    async with rig() as at:
        role = "reader_of_the_test"
        await at.run(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN")
        try:
            dsn = at.dsn.replace("postgresql://torpor@", f"postgresql://{role}@")
            async with reading(open_source, orders(), at.world(dsn)) as reader:
                with pytest.raises(SourceMisconfigured, match="REPLICATION"):
                    raise await reader.failure() or AssertionError
            async with reading(
                open_source, orders(), at.world(dsn.replace("/test_", "/none_"))
            ) as reader:
                with pytest.raises(SourceMisconfigured, match="correct the database"):
                    raise await reader.failure() or AssertionError
        finally:
            await at.run(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("dsn", "says"),
    [
        ("", "no usable field dsn"),
        ("mysql://host/db", "no usable field dsn"),
        ("postgresql://user:pa/ss@host/db", "percent-encode special"),
        ("postgresql://user:pa#ss@host/db", "percent-encode special"),
        ("postgresql://user:pass@127.0.0.1:1/db?sslmode=maybe", "percent-encode special"),
    ],
)
async def test_a_dsn_that_makes_no_sense_is_told_without_its_password(dsn: str, says: str) -> None:
    around = world(secrets={"db": {"dsn": dsn.encode()}})
    async with reading(open_source, orders(), around) as reader:
        failed = await reader.failure()
        assert isinstance(failed, SourceMisconfigured)
        assert says in str(failed)
        assert "pa" not in str(failed).replace("password", "")


async def test_a_server_that_is_not_there_is_away() -> None:
    around = world(secrets={"db": {"dsn": b"postgresql://user:pass@127.0.0.1:1/db"}})
    async with reading(open_source, orders(), around) as reader:
        failed = await reader.failure()
        assert isinstance(failed, SourceAway)
        assert "pass" not in str(failed)


async def test_a_dropped_publication_is_told_and_a_dropped_slot_begins_anew() -> None:
    async with rig() as at:
        name = subscription_name(orders())
        async with at.read():
            pass
        await at.run(f"DROP PUBLICATION {name}")
        with pytest.raises(SourceMisconfigured, match=f"pg_drop_replication_slot.'{name}'"):
            raise await failure(at) or AssertionError
        await at.run(f"SELECT pg_drop_replication_slot('{name}')")
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (5)")
            (event,) = await reader.take(1)
            assert data_of(event)["new"]["id"] == 5


async def test_a_dsn_that_leads_elsewhere_leaves_no_slot_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "_CHECK_SECONDS", 0.0)
    async with rig() as one, fresh_database() as other:
        secrets = {"db": {"dsn": one.dsn.encode()}}
        places = world(positions=one.positions, secrets=secrets)
        async with reading(open_source, orders(), places) as reader:
            await one.run("INSERT INTO orders VALUES (1)")
            await reader.take(1)
            secrets["db"] = {"dsn": other.encode()}
            with pytest.raises(SourceAway, match="dsn in the Secret db has changed"):
                raise await reader.failure() or AssertionError
        assert await one.slots() == 0
        app = await asyncpg.connect(other)
        await app.execute(ORDERS)
        async with reading(open_source, orders(), places) as reader:
            await app.execute("INSERT INTO orders VALUES (2)")
            (event,) = await reader.take(1)
        await app.execute(f"SELECT pg_drop_replication_slot('{subscription_name(orders())}')")
        await app.close()
    assert data_of(event)["new"]["id"] == 2


async def test_a_slot_in_another_database_of_the_server_is_replaced() -> None:
    async with rig() as one, fresh_database() as other:
        async with one.read():
            pass
        app = await asyncpg.connect(other)
        at = Rig(other, app, one.positions)
        await at.run(ORDERS)
        async with at.read() as reader:
            await at.run("INSERT INTO orders VALUES (2)")
            (event,) = await reader.take(1)
        assert await one.slots() == 0
        await at.run(f"SELECT pg_drop_replication_slot('{subscription_name(orders())}')")
        await app.close()
    assert data_of(event)["new"]["id"] == 2


async def test_a_slot_left_at_a_server_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with (
        folder_for_all() as folder,
        running(folder / "one") as one,
        running(folder / "other") as other,
    ):
        positions = KeptPositions()
        for dsn in (one.dsn, other.dsn):
            at = Rig(dsn, await asyncpg.connect(dsn), positions)
            await at.run(ORDERS)
            async with at.read():
                pass
            await at.app.close()
    told = [each for each in caplog.records if "another server is read" in each.message]
    (fields,) = [getattr(each, "fields") for each in told]  # noqa: B009 - given as an extra
    assert fields["former"].startswith("postgresql://")
    assert subscription_name(orders()) in fields["sql"]


async def test_wal_that_the_server_gave_up_is_told_and_what_it_keeps_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgres, "_CHECK_SECONDS", 0.0)
    labels = {"namespace": "shop", "trigger": "orders"}

    def kept() -> float | None:
        name = "torpor_trigger_postgres_wal_kept_bytes"
        return REGISTRY.get_sample_value(name, labels)

    with folder_for_all() as folder, running(folder / "one") as one:
        at = Rig(one.dsn, await asyncpg.connect(one.dsn))
        await at.run(ORDERS)
        async with at.read():
            async with asyncio.timeout(20):
                while not kept():  # noqa: ASYNC110 - the source's work, beside
                    await asyncio.sleep(0.01)
        assert kept() is None
        await at.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
        await at.run("SELECT pg_reload_conf()")
        await _switched(at)
        await at.run("CHECKPOINT")
        with pytest.raises(SourceMisconfigured, match=r"max_slot_wal_keep_size.; begin anew with"):
            raise await failure(at) or AssertionError
        await at.app.close()


async def test_a_slot_that_somebody_else_reads_is_waited_for() -> None:
    program = shutil.which("pg_recvlogical") or "/usr/lib/postgresql/15/bin/pg_recvlogical"
    if not Path(program).exists():  # noqa: ASYNC240 - before anything runs
        pytest.skip("no pg_recvlogical on this machine")
    async with rig() as at:
        async with at.read():
            pass
        name = subscription_name(orders())
        words = ["-o", "proto_version=1", "-o", f"publication_names={name}", "-f", os.devnull]
        other = await asyncio.create_subprocess_exec(
            program, "--start", "--slot", name, "-d", at.dsn, *words
        )
        try:
            async with asyncio.timeout(20):
                while not await at.app.fetchval(_READ, name):  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.02)
            await at.run("INSERT INTO orders VALUES (1)")
            with pytest.raises(SourceAway, match="is active for PID"):
                raise await failure(at) or AssertionError
        finally:
            other.kill()
            await other.wait()
            async with asyncio.timeout(20):
                while await at.app.fetchval(_READ, name):  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.02)


_READ = "SELECT active FROM pg_replication_slots WHERE slot_name = $1"


def test_names_fit_and_keep_triggers_apart() -> None:
    long = trigger({"postgres": {}}, "t" * 52, namespace="n" * 63)
    names = {
        subscription_name(each)
        for each in (
            long,
            trigger({"postgres": {}}, "b-c", namespace="a"),
            trigger({"postgres": {}}, "c", namespace="a-b"),
            trigger({"postgres": {}}, "c", namespace="a-b", uid="other"),
        )
    }
    assert len(names) == 4
    assert all(len(name) <= 63 and name.isidentifier() and name.islower() for name in names)
    assert len(subscription_name(long)) == 63
