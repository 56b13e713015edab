"""A real S3 server for tests that are not async, and stores on it that lose patience soon."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.support.servers.versitygw import ObjectServer, object_server
from torpor.checkpoint import Patience, Store

QUICK = Patience(seconds=0.3)


@dataclass
class Buckets:
    """Hands out a new bucket for each test."""

    server: ObjectServer
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new(self) -> str:
        """The URL of a new bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.server.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def options(self, **changed: str) -> Mapping[str, str]:
        """What obstore has to know."""
        return {**self.server.environment(), **changed}

    def store(self, url: str = "", patience: Patience = QUICK, **changed: str) -> Store:
        """A store in a new bucket, or at this URL."""
        return Store.open(
            url or f"{self.new()}/work", patience=patience, options=self.options(**changed)
        )


@contextlib.contextmanager
def s3_buckets() -> Iterator[Buckets]:
    """The server, as long as the context."""
    with asyncio.Runner() as runner:
        server = object_server()
        try:
            yield Buckets(runner.run(server.__aenter__()))
        finally:
            runner.run(server.__aexit__(None, None, None))
