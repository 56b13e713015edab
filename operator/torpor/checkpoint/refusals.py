"""What a store's error means: nothing there, come again, or a refusal with what to do about it.

The libraries tell errors apart by class only in part; the rest is in the text, which holds the HTTP
status and the answer's XML.
"""

from __future__ import annotations

import re
from typing import Final

from torpor.checkpoint.errors import CheckpointError, ObjectMissing, StoreAway, StoreRefused

_STATUS: Final = re.compile(r"status code: ([1-5][0-9]{2})")
_CODE: Final = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,300})</Message>")
_MOST_CHARACTERS: Final = 300

_NO_OBJECT: Final = {"", "NoSuchKey", "NoSuchVersion", "BlobNotFound", "ResourceNotFound"}
_NO_BUCKET: Final = {"NoSuchBucket", "ContainerNotFound", "FilesystemNotFound"}
_SKEWED: Final = {"RequestTimeTooSkewed"}
_ELSEWHERE: Final = {"PermanentRedirect", "AuthorizationHeaderMalformed", "TemporaryRedirect"}
_EXPIRED: Final = {"ExpiredToken", "TokenRefreshRequired", "InvalidToken"}
_MAY_PASS: Final = {408, 409, 425, 429, 500, 502, 503, 504}
_FORBIDDEN: Final = {401, 403}
_METADATA: Final = ("169.254.169.254", "token request", "metadata.google", "GetWebIdentity")

_REGION: Final = "the bucket is in another region: set AWS_REGION to it"
_CREDENTIALS: Final = (
    "check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for S3) and what they allow"
)


def meaning(url: str, error: Exception) -> CheckpointError:
    """Return what an error of the store at `url` means for its caller."""
    text = str(error).partition("\n\nDebug source")[0]
    if any(sign in text for sign in _METADATA):
        return StoreRefused(f"{url}: there are no credentials for this store: {_CREDENTIALS}")
    status = _STATUS.search(text)
    if status is None:
        return _unanswered(url, str(error), text)
    return _answered(url, int(status[1]), text)


def too_large(where: str, size_bytes: int) -> StoreRefused:
    """Return the refusal to read an object into memory."""
    return StoreRefused(f"{where} has {size_bytes} bytes, too many to be read at once: download it")


def _answered(url: str, status: int, text: str) -> CheckpointError:
    code = _found(_CODE, text)
    said = " ".join(filter(None, (str(status), code, _found(_MESSAGE, text))))
    if status == 404 and code in _NO_OBJECT:
        return ObjectMissing(f"{url}: there is no such object")
    if todo := _remedy(status, code):
        return StoreRefused(f"{url}: {todo} ({said})")
    if status in _MAY_PASS:
        return StoreAway(f"the store answered {said}")
    return StoreRefused(f"{url}: the store refused ({said})")


def _remedy(status: int, code: str) -> str:
    """Return what to do about an answer that waiting does not mend, empty for others."""
    if code in _NO_BUCKET:
        return "there is no such bucket: make it, or correct the address"
    if code in _SKEWED:
        return "the clocks of this machine and of the store differ too much: set this machine's"
    if code in _ELSEWHERE:
        return _REGION
    if code in _EXPIRED:
        return "the credentials have run out: renew them"
    if status in _FORBIDDEN or status == 404:
        return f"access denied: {_CREDENTIALS}"
    if status == 507:
        return "the store has no space left: make room"
    return ""


def _unanswered(url: str, whole: str, text: str) -> CheckpointError:
    if "without LOCATION" in text:
        return StoreRefused(f"{url}: {_REGION}")
    if "certificate" in whole:
        return StoreRefused(f"{url}: the store's certificate is not trusted: {_short(text)}")
    if "builder error" in text or "HTTP error" not in text:
        return StoreRefused(f"{url}: {_short(text)}")
    return StoreAway(f"the store does not answer: {_short(text)}")


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}…"
