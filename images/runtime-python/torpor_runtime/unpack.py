"""Unpacks a .tar.gz or .zip without trusting it: nothing of it is ever outside of its folder.

Regular files, folders and symbolic links that stay inside are taken; anything else refuses the
whole archive. Links are made last, so that no file is written through one.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

UNPACKED_BYTES = 512 * 1024 * 1024
MOST_FILES = 50_000
_LONGEST_LINK_BYTES = 4096
_BLOCK_BYTES = 256 * 1024
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError)


class ArchiveError(Exception):
    """There is no archive, it is not the one that is meant, or it may not be unpacked."""


class _Member:
    """One entry. `content` is what a file holds, None for a folder; `link` is where it leads."""

    def __init__(
        self, name: str, mode: int = 0, content: IO[bytes] | None = None, link: str | None = None
    ) -> None:
        self.name = name
        self.mode = 0o755 if mode & 0o100 else 0o644
        self.content = content
        self.link = link


def unpack(packed: str, folder: str) -> None:
    """Unpack the file into `folder`, which must not exist; ArchiveError if it may not be."""
    os.mkdir(folder)
    links: list[tuple[str, str]] = []
    try:
        left = UNPACKED_BYTES
        for number, member in enumerate(_members(packed), start=1):
            if number > MOST_FILES:
                raise ArchiveError(f"the archive holds more than {MOST_FILES} files")
            path = _inside(folder, member.name)
            if member.link is not None:
                links.append((path, member.link))
            else:
                left -= _write(member, path, left)
    except _BROKEN as error:
        raise ArchiveError(f"the archive is broken: {error}") from None
    _link(folder, links)


def _members(packed: str) -> Iterator[_Member]:
    with open(packed, "rb") as file:
        begin = file.read(4)
    if begin.startswith(b"PK"):
        return _of_zip(packed)
    if begin.startswith(b"\x1f\x8b"):
        return _of_tar(packed)
    raise ArchiveError("the archive is neither a .zip nor a .tar.gz")


def _of_tar(packed: str) -> Iterator[_Member]:
    with tarfile.open(packed, "r|gz") as archive:
        for entry in archive:
            if entry.isdir():
                yield _Member(entry.name)
            elif entry.issym():
                yield _Member(entry.name, link=entry.linkname)
            elif entry.isreg():
                yield _Member(entry.name, entry.mode, archive.extractfile(entry))
            else:
                raise ArchiveError(f"{entry.name!r} is no file, folder or symbolic link")


def _of_zip(packed: str) -> Iterator[_Member]:
    with zipfile.ZipFile(packed) as archive:
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            if entry.is_dir():
                yield _Member(entry.filename)
                continue
            if entry.flag_bits & 1 or entry.compress_type not in _PACKINGS:
                raise ArchiveError(f"{entry.filename!r} is encrypted, or not packed by deflate")
            with archive.open(entry) as content:
                if stat.S_ISLNK(mode):
                    target = content.read(_LONGEST_LINK_BYTES).decode(errors="replace")
                    yield _Member(entry.filename, link=target)
                else:
                    yield _Member(entry.filename, mode, content)


def _inside(folder: str, name: str) -> str:
    """Return the path that the name has in `folder`; ArchiveError if it is none."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or "\\" in name:
        raise ArchiveError(f"{name!r} would be outside of the code's folder")
    return os.path.join(folder, *parts)


def _write(member: _Member, path: str, most_bytes: int) -> int:
    """Write a file or make a folder; return the bytes that were written."""
    if member.content is None:
        os.makedirs(path, exist_ok=True)
        return 0
    os.makedirs(os.path.dirname(path), exist_ok=True)
    size = 0
    with open(path, "wb") as file:
        while block := member.content.read(_BLOCK_BYTES):
            size += len(block)
            if size > most_bytes:
                raise ArchiveError(f"unpacked, the archive is larger than {UNPACKED_BYTES} bytes")
            file.write(block)
    os.chmod(path, member.mode)
    return size


def _link(folder: str, links: list[tuple[str, str]]) -> None:
    """Make the links; ArchiveError if one is or leads outside, be it by way of another."""
    for path, target in links:
        _stays(folder, os.path.dirname(path))  # what was linked before may be a part of it
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.isabs(target):
            raise ArchiveError(f"a link leads to {target!r}: make it relative")
        os.symlink(target, path)
    for path, _ in links:
        _stays(folder, path)


def _stays(folder: str, path: str) -> None:
    root, found = os.path.realpath(folder), os.path.realpath(path)
    if found != root and not found.startswith(f"{root}/"):
        raise ArchiveError(f"the link {path[len(folder) + 1 :]!r} leads out of the code's folder")
