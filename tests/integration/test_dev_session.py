"""`torpor dev` as its user runs it: the command, a folder, requests."""

# ruff: noqa: SIM117 - a client nested in its server reads in the order of what happens

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

ROOT = Path(__file__).parents[2]
FUNCTION = """
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata:
  name: {name}
  annotations: {{ torpor.dev/demo-expect: "{expect}" }}
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      {code}
  scaling: {{ idleSeconds: 1, windowSeconds: 2, burstWindowSeconds: 1, maxReplicas: 2 }}
"""
SAYS_HI = "def handler(event, context): return 'hi'"


def write(folder: Path, name: str = "one", code: str = SAYS_HI, expect: str = "hi") -> Path:
    text = FUNCTION.format(name=name, code=code, expect=expect)
    (folder / f"{name}.yaml").write_text(text)
    return folder


async def start(*words: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "torpor.cli.main",
        "dev",
        *(str(word) for word in words),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


async def outcome(*words: object) -> tuple[int | None, str]:
    process = await start(*words)
    try:
        async with asyncio.timeout(90):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode()


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    process = await start(folder)
    assert process.stdout
    try:
        async with asyncio.timeout(15):
            while not (found := re.search(r"http://127\.0\.0\.1:\d+", await _line(process))):
                continue
        yield found[0]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            await process.stdout.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    line = (await process.stdout.readline()).decode()
    assert line, "torpor dev ended"
    return line


async def test_the_demo_of_the_example_passes() -> None:
    code, output = await outcome("examples/hello", "--demo")
    assert code == 0, output
    assert re.search(r"requests 484, wrong 0", output)
    assert len(re.findall(r"max replicas [2-4], ", output)) == 2
    assert re.search(r"cold starts: [4-9]", output)


@pytest.mark.parametrize(
    ("code", "expect", "told"),
    [
        (SAYS_HI, "something else", "wrong body"),
        ("def handler(event, context): raise RuntimeError('no')", "hi", "status 500"),
        ("import not_there_at_all", "hi", "not_there_at_all"),
    ],
)
async def test_the_demo_fails_when_a_response_is_not_right(
    tmp_path: Path, code: str, expect: str, told: str
) -> None:
    status, output = await outcome(write(tmp_path, code=code, expect=expect), "--demo")
    assert status == 1, output
    assert told in output


async def test_a_function_is_reached_by_path_and_by_host(tmp_path: Path) -> None:
    async with serving(write(tmp_path)) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/one/x") as answer:
            assert (answer.status, await answer.text()) == (200, "hi")
            assert int(answer.headers["X-Torpor-Cold-Start"]) > 0
        async with client.get(url, headers={"Host": "one.default.localhost"}) as answer:
            assert (answer.status, await answer.text()) == (200, "hi")
            assert "X-Torpor-Cold-Start" not in answer.headers


async def test_changed_code_is_served_without_an_error_in_between(tmp_path: Path) -> None:
    async with serving(write(tmp_path)) as url, ClientSession() as client:
        address = f"{url}/function/default/one/"
        async with client.get(address) as answer:
            assert await answer.text() == "hi"
        write(tmp_path, code="def handler(event, context): return 'ho'")
        async with asyncio.timeout(20):
            while True:
                async with client.get(address) as answer:
                    assert answer.status == 200
                    if await answer.text() == "ho":
                        break
                await asyncio.sleep(0.02)


async def test_code_that_cannot_be_imported_is_503_with_the_reason(tmp_path: Path) -> None:
    folder = write(write(tmp_path), "broken", "import not_there_at_all")
    async with serving(folder) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/broken/") as answer:
            body = await answer.text()
        assert answer.status == 503
        assert "CrashLoopBackOff" in body
        assert "not_there_at_all" in body
        async with client.get(f"{url}/function/default/one/") as answer:
            assert answer.status == 200


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    code = "import os; handler = lambda event, context: os._exit(3) if event.query else 'hi'"
    async with serving(write(tmp_path, code=code)) as url, ClientSession() as client:
        address = f"{url}/function/default/one/"
        async with client.post(f"{address}?die=1", data=b"x") as answer:
            assert answer.status == 502
        async with client.post(address, data=b"x") as answer:
            assert (answer.status, await answer.text()) == (200, "hi")


async def test_an_image_runs_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_text(f"""
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: {{ name: image }}
spec:
  image: example.org/any:1
  command: [sh, -c, 'exec {sys.executable} -m http.server --bind 127.0.0.1 "$PORT"']
""")
    async with serving(tmp_path) as url, ClientSession() as client:
        async with client.get(f"{url}/function/default/image/") as answer:
            assert answer.status == 200
            assert "Directory listing" in await answer.text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "bad.yaml: not YAML"),
        ("kind: 3", "bad.yaml, document 1: not a Kubernetes object"),
        ("kind: Function\napiVersion: v1", "apiVersion: must be torpor.dev/v1alpha1"),
        (FUNCTION.format(name="one", code="", expect="").replace("Seconds: 1", "Seconds: x", 1),
         "Function one: spec.scaling.idleSeconds: must be an integer, not str"),
        ("apiVersion: torpor.dev/v1alpha1\nkind: Function\nmetadata: {name: i}\nspec: {image: x}",
         "spec.command: needed to run default/i here"),
        ("apiVersion: torpor.dev/v1alpha1\nkind: Function\nmetadata: {name: i}\n"
         "spec: {runtime: python3, handler: a.b, code: {configMap: gone}}",
         "spec.code.configMap: no ConfigMap 'gone'"),
        ("---", "no Function in any *.yaml file"),
    ],
)  # fmt: skip
async def test_what_is_wrong_in_a_file_is_said_with_its_place(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    status, output = await outcome(tmp_path)
    assert status == 1
    assert told in output
    assert "Traceback" not in output


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    status, output = await outcome(tmp_path / "nowhere")
    assert (status, "there is no such folder" in output) == (1, True)
