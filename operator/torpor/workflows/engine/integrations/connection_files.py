"""The installation's connections: files that whoever installs gives to a namespace.

`<folder>/<namespace>/<name>.json` is the connection of that name for the Workflows of that
namespace. A file is read whenever it is used, so that a Secret that is mounted here counts as soon
as the kubelet has swapped it.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from torpor.workflows.engine.integrations.connections import (
    BadConnection,
    Connection,
    NoConnection,
    parse_connection,
)

MOST_BYTES = 65_536
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"(?!\.)[.\-_A-Za-z0-9]{1,64}")


class ConnectionFiles:
    """Finds connections in a folder; without one there are none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    async def find(self, namespace: str, name: str) -> Connection:
        """Return a namespace's connection; NoConnection, or BadConnection if it is wrong."""
        content = await asyncio.to_thread(self._content, namespace, name)
        if content is None:
            raise NoConnection(
                f"There is no connection {name!r} for the namespace {namespace}. The installation "
                "gives it one in workflows.connections, or the folder of torpor dev by the file "
                f"connections/{namespace}/{name}.json."
            )
        try:
            return parse_connection(content)
        except BadConnection as error:
            text = f"The connection {name!r} of the namespace {namespace} is wrong: {error}."
            raise BadConnection(text) from None

    def _content(self, namespace: str, name: str) -> bytes | None:
        if self._folder is None or not _NAMESPACE.fullmatch(namespace) or not _NAME.fullmatch(name):
            return None
        try:
            with (self._folder / namespace / f"{name}.json").open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadConnection(
                f"The connection {name!r} of the namespace {namespace} cannot be read: "
                f"{error.strerror}."
            ) from error
        if len(content) > MOST_BYTES:
            text = (
                f"The connection {name!r} of the namespace {namespace} has over {MOST_BYTES} bytes."
            )
            raise BadConnection(text)
        return content
