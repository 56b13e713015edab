"""What `torpor dev` reads and writes on the disk holds up no request."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.integration.test_dev_session import write
from torpor.dev import session as sessions
from torpor.dev.folder import Folder, load_folder
from torpor.dev.ports import Ports
from torpor.dev.session import Session
from torpor.platform.local_program import Program

DISK_SECONDS = 20.0


class SlowDisk:
    """Something that blocks whoever uses it, until it is told to go on."""

    def __init__(self) -> None:
        self.used = threading.Event()
        self.free = threading.Event()

    def use(self) -> None:
        self.used.set()
        assert self.free.wait(DISK_SECONDS), "nobody else got on meanwhile"


async def test_requests_go_on_while_the_folder_is_read_and_code_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, writes, write_files = SlowDisk(), SlowDisk(), Program.write_files

    def slow_read(folder: Path) -> Folder:
        reads.use()
        return load_folder(folder)

    def slow_write(program: Program, folder: Path) -> None:
        if program.function.key.name == "two":
            writes.use()
        write_files(program, folder)

    monkeypatch.setattr(sessions, "load_folder", slow_read)
    monkeypatch.setattr(Program, "write_files", slow_write)
    folder = tmp_path / "functions"
    folder.mkdir()
    found = load_folder(write(folder))
    session = Session(folder, found, tmp_path / "work", Ports(0))
    async with session.running(), ClientSession() as client, asyncio.timeout(60):

        async def answer(name: str) -> str:
            async with client.get(f"{session.url}/function/default/{name}") as answered:
                return await answered.text()

        assert await answer("one") == "hi"
        write(folder, "two")
        await asyncio.to_thread(reads.used.wait, DISK_SECONDS)
        assert await answer("one") == "hi"
        reads.free.set()
        while not (session.entries.keys() - found.functions.keys()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        waiting = asyncio.create_task(answer("two"))
        await asyncio.to_thread(writes.used.wait, DISK_SECONDS)
        assert await answer("one") == "hi"
        writes.free.set()
        assert await waiting == "hi"
