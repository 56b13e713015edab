from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.unit.cli.fake_cluster import FakeCluster, fake_cluster
from torpor.cli.main import main


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Torpor = Callable[..., Awaitable[Done]]
_ALONE = (("doctor",), ("cost",))
"""Verbs that do something without an action too."""


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    async with fake_cluster() as fake:
        yield fake


@pytest.fixture
def torpor(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Torpor:
    """Run the whole command beside the server; its three streams are the test's."""
    path = str(cluster.kubeconfig(tmp_path))

    async def run(*words: str, stdin: bytes = b"") -> Done:
        out, err = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, write_through=True))
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, write_through=True))
        async with asyncio.timeout(60):
            code = await asyncio.to_thread(exit_status, with_kubeconfig(words, path))
        return Done(code, out.getvalue().decode(), err.getvalue().decode())

    return run


def exit_status(words: list[str]) -> int:
    """Return what the process would end with."""
    try:
        return main(words)
    except SystemExit as left:
        return int(left.code or 0)


def with_kubeconfig(words: tuple[str, ...], path: str) -> list[str]:
    """Return the command line with our kubeconfig, unless it names one or names no function."""
    if "--kubeconfig" in words or (len(words) < 2 and words not in _ALONE):
        return list(words)
    place = 1 if words[:1] in (("invoke",), *_ALONE) else 2
    return [*words[:place], "--kubeconfig", path, *words[place:]]
