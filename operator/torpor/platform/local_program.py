"""How one Function runs as a local process: its command, environment and files.

What a cluster would do and a laptop cannot (images, Secrets) is refused with the field's place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torpor.errors import InvalidResource
from torpor.platform.local_runtimes import command_of, fetching, program_of
from torpor.resources.function import Function

TERMINATION_LOG = "TORPOR_TERMINATION_LOG"
"""Where the runtime leaves the reason of its end."""

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Program:
    """A Function with the files that its ConfigMap holds (name to text)."""

    function: Function
    files: Mapping[str, str]

    def __post_init__(self) -> None:
        function = self.function
        if function.image is not None and not self.command():
            wanted = "does the work" if function.job else "serves HTTP on $PORT"
            raise InvalidResource(
                "spec.command",
                f"needed to run {function.key} here: images are not run locally, "
                f"so say which command {wanted}",
            )
        if function.runtime is not None and not command_of(function.runtime):
            raise InvalidResource("spec.runtime", f"{function.runtime!r} does not run locally")
        if function.env_from:
            raise InvalidResource("spec.envFrom", "cannot be read without a cluster")
        if function.volumes:
            raise InvalidResource("spec.volumes", "cannot be mounted without a cluster")
        _literal_environment(function)

    @property
    def revision(self) -> str:
        """Changes whenever running processes must be replaced."""
        function = self.function
        parts = (
            function.runtime,
            function.handler,
            function.payload.value,
            function.code.inline if function.code else None,
            function.code.archive.url if function.code and function.code.archive else None,
            function.code.archive.sha256 if function.code and function.code.archive else None,
            function.command,
            function.args,
            function.env,
            function.timeout_seconds,
            function.scaling.concurrency.limit if function.runtime else None,
            dict(self.files),
        )
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def command(self) -> tuple[str, ...]:
        """Return the command line."""
        function = self.function
        if function.runtime is not None:
            command = command_of(function.runtime)
            return fetching(command) if function.code and function.code.archive else command
        command = function.command or (program_of(function.image) if function.job else ())
        return (*command, *function.args) if command else ()

    def environment(self, port: int, code: Path, termination_log: Path) -> dict[str, str]:
        """Return the whole environment of the process."""
        return {
            **passed_on(),
            **self.own_environment(code),
            "PORT": str(port),
            "TORPOR_TIMEOUT_SECONDS": str(self.function.timeout_seconds),
            TERMINATION_LOG: str(termination_log),
        }

    def own_environment(self, code: Path) -> dict[str, str]:
        """Return what the Function says of its environment, and what its runtime is told."""
        function = self.function
        found = {**_literal_environment(function), "TORPOR_FUNCTION": str(function.key)}
        if function.runtime is None:
            return found
        found |= {
            "TORPOR_HANDLER": function.handler or "",
            "TORPOR_PAYLOAD": function.payload.value,
            "TORPOR_CONCURRENCY_LIMIT": str(function.scaling.concurrency.limit),
            "TORPOR_CODE_DIR": str(code),
            "TORPOR_BIND": "127.0.0.1",
        }
        if function.code and function.code.inline is not None:
            found["TORPOR_CODE"] = function.code.inline
        if function.code and function.code.archive:
            found |= {
                "TORPOR_ARCHIVE_URL": function.code.archive.url,
                "TORPOR_ARCHIVE_SHA256": function.code.archive.sha256,
                "TORPOR_CODE_DIR": str(code / function.code.archive.sha256[:16]),
            }
        return found

    def write_files(self, folder: Path) -> None:
        """Write the files into `folder`, which is made if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")


def passed_on() -> dict[str, str]:
    """Return what every local process has of our own environment."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _literal_environment(function: Function) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, item in enumerate(function.env):
        path = f"spec.env[{number}]"
        if not isinstance(item.get("name"), str):
            raise InvalidResource(f"{path}.name", "is required")
        if "valueFrom" in item:
            raise InvalidResource(f"{path}.valueFrom", "cannot be read without a cluster")
        found[item["name"]] = str(item.get("value") or "")
    return found
