"""A demo that a folder brings is run beside the folder, and its status is that of `torpor dev`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.integration.test_dev_session import ended, outcome, start, write

ASKS = """
import os, sys
from urllib.request import urlopen

with urlopen(os.environ["TORPOR_GATEWAY"] + "/function/default/one") as answer:
    print("the function said", answer.read().decode())
print("and no", "TORPOR_WORKFLOWS" in os.environ)
sys.exit(3)
"""
STAYS = """
import time
print("here I am", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


async def test_it_is_told_where_everything_is_and_its_status_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORPOR_WORKFLOWS", "http://another.installation")
    (write(tmp_path) / "demo.py").write_text(ASKS)
    status, output = await outcome(tmp_path, "--demo")
    assert status == 3, output
    assert "the function said hi" in output
    assert "and no False" in output


async def test_it_ends_with_torpor_dev(tmp_path: Path) -> None:
    (write(tmp_path) / "demo.py").write_text(STAYS)
    process = await start(tmp_path, "--demo")
    async with ended(process), asyncio.timeout(60):
        assert process.stdout
        while b"here I am" not in await process.stdout.readline():
            assert process.returncode is None
        process.send_signal(signal.SIGTERM)
        await process.communicate()  # ends when the demo has ended, too: it has our output
    assert process.returncode == 130
