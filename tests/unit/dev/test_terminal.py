"""Logs at the terminal say all that the cluster roles log."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from torpor.dev.terminal import TerminalHandler


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (None, "torpor: away\n"),
        ({"trigger": "shop/a", "error": "no [b]"}, "torpor: away  trigger=shop/a  error=no [b]\n"),
    ],
)
def test_fields_follow_the_message(fields: dict[str, str] | None, shown: str) -> None:
    out = io.StringIO()
    record = logging.makeLogRecord({"msg": "away", **({"fields": fields} if fields else {})})
    TerminalHandler(Console(file=out)).emit(record)
    assert out.getvalue() == shown
