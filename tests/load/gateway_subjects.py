"""What `make bench-gateway` measures: the server itself, and proxies in front of it.

Every proxy runs on one core, the server and whoever asks on the other. The server answers from
memory (HAProxy's `return`), so that it takes as little of its core as can be.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from aiohttp import ClientSession

from tests.load.gateway_at_work import HOST
from tests.support.haproxy import HAPROXY
from tests.support.servers.daemon import Daemon, free_port, program_path

PROXY_CORE, OTHER_CORE = 0, 1
GO_PROXY = Path(__file__).parent / "peers" / "goproxy"
_START_SECONDS = 120.0

SERVER = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend function
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string '{{"hello":"world"}}'
"""
BARE = """
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  default_backend function
backend function
  http-reuse always
  server one 127.0.0.1:{target}
"""
NGINX = """
worker_processes 1;
daemon off;
pid nginx.pid;
error_log nginx.err;
events {{ worker_connections 4000; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 1000000000;
  upstream function {{ server 127.0.0.1:{target}; keepalive 200; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://function;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_set_header Host $host;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that answers on a port, and the process whose CPU it costs (None: the server)."""

    name: str
    port: int
    pid: int | None

    def cpu_seconds(self) -> float:
        """Return what the process and all below it have used so far."""
        return sum(map(_own_seconds, _tree(self.pid))) if self.pid else 0.0

    def memory_mib(self) -> float:
        """Return what the process and all below it hold, shared pages divided among sharers."""
        return sum(map(_own_mib, _tree(self.pid))) if self.pid else 0.0


@asynccontextmanager
async def server() -> AsyncIterator[Subject]:
    """The function itself."""
    port = free_port()
    config = SERVER.format(port=port)
    async with _running("direct", [HAPROXY, "-db", "-f", "x.cfg"], port, OTHER_CORE, config):
        yield Subject("direct", port, None)


@asynccontextmanager
async def gateway(target: int, routes: int) -> AsyncIterator[Subject]:
    """Torpor's gateway with so many functions."""
    port = free_port()
    words = [
        sys.executable,
        "-m",
        "tests.load.gateway_at_work",
        f"{port}",
        f"{target}",
        f"{routes}",
    ]
    async with _running(f"gateway, {routes} routes", words, port) as subject:
        yield subject


@asynccontextmanager
async def bare_haproxy(target: int) -> AsyncIterator[Subject]:
    """HAProxy with one backend and nothing else to do."""
    port = free_port()
    config = BARE.format(port=port, target=target)
    async with _running(
        "haproxy bare", [HAPROXY, "-db", "-f", "x.cfg"], port, config=config
    ) as subject:
        yield subject


@asynccontextmanager
async def nginx(target: int) -> AsyncIterator[Subject]:
    """nginx with one upstream; to be called where the program is."""
    port, program = free_port(), program_path("nginx")
    assert program
    words = [program, "-c", "x.cfg", "-p", "."]
    config = NGINX.format(port=port, target=target)
    async with _running("nginx", words, port, config=config) as subject:
        yield subject


@asynccontextmanager
async def go_proxy(target: int, program: Path) -> AsyncIterator[Subject]:
    """Go's httputil.ReverseProxy."""
    port = free_port()
    words = [str(program), f"127.0.0.1:{port}", f"http://127.0.0.1:{target}"]
    async with _running("go", words, port) as subject:
        yield subject


@asynccontextmanager
async def aiohttp_proxy(target: int) -> AsyncIterator[Subject]:
    """A proxy in Python."""
    port = free_port()
    module = "tests.load.peers.aiohttp_proxy"
    words = [sys.executable, "-m", module, f"{port}", f"http://127.0.0.1:{target}"]
    async with _running("aiohttp", words, port) as subject:
        yield subject


def build_go_proxy(folder: Path) -> Path | None:
    """Build the peer; None where there is no Go."""
    if shutil.which("go") is None:
        return None
    program = folder / "goproxy"
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=GO_PROXY, check=True)
    return program


@asynccontextmanager
async def _running(
    name: str, words: Sequence[str], port: int, core: int = PROXY_CORE, config: str = ""
) -> AsyncIterator[Subject]:
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        _write(Path(folder, "x.cfg"), config)
        pinned = ["taskset", "-c", str(core), *words]
        # The tests' own modules are found from the root of the checkout.
        env = {"PYTHONPATH": os.pathsep.join(sys.path), "GOMAXPROCS": "1"}
        daemon = Daemon(pinned, Path(folder), port, env, ready_seconds=_START_SECONDS)
        await daemon.start()
        try:
            assert daemon.process
            await _until_served(port)
            yield Subject(name, port, daemon.process.pid)
        finally:
            await daemon.stop()


async def _until_served(port: int) -> None:
    async with ClientSession() as session, asyncio.timeout(_START_SECONDS):
        while True:
            async with session.get(f"http://127.0.0.1:{port}/", headers={"Host": HOST}) as answer:
                if answer.status == HTTPStatus.OK:
                    return
            await asyncio.sleep(0.1)


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _tree(pid: int) -> list[int]:
    below = [child for thread in Path(f"/proc/{pid}/task").glob("*") for child in _children(thread)]
    return [pid, *(one for child in below for one in _tree(child))]


def _children(thread: Path) -> list[int]:
    return [int(word) for word in (thread / "children").read_text().split()]


def _own_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _own_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(kib) / 1024
