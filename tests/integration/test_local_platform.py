"""The local platform with real processes: scale, conflicts, crashes, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from torpor.errors import ApiConflict, ApiNotFound, InvalidResource
from torpor.platform.base import FunctionChanged, Instance, InstancesChanged, Synced
from torpor.platform.local import LocalPlatform
from torpor.platform.local_program import Program
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

KEY = FunctionKey("default", "one")
WRITES_PID = "import os\nhandler = print\nopen('pid', 'w').write(f'{os.getpid()}\\n')"
SAYS_HI = "def handler(event, context): return 'hi'"


def program(code: str = SAYS_HI, **spec: object) -> Program:
    source = {"runtime": "python3", "handler": "main.handler", "code": {"inline": code}}
    body = {"metadata": {"name": "one"}, "spec": {**(spec if "image" in spec else source), **spec}}
    return Program(Function.parse(body), {})


@asynccontextmanager
async def running(folder: Path, code: str = SAYS_HI) -> AsyncIterator[LocalPlatform]:
    platform = LocalPlatform(folder)
    platform.put(program(code))
    task = asyncio.create_task(platform.run(), name="platform")
    try:
        yield platform
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=20)
    assert platform.instances(KEY) == ()


async def until(
    platform: LocalPlatform, condition: Callable[[tuple[Instance, ...]], bool]
) -> tuple[Instance, ...]:
    async with asyncio.timeout(20):
        async for _ in platform.changes():
            if condition(platform.instances(KEY)):
                break
    return platform.instances(KEY)


def ready(count: int) -> Callable[[tuple[Instance, ...]], bool]:
    return lambda found: sum(item.ready and not item.terminating for item in found) == count


async def test_replicas_come_and_go(tmp_path: Path) -> None:
    async with running(tmp_path) as platform:
        assert (await platform.scale(KEY)).replicas == 0
        await platform.set_scale(KEY, 2, manager="test")
        found = await until(platform, ready(2))
        assert len({item.port for item in found}) == 2
        assert all(
            list(item.seen) == ["created", "scheduled", "started", "ready"] for item in found
        )
        await platform.prefer_removal(KEY, {found[0].name: 5, found[1].name: 0})
        await platform.set_scale(KEY, 1, manager="test")
        left = await until(platform, lambda now: len(now) == 1)
        assert left[0].name == found[0].name


async def test_a_change_on_an_old_version_is_a_conflict(tmp_path: Path) -> None:
    async with running(tmp_path) as platform:
        read = await platform.scale(KEY)
        await platform.set_scale(KEY, 1, manager="a", version=read.version)
        with pytest.raises(ApiConflict):
            await platform.set_scale(KEY, 0, manager="b", version=read.version)
        assert (await platform.scale(KEY)).replicas == 1


async def test_an_unknown_function_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ApiNotFound):
        await LocalPlatform(tmp_path).scale(KEY)


async def test_changes_begin_with_what_exists_and_end_with_the_deletion(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path)
    platform.put(program())
    changes = platform.changes()
    first = [await anext(changes) for _ in range(3)]
    assert [type(change) for change in first] == [FunctionChanged, InstancesChanged, Synced]
    platform.remove(KEY)
    assert await anext(changes) == FunctionChanged(KEY, None)
    await changes.aclose()  # type: ignore[attr-defined]


async def test_a_crash_loop_is_told_with_the_last_lines(tmp_path: Path) -> None:
    async with running(tmp_path, "import not_there_at_all") as platform:
        await platform.set_scale(KEY, 1, manager="test")
        found = await until(platform, lambda now: any(i.trouble and i.trouble.final for i in now))
        trouble = found[0].trouble
    assert trouble is not None
    assert trouble.reason == "CrashLoopBackOff"
    told = "exit status 1: ModuleNotFoundError: No module named 'not_there_at_all'"
    assert trouble.message == told
    assert trouble.public == "exit status 1: ModuleNotFoundError"


async def test_a_killed_process_is_started_again(tmp_path: Path) -> None:
    async with running(tmp_path, WRITES_PID) as platform:
        await platform.set_scale(KEY, 1, manager="test")
        await until(platform, ready(1))
        os.kill(_written(tmp_path), signal.SIGKILL)
        await until(platform, lambda now: bool(now[0].trouble))
        found = await until(platform, ready(1))
        assert found[0].trouble is None


async def test_what_was_ready_is_not_given_up_when_it_is_killed_again(tmp_path: Path) -> None:
    async with running(tmp_path, WRITES_PID) as platform:
        await platform.set_scale(KEY, 1, manager="test")
        for _ in range(3):
            await until(platform, ready(1))
            os.kill(_written(tmp_path), signal.SIGKILL)
            [ended] = await until(platform, lambda now: bool(now[0].trouble))
            assert ended.trouble
            assert (ended.trouble.message, ended.trouble.final) == ("ended by SIGKILL", False)


async def test_kill_ends_what_ignores_every_request_to_end(tmp_path: Path) -> None:
    ignores = "trap '' TERM; sleep 60 & echo $! > pid; wait; wait"
    stubborn = program(image="any", command=["sh", "-c", ignores], timeoutSeconds=3600)
    platform = LocalPlatform(tmp_path)
    platform.put(stubborn)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(platform.run(), name="platform")
        await platform.set_scale(KEY, 1, manager="test")
        async with asyncio.timeout(5):
            while not (pid := _written(tmp_path)):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
            platform.kill()
            while platform.instances(KEY):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        running.cancel()
    assert not _is_alive(pid)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path)
    platform.put(program(image="any", command=["/no/such/program"]))
    task = asyncio.create_task(platform.run(), name="platform")
    await platform.set_scale(KEY, 1, manager="test")
    found = await until(platform, lambda now: any(i.trouble for i in now))
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert found[0].trouble
    told = "its process cannot be started: /no/such/program: No such file or directory"
    assert found[0].trouble.message == told


async def test_what_cannot_be_written_or_started_is_the_trouble_of_its_function_only(
    tmp_path: Path,
) -> None:
    good = program()
    bad = FunctionKey("default", "bad")
    other = replace(good.function, key=bad)
    async with running(tmp_path) as platform:
        for wrong in (
            Program(replace(other, env=({"name": "A", "value": "a\0b"},)), {}),
            Program(other, {300 * "a": "a name that no file can have"}),
        ):
            platform.put(wrong)
            await platform.set_scale(bad, 1, manager="test")
            async with asyncio.timeout(10):
                while not (found := platform.instances(bad)) or not found[-1].trouble:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            assert len(found[-1].trouble.message.splitlines()) == 1
            platform.remove(bad)
        await platform.set_scale(KEY, 1, manager="test")
        await until(platform, ready(1))


async def _said(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


async def test_two_sessions_at_once_do_not_meet(tmp_path: Path) -> None:
    def code(number: int) -> str:
        return f"def handler(event, context): return 'I am {number}'"

    async with running(tmp_path / "1", code(1)) as one, running(tmp_path / "2", code(2)) as two:
        for platform in (one, two):
            await platform.set_scale(KEY, 3, manager="test")
        for number, platform in enumerate((one, two), start=1):
            for instance in await until(platform, ready(3)):
                assert instance.trouble is None
                assert await _said(instance.port) == f"I am {number}".encode()


@pytest.mark.skipif(sys.platform != "linux", reason="who listens is known on Linux only")
async def test_who_listens_in_place_of_the_process_is_not_taken_for_it(tmp_path: Path) -> None:
    ends = "echo $PORT >> ports; while [ ! -e go ]; do sleep 0.02; done; rm go; exit 98"
    platform = LocalPlatform(tmp_path)
    platform.put(program(image="any", command=["sh", "-c", ends]))
    task = asyncio.create_task(platform.run(), name="platform")
    await platform.set_scale(KEY, 1, manager="test")
    asked = asyncio.Event()
    file = await _ports(tmp_path, 1)
    first = int(file.read_text())

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", first):
        await asyncio.wait_for(asked.wait(), 10)
        (file.parent / "go").touch()
        await _ports(tmp_path, 2)
        [instance] = platform.instances(KEY)
        assert (instance.ready, instance.address) == (False, None)
        assert instance.port != first
    task.cancel()
    await asyncio.wait([task], timeout=20)


async def _ports(folder: Path, count: int) -> Path:
    async with asyncio.timeout(10):
        while True:
            for file in folder.rglob("ports"):  # noqa: ASYNC240 - a small folder
                if file.read_text().count("\n") >= count:
                    return file
            await asyncio.sleep(0.02)


async def test_a_child_of_the_command_may_be_the_one_that_listens(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path)
    server = f"{sys.executable} -m http.server --bind 127.0.0.1 $PORT & wait"
    platform.put(program(image="any", command=["sh", "-c", server]))
    task = asyncio.create_task(platform.run(), name="platform")
    await platform.set_scale(KEY, 1, manager="test")
    await until(platform, ready(1))
    task.cancel()
    await asyncio.wait([task], timeout=20)


async def test_standard_input_is_at_its_end(tmp_path: Path) -> None:
    code = "import sys\ndef handler(event, context): return repr(sys.stdin.read())"
    async with running(tmp_path, code) as platform:
        await platform.set_scale(KEY, 1, manager="test")
        [instance] = await until(platform, ready(1))
        assert await _said(instance.port) == b"''"


async def test_the_log_of_one_that_prints_without_end_stays_bounded(tmp_path: Path) -> None:
    line = "x" * 1000
    code = f"import os\nhandler = print\nfor _ in range(60_000): os.write(1, b'{line}\\n')"
    async with running(tmp_path, code) as platform:
        await platform.set_scale(KEY, 1, manager="test")
        [log] = await _logs(tmp_path)
        async with asyncio.timeout(20):
            while b"(older lines" not in log.read_bytes():  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        assert log.stat().st_size < 32 * 2**20


async def _logs(folder: Path) -> list[Path]:
    async with asyncio.timeout(5):
        while not (found := list(folder.rglob("*.log"))):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)
    return found


async def test_new_code_replaces_the_old_once_it_listens(tmp_path: Path) -> None:
    async with running(tmp_path) as platform:
        await platform.set_scale(KEY, 1, manager="test")
        old = (await until(platform, ready(1)))[0].name
        platform.put(program("def handler(event, context): return 'ho'"))
        served: list[bool] = []

        def replaced(now: tuple[Instance, ...]) -> bool:
            served.append(any(item.ready and not item.terminating for item in now))
            return bool(now) and all(item.name != old for item in now)

        await until(platform, replaced)
    assert all(served)


PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.integration.test_local_platform import KEY, orphan
from torpor.platform.local import LocalPlatform

async def main():
    platform = LocalPlatform(Path(sys.argv[1]))
    platform.put(orphan(sys.argv[3]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(platform.run())
        await platform.set_scale(KEY, 1, manager="test")

asyncio.run(main())
"""


def orphan(kind: str) -> Program:
    if kind == "runtime":
        return program(WRITES_PID)
    if kind == "busy":
        return program(f"{WRITES_PID}\nimport re\nre.match('(a+)+b', 40 * 'a')")
    if kind == "child":
        return program(image="any", command=["sh", "-c", "sleep 60 & echo $! > pid; wait"])
    return program(image="any", command=["sh", "-c", "echo $$ > pid; exec sleep 60"])


@pytest.mark.parametrize("kind", ["runtime", "busy", "command", "child"])
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_processes_end_when_their_parent_is_killed(tmp_path: Path, kind: str) -> None:
    root = str(Path(__file__).parents[2])
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), root, kind
    )
    async with asyncio.timeout(20):
        while not (pid := _written(tmp_path)):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
        parent.kill()
        await parent.wait()
        while _is_alive(pid):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def _written(folder: Path) -> int:
    texts = [file.read_text() for file in folder.rglob("pid")]
    return int(texts[0]) if texts and texts[0].endswith("\n") else 0


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"image": "x"}, "spec.command"),
        ({"runtime": "cobol"}, "spec.runtime"),
        ({"env": [{"name": "A", "valueFrom": {}}]}, r"spec.env\[0\].valueFrom"),
        ({"envFrom": [{}]}, "spec.envFrom"),
        ({"volumes": [{"name": "a", "mountPath": "/a", "emptyDir": {}}]}, "spec.volumes"),
    ],
)
def test_what_needs_a_cluster_is_refused(spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidResource, match=path):
        program(**spec)
