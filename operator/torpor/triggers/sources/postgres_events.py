"""Row changes as events. Pure.

| attribute | is |
| --- | --- |
| type | `dev.torpor.postgres.insert`, `.update`, `.delete` or `.truncate` |
| source | `postgresql://<host>/<database>` |
| subject | `<schema>.<table>` |
| id | the LSN of the commit and the number of the change in its transaction |
| time | when the transaction was committed |
| data | `schema`, `table`, `old`, `new`, `lsn`, `txid`, `committedAt`, `unchanged` |

`old` and `new` are rows (column: value) or null. The old row is whole only if the table says `ALTER
TABLE … REPLICA IDENTITY FULL`; otherwise an update has none, unless it changed the primary key, and
a delete has the primary key. `unchanged` names the columns left out of `new` because a large value
(TOAST) was not touched and the old row is not known.

A text column `traceparent` of a row that was inserted or updated is the event's trace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Any, Final

from torpor.triggers.event import Event, make_event
from torpor.triggers.sources.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Row,
    Truncate,
    Unchanged,
    Undecipherable,
    Update,
)
from torpor.triggers.sources.postgres_values import to_json
from torpor.triggers.sources.trace import COLUMN, traceparent


class Operation(StrEnum):
    """What was done to rows."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    TRUNCATE = "truncate"


Table = tuple[str, str]
"""A schema and a table in it."""
_Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Change:
    relation_oid: int
    operation: Operation
    old: Row | None = None
    old_is_key: bool = False
    new: Row | None = None


class Changes:
    """Turns the messages of one slot, in their order, into events."""

    def __init__(
        self, source: str, operations: frozenset[Operation], tables: frozenset[Table]
    ) -> None:
        self._source = source
        self._operations = operations
        self._tables = tables
        self._relations: dict[int, Relation] = {}
        self._begin: Begin | None = None
        self._number = 0

    def take(self, message: Message) -> Iterator[Event]:
        """Yield the events of a message; Undecipherable when messages are missing before it."""
        match message:
            case Begin():
                self._begin, self._number = message, 0
            case Commit():
                self._begin = None
            case Relation():
                self._relations[message.oid] = message
            case Insert() | Update() | Delete() | Truncate():
                yield from self._events(message)

    def _events(self, message: Insert | Update | Delete | Truncate) -> Iterator[Event]:
        for change in _changes(message):
            number = self._number
            self._number += 1
            begin, relation = self._begin, self._relations.get(change.relation_oid)
            if begin is None or relation is None:
                raise Undecipherable("a change whose transaction or table was not told")
            if change.operation in self._operations and relation.named in self._tables:
                yield self._event(begin, relation, change, number)

    def _event(self, begin: Begin, relation: Relation, change: _Change, number: int) -> Event:
        committed_at = begin.committed_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        old = None if change.old is None else _row(relation, change.old, change.old_is_key)
        new, unchanged = _new(relation, change, old)
        lsn = format_lsn(begin.commit_lsn)
        return make_event(
            id=f"{lsn}-{number}",
            source=self._source,
            type=f"dev.torpor.postgres.{change.operation}",
            subject=f"{relation.schema}.{relation.table}",
            time=committed_at,
            data={
                "schema": relation.schema,
                "table": relation.table,
                "old": old,
                "new": new,
                "unchanged": unchanged,
                "lsn": lsn,
                "txid": begin.xid,
                "committedAt": committed_at,
            },
            extensions={COLUMN: traceparent((new or {}).get(COLUMN))},
        )


def format_lsn(lsn: int) -> str:
    """Return an LSN as PostgreSQL writes it, such as 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & _LOW:X}"


def parse_lsn(text: str) -> int:
    """Return the LSN that PostgreSQL wrote."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


_LOW: Final = 0xFFFF_FFFF


def _changes(message: Insert | Update | Delete | Truncate) -> list[_Change]:
    match message:
        case Insert(oid, new):
            return [_Change(oid, Operation.INSERT, new=new)]
        case Update(oid, old, old_is_key, new):
            return [_Change(oid, Operation.UPDATE, old, old_is_key, new)]
        case Delete(oid, old, old_is_key):
            return [_Change(oid, Operation.DELETE, old, old_is_key)]
        case Truncate(oids):
            return [_Change(oid, Operation.TRUNCATE) for oid in oids]


def _row(relation: Relation, row: Row, only_keys: bool) -> _Fields:
    return {
        column.name: None if value is None else to_json(column.type_oid, value)
        for column, value in zip(relation.columns, row, strict=True)
        if not isinstance(value, Unchanged) and (column.is_key or not only_keys)
    }


def _new(
    relation: Relation, change: _Change, old: _Fields | None
) -> tuple[_Fields | None, list[str]]:
    """Return the new row, completed from the old one, and the columns that are still missing."""
    if change.new is None:
        return None, []
    new = dict(_row(relation, change.new, False))
    missing = [column.name for column in relation.columns if column.name not in new]
    known = {name: old[name] for name in missing if old is not None and name in old}
    return {**new, **known}, [name for name in missing if name not in known]
