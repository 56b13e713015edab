"""Where a run may read from and write to, decided before anything is fetched or made.

Whoever may start a run names its source and its target: what the pod can reach, they could.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from torpor.checkpoint import BadInput, Store

SOURCES, TARGETS = "TORPOR_SOURCES", "TORPOR_TARGETS"
"""Name the addresses that a run's source and results may have, divided by spaces; any, if unset."""
SCRATCH = "TORPOR_SCRATCH"
"""Names the folder for work in hand; the system's, if unset."""
_IN_POD = "KUBERNETES_SERVICE_HOST"
_REMOTE = ("s3", "s3a", "gs", "az", "abfs", "abfss")
_WRITE = "write s3://bucket/prefix, gs://…, az://…, or a folder"


@dataclass(frozen=True, slots=True)
class Reach:
    """The addresses that may be named: those of `prefixes` and what lies below; all, if None."""

    what: str = ""
    prefixes: tuple[str, ...] | None = None

    @classmethod
    def named(cls, variable: str, environment: Mapping[str, str]) -> Reach:
        """Return what an environment variable allows."""
        prefixes = tuple(environment.get(variable, "").split())
        return cls(variable, tuple(map(address, prefixes)) if prefixes else None)

    def check(self, url: str) -> None:
        """Raise BadInput unless `url` may be used."""
        if self.prefixes is None:
            return
        at = address(url)
        if not any(_is_below(at, prefix) for prefix in self.prefixes):
            raise BadInput(f"{at} is none of the places that {self.what} of the Function allows")


ANYWHERE = Reach()


def address(url: str) -> str:
    """Return the one form of a file's name or a URL, without credentials and query.

    Links of local files are followed. Raises BadInput for what a server may take for another one.
    """
    parts = split(url)
    if parts.scheme in ("", "file"):
        return f"file://{os.path.realpath(local(url))}"
    if ".." in unquote(parts.path).replace("\\", "/").split("/"):
        raise BadInput(f"{parts.scheme}://{parts.netloc}…: an address may not have .. in it")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}{parts.path}".rstrip("/")


def check_apart(source: str, to: str) -> None:
    """Raise BadInput where the source is among the results, one of which might replace it."""
    if to and _is_below(address(source), address(to)):
        raise BadInput("the source lies where the results go: give them a place of their own")


def check_target(to: str) -> None:
    """Raise BadInput or NoStore for what can take no results; nothing is asked of a store."""
    if not to:
        return
    if is_remote(to):
        if not split(to).netloc:
            raise BadInput(f"{to!r} names no bucket: {_WRITE}")
        return
    if split(to).scheme in ("http", "https"):
        raise BadInput(f"nothing can be written to {to!r}: {_WRITE}")
    Store.open(to)
    if local(to).exists() and not local(to).is_dir():
        raise BadInput(f"{to!r} is a file: {_WRITE}")


def check_kept(to: str, store_url: str, completions: int, environment: Mapping[str, str]) -> None:
    """Raise BadInput where a Job's results, or what is done so far, would go with its pod."""
    if not to and not store_url:
        raise BadInput("the input has no `to`, and the Function no spec.job.checkpoint.store")
    if is_remote(to):
        return
    if completions > 1 and not store_url:
        raise BadInput(
            "several pods share no folder: set spec.job.checkpoint.store of the Function, or let "
            f"`to` be a store, such as s3://bucket/prefix; it is {to!r}"
        )
    if to and _IN_POD in environment and not _outlives_pod(to, environment):
        raise BadInput(
            f"{to!r} is of the pod's own disk, which goes with it: write s3://bucket/prefix, "
            "gs://…, az://…, or an absolute path in a mounted volume"
        )


def is_remote(url: str) -> bool:
    """Whether it is an address of a store that is no folder."""
    return "://" in url and split(url).scheme in _REMOTE


def local(url: str) -> Path:
    """Return the path that a file's name or `file:` URL stands for."""
    return Path(unquote(split(url).path)) if "://" in url else Path(url)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an address is made of; a file's name is all path."""

    scheme: str
    netloc: str
    path: str


def split(url: str) -> Parts:
    """Return the parts of an address; BadInput says what is wrong with it."""
    if "://" not in url:
        return Parts("", "", url)
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadInput(f"this is no address: {error}") from None
    return Parts(parts.scheme.lower(), parts.netloc, parts.path)


def _is_below(at: str, prefix: str) -> bool:
    return at == prefix or at.startswith(f"{prefix.rstrip('/')}/")


def _outlives_pod(to: str, environment: Mapping[str, str]) -> bool:
    path = Path(os.path.realpath(local(to)))
    passing = [environment.get(SCRATCH), tempfile.gettempdir()]
    if not local(to).is_absolute() or any(path.is_relative_to(at) for at in passing if at):
        return False
    return any(os.path.ismount(at) for at in (path, *path.parents) if at != Path("/"))
