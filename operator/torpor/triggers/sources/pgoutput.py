"""The messages of PostgreSQL's `pgoutput` plugin, protocol version 1. Pure.

Source: PostgreSQL documentation, "Logical Replication Message Formats". Values come as texts; how
they become JSON is for `postgres_values`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final

_BEGIN: Final = struct.Struct(">QqI")
_COMMIT: Final = struct.Struct(">BQQq")
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_KEY_FLAG: Final = 1


class Undecipherable(ValueError):
    """Bytes that are no message of this protocol."""


class Unchanged(Enum):
    """A large value that an UPDATE did not touch, and that therefore is not sent."""

    UNCHANGED = "unchanged"


Value = str | None | Unchanged
"""A column's value: its text, NULL, or not sent."""
Row = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """`is_key`: it is part of the replica identity. `type_oid` is pg_type's."""

    name: str
    type_oid: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was when the changes that follow were made."""

    oid: int
    schema: str
    table: str
    columns: tuple[Column, ...]

    @property
    def named(self) -> tuple[str, str]:
        """Its schema and its name."""
        return self.schema, self.table


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction. `commit_lsn` is where its commit is."""

    commit_lsn: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Its end. What comes later begins at `end_lsn`."""

    end_lsn: int


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    relation_oid: int
    new: Row


@dataclass(frozen=True, slots=True)
class Update:
    """`old` is None unless the replica identity changed, or is FULL; then as in Delete."""

    relation_oid: int
    old: Row | None
    old_is_key: bool
    new: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """With `old_is_key`, only the columns of the replica identity mean something."""

    relation_oid: int
    old: Row
    old_is_key: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """Several tables may be emptied at once."""

    relation_oids: tuple[int, ...]


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate


def decode(data: bytes) -> Message | None:
    """Return a message; None for one that says nothing of rows (types, origins, messages).

    Raises Undecipherable.
    """
    try:
        return _decode(_Reader(data))
    except (IndexError, struct.error, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise Undecipherable(f"no message of pgoutput: {data[:40]!r}") from error


def _decode(reader: _Reader) -> Message | None:
    kind = reader.character()
    match kind:
        case "B":
            lsn, microseconds, xid = reader.unpack(_BEGIN)
            return Begin(lsn, _EPOCH + timedelta(microseconds=microseconds), xid)
        case "C":
            _, _, end_lsn, _ = reader.unpack(_COMMIT)
            return Commit(end_lsn)
        case "R":
            return _relation(reader)
        case "I":
            relation_oid, _ = reader.integer(), reader.character()
            return Insert(relation_oid, _row(reader))
        case "U":
            return _update(reader)
        case "D":
            relation_oid, old_kind = reader.integer(), reader.character()
            return Delete(relation_oid, _row(reader), old_kind == "K")
        case "T":
            count, _ = reader.integer(), reader.byte()
            return Truncate(tuple(reader.integer() for _ in range(count)))
        case "Y" | "O" | "M":
            return None
    raise Undecipherable(kind)


def _relation(reader: _Reader) -> Relation:
    oid, schema, table = reader.integer(), reader.string(), reader.string()
    reader.byte()  # the replica identity's setting: the flags of the columns say what it means
    columns = tuple(_column(reader) for _ in range(reader.short()))
    return Relation(oid, schema or "pg_catalog", table, columns)


def _column(reader: _Reader) -> Column:
    flags, name, type_oid = reader.byte(), reader.string(), reader.integer()
    reader.integer()  # the type's modifier, such as the 10 of varchar(10)
    return Column(name, type_oid, bool(flags & _KEY_FLAG))


def _update(reader: _Reader) -> Update:
    relation_oid, kind = reader.integer(), reader.character()
    if kind == "N":
        return Update(relation_oid, None, False, _row(reader))
    old = _row(reader)
    reader.character()
    return Update(relation_oid, old, kind == "K", _row(reader))


def _row(reader: _Reader) -> Row:
    return tuple(_value(reader) for _ in range(reader.short()))


def _value(reader: _Reader) -> Value:
    match reader.character():
        case "n":
            return None
        case "u":
            return Unchanged.UNCHANGED
        case "t":
            return reader.text(reader.integer())
        case kind:
            raise Undecipherable(f"a value of kind {kind!r}")


class _Reader:
    """Reads one message from its beginning; IndexError behind its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def character(self) -> str:
        return chr(self.byte())

    def short(self) -> int:
        return int.from_bytes(self._take(2), "big")

    def integer(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> str:
        end = self._data.index(0, self._at)
        found = self._data[self._at : end].decode()
        self._at = end + 1
        return found

    def text(self, size_bytes: int) -> str:
        return self._take(size_bytes).decode()

    def unpack(self, shape: struct.Struct) -> tuple[int, ...]:
        return shape.unpack(self._take(shape.size))

    def _take(self, size_bytes: int) -> bytes:
        end = self._at + size_bytes
        if end > len(self._data):
            raise IndexError(end)
        found = self._data[self._at : end]
        self._at = end
        return found
