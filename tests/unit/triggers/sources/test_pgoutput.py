"""Messages of pgoutput that are not as they should be, and values that are as they may be."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.sources.pgoutput import (
    Begin,
    Column,
    Commit,
    Insert,
    Message,
    Relation,
    Undecipherable,
    decode,
)
from torpor.triggers.sources.postgres_events import Changes, Operation, format_lsn, parse_lsn
from torpor.triggers.sources.postgres_values import to_json

NUMERIC, JSONB, DOUBLE, BYTEA, TEXT = 1700, 3802, 701, 17, 25
RELATION = (
    b"R\x00\x00\x40\x01public\x00orders\x00d\x00\x02"
    b"\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00note\x00\x00\x00\x00\x19\xff\xff\xff\xff"
)
INSERT = b"I\x00\x00\x40\x01N\x00\x02t\x00\x00\x00\x0242n"


def test_messages_are_read() -> None:
    columns = (Column("id", 23, True), Column("note", TEXT, False))
    assert decode(RELATION) == Relation(0x4001, "public", "orders", columns)
    assert decode(INSERT) == Insert(0x4001, ("42", None))
    assert decode(b"Y\x00\x00\x00\x01public\x00mood\x00") is None


@given(st.binary(max_size=80))
def test_any_bytes_are_a_message_or_undecipherable(data: bytes) -> None:
    with contextlib.suppress(Undecipherable):
        assert isinstance(decode(data), Message | None)


@pytest.mark.parametrize("size", range(len(RELATION)))
def test_a_message_that_is_cut_off_is_undecipherable(size: int) -> None:
    with pytest.raises(Undecipherable):
        decode(RELATION[:size])


def test_a_change_without_its_table_is_undecipherable() -> None:
    changes = Changes("/db", frozenset(Operation), frozenset({("public", "orders")}))
    begin = decode(b"B" + (7).to_bytes(8, "big") + bytes(8) + (3).to_bytes(4, "big"))
    assert isinstance(begin, Begin)
    assert list(changes.take(begin)) == []
    with pytest.raises(Undecipherable, match="not told"):
        list(changes.take(Insert(0x4001, ("42", None))))


def test_an_end_is_behind_the_commit() -> None:
    commit = decode(b"C\x00" + (5).to_bytes(8, "big") + (9).to_bytes(8, "big") + bytes(8))
    assert commit == Commit(9)


@given(st.integers(0, 2**64 - 1))
def test_positions_are_written_as_postgresql_does(lsn: int) -> None:
    assert parse_lsn(format_lsn(lsn)) == lsn
    assert format_lsn(0x16B374D848) == "16/B374D848"


@pytest.mark.parametrize(
    ("type_oid", "text", "value"),
    [
        (NUMERIC, "0.10", 0.1),
        (NUMERIC, "-12.50", -12.5),
        (NUMERIC, "7", 7),
        (NUMERIC, "123456789012345", 123456789012345),
        (NUMERIC, "1234567890123456", "1234567890123456"),
        (NUMERIC, "0.0000000000000000001", 1e-19),
        (NUMERIC, "NaN", "NaN"),
        (NUMERIC, "-Infinity", "-Infinity"),
        (DOUBLE, "1e+300", 1e300),
        (DOUBLE, "-Infinity", "-Infinity"),
        (JSONB, '{"a": [1, 2.5, null]}', {"a": [1, 2.5, None]}),
        (JSONB, "[" * 2000 + "]" * 2000, "[" * 2000 + "]" * 2000),
        (BYTEA, "\\x", ""),
        (TEXT, "\\x00", "\\x00"),
    ],
)
def test_values_keep_what_they_are(type_oid: int, text: str, value: Any) -> None:
    found = to_json(type_oid, text)
    assert found == value
    assert type(found) is type(value)


@given(
    st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9
    )
)
def test_a_number_loses_no_digit(number: Any) -> None:
    found = to_json(NUMERIC, f"{number:f}")
    assert isinstance(found, float | int)
    assert f"{found:.4f}" == f"{number:.4f}"


@given(st.integers(-(10**40), 10**40))
def test_any_json_can_be_written_again(number: int) -> None:
    assert orjson.dumps(to_json(JSONB, json.dumps({"n": number})))
