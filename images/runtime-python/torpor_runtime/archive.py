"""Fetches the archive that holds the code, proves that it is the one that is meant, unpacks it.

As a program it does that and then becomes the program that its arguments name, if there are any: so
that instances in other languages have their code by the same rules.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from http.client import HTTPException
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from torpor_runtime.failure import report_start_failure
from torpor_runtime.unpack import ArchiveError, unpack

PACKED_BYTES = 256 * 1024 * 1024
_SILENCE_SECONDS = 10.0
_FETCH_SECONDS = 300.0
_BLOCK_BYTES = 256 * 1024


def fetch(url: str, sha256: str, folder: str) -> None:
    """Make `folder` hold what the archive at `url` holds; nothing happens if it exists.

    It appears whole or not at all, also where several processes fetch at once. ArchiveError tells
    why it cannot be; of the URL's query, which may hold a signature, nothing is told.
    """
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    os.makedirs(parent, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".fetch-", dir=parent)
    try:
        packed, found = os.path.join(work, "packed"), os.path.join(work, "code")
        _download(url, sha256, packed)
        unpack(packed, found)
        os.chmod(work, 0o755)  # noqa: S103 - the code of the user, for the user's processes
        _appear(found, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _appear(found: str, folder: str) -> None:
    try:
        os.rename(found, folder)
    except OSError:
        if not os.path.isdir(folder):  # another process was faster
            raise


def _download(url: str, sha256: str, target: str) -> None:
    place = urlsplit(url)
    if place.scheme not in ("http", "https"):
        raise ArchiveError("the archive's URL must begin with https:// or http://")
    told = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
    try:
        with urlopen(url, timeout=_SILENCE_SECONDS) as answer:  # noqa: S310 - checked above
            digest = _copy(answer, target, told)
    except HTTPError as error:
        error.close()
        raise ArchiveError(f"{told} answered {error.code}: no archive was fetched") from None
    except (OSError, HTTPException) as error:
        raise ArchiveError(f"{told} cannot be fetched: {error}") from None
    if digest != sha256:
        raise ArchiveError(f"{told} has the SHA-256 {digest}, not {sha256}: write that, or mend it")


def _copy(answer: IO[bytes], target: str, told: str) -> str:
    """Return the SHA-256 of what was written."""
    digest, size = hashlib.sha256(), 0
    deadline = time.monotonic() + _FETCH_SECONDS
    with open(target, "wb") as file:
        while block := answer.read(_BLOCK_BYTES):
            size += len(block)
            if size > PACKED_BYTES:
                raise ArchiveError(f"{told} is larger than {PACKED_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ArchiveError(f"{told} took longer than {_FETCH_SECONDS:g} s")
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def main() -> int:
    """Fetch what the environment names; return 1 if that fails, else do not return, or with 0."""
    try:
        folder = os.environ["TORPOR_CODE_DIR"]
        fetch(os.environ["TORPOR_ARCHIVE_URL"], os.environ["TORPOR_ARCHIVE_SHA256"], folder)
        if sys.argv[1:]:
            os.chdir(folder)
            os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the arguments are the caller's
    except (ArchiveError, OSError) as error:
        return report_start_failure(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
