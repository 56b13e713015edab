"""A real S3 server that notifies a webhook: versitygw over a folder, built from its Go module.

`python -m tests.support.servers install` builds it, which takes minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from tests.support.servers.daemon import Daemon, free_port

VERSION = "v1.8.0"
ACCESS_KEY = "tests"
SECRET_KEY = "tests-only"
REGION = "us-east-1"
_MODULE = "github.com/versity/versitygw/cmd/versitygw"
_CACHE = Path.home() / ".cache" / "torpor-tests" / "versitygw"
_BUILD_SECONDS = 900


def program() -> Path:
    """Where the program is, or would be."""
    return _CACHE / VERSION / "bin" / "versitygw"


def available() -> bool:
    """Whether the program is there."""
    return program().exists()


needs_versitygw = pytest.mark.skipif(not available(), reason="no versitygw on this machine")


def install() -> None:
    """Build the program unless it is there. What Go needed for that is removed."""
    if program().exists():
        return
    with tempfile.TemporaryDirectory(prefix="torpor-versitygw-") as folder:
        environment = {
            **os.environ,
            "GOPATH": folder,
            "GOBIN": f"{folder}/bin",
            "GOCACHE": f"{folder}/cache",
            "GOFLAGS": "-modcacherw -trimpath",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        }
        command = ["go", "install", "-ldflags=-s -w", f"{_MODULE}@{VERSION}"]
        subprocess.run(command, check=True, env=environment, timeout=_BUILD_SECONDS)
        program().parent.mkdir(parents=True, exist_ok=True)
        partial = program().with_suffix(f".{os.getpid()}")
        shutil.copy2(Path(folder) / "bin" / "versitygw", partial)
        partial.replace(program())


@dataclass(frozen=True, slots=True)
class ObjectServer:
    """A running server. Each bucket is a folder in `folder`."""

    url: str
    folder: Path

    def client(self) -> Any:
        """A boto3 client."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name=REGION,
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=10),
        )

    def environment(self) -> dict[str, str]:
        """What obstore reads."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }


@contextlib.asynccontextmanager
async def object_server(
    webhook_url: str = "", host: str = "127.0.0.1"
) -> AsyncIterator[ObjectServer]:
    """A running server that posts its notifications to `webhook_url`, which must answer by then.

    It listens on `host`, an address of this machine.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="torpor-test-s3-") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        argv = [str(program()), "--port", f"{host}:{port}", "--quiet"]
        argv += ["--event-webhook-url", webhook_url] if webhook_url else []
        credentials = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        command = [*argv, "posix", str(data)]
        server = Daemon(command, folder, port, credentials, host=host)
        await server.start()
        try:
            yield ObjectServer(f"http://{host}:{port}", data)
        finally:
            await server.kill()
