"""Having the source as a local file: what is encoded is one object, whole, and of one ETag.

ffmpeg takes a connection that breaks for the end of the input, so nothing is encoded from a remote
address. What was fetched in part goes on where it broke, as long as it is still the same object.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import socket
import stat
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from torpor.checkpoint import BadInput, ObjectMissing, Patience, Run
from torpor.checkpoint import StoreAway as Away
from torpor.errors import TorporError
from torpor.transcode.places import ANYWHERE, Reach, local, split

_STORES = ("s3", "gs", "az")
_ANSWER_SECONDS = 30.0
_PIECE_BYTES = 1 << 20
_RETRIED = frozenset((408, 425, 429))
_SPARE_BYTES = 64 << 20
_ROOM_BYTES = 32 << 20
"""How much is written between two looks at the room: less than what is to be spared."""


class NoRoom(TorporError):
    """The disk for work in hand has too little room for the source."""

    code = "no-room"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A source as a file. `url` is without credentials and query; `sha256` is of all its bytes.

    A server's ETag would not do: many give none, or one for each copy of the same file.
    """

    path: Path
    url: str
    sha256: str
    size_bytes: int


def fetch(url: str, scratch: Path, run: Run, reach: Reach = ANYWHERE) -> Fetched:
    """Return the source, downloaded into `scratch` unless it is a local file. Blocks.

    Raises BadInput where there is none or it is out of `reach`, NoRoom, Stopped, and the store's
    errors.
    """
    reach.check(url)
    path, public = _had(url, scratch / "source", run, reach)
    return Fetched(path, public, _sha256(path, run), path.stat().st_size)


def _had(url: str, target: Path, run: Run, reach: Reach) -> tuple[Path, str]:
    """Return where the source is now, and its public address."""
    scheme = split(url).scheme
    if scheme in ("", "file"):
        path = _local(local(url)).absolute()
        return path, path.as_uri()
    if scheme in ("http", "https"):
        _Download(url, target, run, reach).fetch()
    elif scheme in _STORES:
        _stored(url, target, run)
    else:
        raise BadInput(
            f"the source is {scheme}://…: give a file, or an http, https, s3, gs or az URL"
        )
    return target, public_url(url)


def public_url(url: str) -> str:
    """Return `url` without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _sha256(path: Path, run: Run) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            run.stop.raise_if_requested()
            digest.update(piece)
    return digest.hexdigest()


def _local(path: Path) -> Path:
    """Return the path of a file that can be read; what is none, such as a pipe, is not opened."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if stat.S_ISDIR(mode):
        raise BadInput(f"{path} is a folder, not a video")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} is not a file")
    return path


def _stored(url: str, target: Path, run: Run) -> None:
    folder, _, name = url.rpartition("/")
    if not name or folder.count("/") < 2:
        raise BadInput(f"{public_url(url)} names no object: give s3://bucket/path/file")
    store = run.open(folder)
    try:
        _check_room(target.parent, store.stat(name).size_bytes)
        store.download(name, target)
    except ObjectMissing:
        raise BadInput(f"there is no object {public_url(url)}") from None


def _check_room(folder: Path, size_bytes: int) -> None:
    """Raise NoRoom unless there is room for so much more, and some to spare."""
    free = shutil.disk_usage(folder).free
    if free < size_bytes + _SPARE_BYTES:
        need = f"has {size_bytes} bytes more" if size_bytes else "does not end"
        raise NoRoom(f"the source {need}, and {folder} has room for {free}: give it more room")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere only where the source itself might be."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if split(newurl).scheme not in ("http", "https"):
            raise BadInput("the source cannot be had: its server leads to what is no http address")
        self._reach.check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(reach: Reach) -> urllib.request.OpenerDirector:
    """Return what speaks HTTP and nothing else: urllib's own opens files and FTP too."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(reach),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


class _Download:
    """One GET, continued by Range (RFC 9110, 14) with If-Range until the body is whole."""

    def __init__(self, url: str, target: Path, run: Run, reach: Reach) -> None:
        self._url = url
        self._target = target
        self._run = run
        self._opener = _opener(reach)
        self._validator = ""

    def fetch(self) -> None:
        if not urlsplit(self._url).hostname:
            raise BadInput("the source's address names no host")
        self._target.unlink(missing_ok=True)
        patience = Patience(pause=self._run.stop.pause)
        patience.until_done(f"cannot read {public_url(self._url)}", self._continue)

    def _continue(self) -> None:
        with self._target.open("ab") as file:
            try:
                self._read_rest(file)
            except urllib.error.HTTPError as error:
                error.close()
                raise self._answered(error) from error
            except urllib.error.URLError as error:
                raise self._unreached(error) from error
            except http.client.InvalidURL:
                raise BadInput("the source's address has characters that none may have") from None
            except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
                raise Away(f"the connection broke: {error!r}") from error

    def _read_rest(self, file: BinaryIO) -> None:
        request = urllib.request.Request(self._url, headers=self._headers(file.tell()))  # noqa: S310 - see _opener
        with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.truncate(0)
                self._note(answer)
            length = int(answer.headers.get("Content-Length") or 0)
            _check_room(self._target.parent, length)
            whole = file.seek(0, 2) + length
            self._write(answer, file)
            if file.tell() < whole:
                raise Away(f"the connection broke after {file.tell()} of {whole} bytes")

    def _write(self, answer: http.client.HTTPResponse, file: BinaryIO) -> None:
        """Write what comes; a server that says no length may send without an end."""
        looked_bytes = file.tell()
        while piece := answer.read(_PIECE_BYTES):
            self._run.stop.raise_if_requested()
            file.write(piece)
            if file.tell() - looked_bytes >= _ROOM_BYTES:
                looked_bytes = file.tell()
                _check_room(self._target.parent, 0)

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
