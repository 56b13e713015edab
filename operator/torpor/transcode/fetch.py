"""Having the source as a local file: what is encoded is one object, whole, and of one ETag.

ffmpeg takes a connection that breaks for the end of the input, so nothing is encoded from a remote
address. What was fetched in part goes on where it broke, as long as it is still the same object.
"""

from __future__ import annotations

import http.client
import shutil
import socket
import stat
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from torpor.checkpoint import BadInput, ObjectMissing, Patience, Run
from torpor.checkpoint import StoreAway as Away
from torpor.errors import TorporError

_STORES = ("s3", "gs", "az")
_ANSWER_SECONDS = 30.0
_PIECE_BYTES = 1 << 20
_RETRIED = frozenset((408, 425, 429))
_SPARE_BYTES = 64 << 20


class NoRoom(TorporError):
    """The disk for work in hand has too little room for the source."""

    code = "no-room"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source as a file. `url` is without credentials and query; `etag` changes with the bytes."""

    path: Path
    url: str
    etag: str
    size_bytes: int


def fetch(url: str, scratch: Path, run: Run) -> Fetched:
    """Return the source, downloaded into `scratch` unless it is a local file. Blocks.

    Raises BadInput where there is none, NoRoom, Stopped, and the store's errors.
    """
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    if scheme in ("", "file"):
        return _local(Path(unquote(urlsplit(url).path)) if scheme else Path(url))
    if scheme in ("http", "https"):
        return _Download(url, scratch / "source", run).fetched()
    if scheme in _STORES:
        return _stored(url, scratch / "source", run)
    raise BadInput(f"the source is {scheme}://…: give a file, or an http, https, s3, gs or az URL")


def public_url(url: str) -> str:
    """Return `url` without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _local(path: Path) -> Fetched:
    try:
        found = path.stat()
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder, not a video") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{path} is not a file")
    etag = f"{found.st_mtime_ns:x}-{found.st_size:x}"
    return Fetched(path.absolute(), path.absolute().as_uri(), etag, found.st_size)


def _stored(url: str, target: Path, run: Run) -> Fetched:
    folder, _, name = url.rpartition("/")
    if not name or folder.count("/") < 2:
        raise BadInput(f"{url} names no object: give s3://bucket/path/file")
    store = run.open(folder)
    try:
        _check_room(target.parent, store.stat(name).size_bytes)
        entry = store.download(name, target)
    except ObjectMissing:
        raise BadInput(f"there is no object {url}") from None
    return Fetched(target, url, entry.etag.strip('"'), entry.size_bytes)


def _check_room(folder: Path, size_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        raise NoRoom(f"the source has {size_bytes} bytes, and {folder} has room for {free}")


class _Download:
    """One GET, continued by Range (RFC 9110, 14) with If-Range until the body is whole."""

    def __init__(self, url: str, target: Path, run: Run) -> None:
        self._url = url
        self._target = target
        self._run = run
        self._etag = ""
        self._validator = ""

    def fetched(self) -> Fetched:
        self._target.unlink(missing_ok=True)
        patience = Patience(pause=self._run.stop.pause)
        patience.until_done(f"cannot read {public_url(self._url)}", self._continue)
        size_bytes = self._target.stat().st_size
        return Fetched(self._target, public_url(self._url), self._etag, size_bytes)

    def _continue(self) -> None:
        with self._target.open("ab") as file:
            try:
                self._read_rest(file)
            except urllib.error.HTTPError as error:
                error.close()
                raise self._answered(error) from error
            except urllib.error.URLError as error:
                raise self._unreached(error) from error
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                raise Away(f"the connection broke: {error!r}") from error

    def _read_rest(self, file: BinaryIO) -> None:
        request = urllib.request.Request(self._url, headers=self._headers(file.tell()))  # noqa: S310 - http and https only
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.truncate(0)
                self._note(answer)
            length = int(answer.headers.get("Content-Length") or 0)
            _check_room(self._target.parent, length)
            whole = file.seek(0, 2) + length
            while piece := answer.read(_PIECE_BYTES):
                self._run.stop.raise_if_requested()
                file.write(piece)
            if file.tell() < whole:
                raise Away(f"the connection broke after {file.tell()} of {whole} bytes")

    def _headers(self, have_bytes: int) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity", "User-Agent": "torpor"}
        if have_bytes and self._validator:
            headers |= {"Range": f"bytes={have_bytes}-", "If-Range": self._validator}
        return headers

    def _note(self, answer: http.client.HTTPResponse) -> None:
        """Keep what tells this object from its next version; a weak ETag does not (If-Range)."""
        etag = answer.headers.get("ETag", "")
        modified = answer.headers.get("Last-Modified", "")
        self._validator = "" if etag.startswith("W/") else etag or modified
        self._etag = (etag or modified).strip('"')

    def _answered(self, error: urllib.error.HTTPError) -> Exception:
        said = f"{public_url(self._url)} answers {error.code} {error.reason}"
        if error.code >= 500 or error.code in _RETRIED:
            return Away(said)
        return BadInput(f"the source cannot be had: {said}")

    def _unreached(self, error: urllib.error.URLError) -> Exception:
        reason = error.reason
        if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
            return BadInput(
                f"the source cannot be had: {public_url(self._url)} names no known host"
            )
        return Away(str(reason))
