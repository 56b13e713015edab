"""`spec.code.archive`: a runtime fetches its code, proves it, and tells why it cannot."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.integration.runtimes import PYTHON, Language, free_port, needs_node, running, spawn
from torpor.platform.local_runtimes import command_of, fetching

MAIN = b"import os\nfrom lib import words\ndef handler(event, context): return words.SAID\n"


def packed() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("main.py", MAIN)
        archive.writestr("lib/words.py", "SAID = open('said.txt').read()")
        archive.writestr("said.txt", "from afar")
    return file.getvalue()


@asynccontextmanager
async def store(content: bytes) -> AsyncIterator[str]:
    """Serve the content at the address that is yielded."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/moved.zip":
            raise web.HTTPFound("/code.zip")
        if request.path != "/code.zip":
            raise web.HTTPNotFound
        return web.Response(body=content)

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def settings(folder: Path, url: str, sha256: str) -> dict[str, str]:
    return {
        "TORPOR_ARCHIVE_URL": url,
        "TORPOR_ARCHIVE_SHA256": sha256,
        "TORPOR_CODE_DIR": str(folder / "code" / sha256[:16]),
    }


@pytest.mark.parametrize("name", ["code.zip", "moved.zip", "code.zip?X-Amz-Signature=s"])
async def test_the_code_is_fetched_before_it_is_loaded(tmp_path: Path, name: str) -> None:
    content = packed()
    digest = hashlib.sha256(content).hexdigest()
    async with (
        store(content) as url,
        running(
            tmp_path, "main.handler", "", PYTHON, **settings(tmp_path, f"{url}/{name}", digest)
        ) as runtime,
        ClientSession() as session,
        session.get(runtime.url) as answer,
    ):
        said = await answer.text()
    assert said == "from afar"
    assert os.listdir(tmp_path / "code") == [digest[:16]]


@needs_node
async def test_code_in_javascript_is_fetched_before_its_runtime_begins(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("src/index.js", "exports.handler = () => process.cwd()")
    content = file.getvalue()
    language = Language("node", fetching(command_of("nodejs")), "unused.js")
    async with store(content) as url:
        given = settings(tmp_path, f"{url}/code.zip", hashlib.sha256(content).hexdigest())
        async with (
            running(tmp_path, "src/index.handler", "", language, **given) as runtime,
            ClientSession() as session,
            session.get(runtime.url) as answer,
        ):
            assert await answer.text() == given["TORPOR_CODE_DIR"]


async def test_what_was_fetched_is_not_fetched_again(tmp_path: Path) -> None:
    content = packed()
    given = settings(tmp_path, "http://127.0.0.1:1/gone", hashlib.sha256(content).hexdigest())
    async with store(content) as url:
        given["TORPOR_ARCHIVE_URL"] = f"{url}/code.zip"
        async with running(tmp_path, "main.handler", "", PYTHON, **given):
            pass
    async with (
        running(tmp_path, "main.handler", "", PYTHON, **given) as runtime,
        ClientSession() as session,
        session.get(runtime.url) as answer,
    ):
        assert await answer.text() == "from afar"


async def test_many_that_fetch_at_once_all_have_it(tmp_path: Path) -> None:
    content = packed()
    async with store(content) as url:
        given = settings(tmp_path, f"{url}/code.zip", hashlib.sha256(content).hexdigest())
        ends = await asyncio.gather(*(_fetched(given) for _ in range(4)))
    assert ends == [b"fetched\n"] * 4
    assert os.listdir(tmp_path / "code") == [given["TORPOR_ARCHIVE_SHA256"][:16]]


async def _fetched(given: dict[str, str]) -> bytes:
    """Return what the program says that the fetching one becomes."""
    then = (sys.executable, "-c", "print('fetched')")
    command = (sys.executable, "-m", "torpor_runtime.archive", *then)
    process = await asyncio.create_subprocess_exec(
        *command, env={"PATH": os.environ["PATH"], **given}, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output


@pytest.mark.parametrize(
    ("name", "digest", "reason"),
    [
        ("gone.zip", None, "answered 404: no archive was fetched"),
        ("code.zip", "a" * 64, f"not {'a' * 64}: write that, or mend it"),
    ],
)
async def test_why_there_is_no_code_is_the_reason_of_the_end(
    tmp_path: Path, name: str, digest: str | None, reason: str
) -> None:
    content = packed()
    async with store(content) as url:
        wanted = digest or hashlib.sha256(content).hexdigest()
        given = settings(tmp_path, f"{url}/{name}?X-Amz-Signature=secret", wanted)
        runtime = await spawn(tmp_path, "main.handler", "", PYTHON, **given)
        async with asyncio.timeout(10):
            assert await runtime.process.wait() == 1
    told = (tmp_path / "termination").read_text()
    assert told.startswith("ArchiveError: http://127.0.0.1:")
    assert reason in told
    assert "secret" not in told + runtime.errors.read_text()
    assert os.listdir(tmp_path / "code") == []


async def test_a_store_that_is_away_is_the_reason_of_the_end(tmp_path: Path) -> None:
    given = settings(tmp_path, f"http://127.0.0.1:{free_port()}/code.zip", "a" * 64)
    runtime = await spawn(tmp_path, "main.handler", "", PYTHON, **given)
    async with asyncio.timeout(10):
        assert await runtime.process.wait() == 1
    assert "cannot be fetched: " in (tmp_path / "termination").read_text()
