"""Which port is chosen, and that nothing but a taken one stands in the way."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from torpor.dev.ports import choose_port


def test_a_port_is_found_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        first = taken.getsockname()[1]
        assert first < choose_port(None, first) < first + 100
