"""GET /videos: the catalog. GET /videos/ID: one video. GET /videos/ID/FILE: what was made of it."""

import json
import re

import bucket
import database
from obstore.exceptions import NotFoundError

_PATH = re.compile(r"/([0-9a-z-]{1,64})(?:/([0-9A-Za-z][-.0-9A-Za-z]{0,100})?)?")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})")
_TYPES = {
    "mp4": "video/mp4",
    "jpg": "image/jpeg",
    "html": "text/html; charset=utf-8",
    "json": "application/json",
    "m3u8": "application/vnd.apple.mpegurl",
}
_SHOWN = 50
_MOST_BYTES = 8 * 1024 * 1024
"""Of one answer to a Range: a player that wants the rest asks again (RFC 9110, 15.3.7)."""


async def handler(event, context):
    if event.path == "/":
        return [described(row) for row in await database.latest(_SHOWN)]
    found = _PATH.fullmatch(event.path)
    if found is None:
        return missing(event.path)
    video, file = found.groups()
    if file or event.path.endswith("/"):
        return sent(video, file or "index.html", event.headers.get("range"))
    row = await database.row(video)
    if row:
        return described(row)
    return at_work(video) if bucket.was_taken(video) else missing(video)


def described(row):
    problem = {"problem": row["problem"]} if row["problem"] else {}
    return {
        "id": row["id"],
        "status": row["status"],
        "seconds": row["seconds"],
        "variants": json.loads(row["variants"]),
        "cost": row["cost"],
        "execution": row["execution"],
        "page": f"/videos/{row['id']}/",
        **problem,
    }


def sent(video, file, wanted):
    """Return an object, or the part of it that a player asks for."""
    own = {"thumbnail.jpg": f"pictures/{video}.jpg", "index.html": f"pages/{video}.html"}
    key = own.get(file, f"videos/{video}/{file}")
    try:
        size = bucket.store.head(key)["size"]
    except (NotFoundError, FileNotFoundError):
        return missing(file)
    kind = _TYPES.get(file.rpartition(".")[2], "application/octet-stream")
    headers = {"Content-Type": kind, "Accept-Ranges": "bytes"}
    part = _RANGE.fullmatch(wanted or "")
    start, end = asked(part, size) if part else (0, 0)
    if start >= end:
        return 200, headers, pieces(key)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return 206, headers, bytes(bucket.store.get_range(key, start=start, end=end))


def asked(part, size):
    """Return where a part begins and ends; no more of it than fits into memory at once."""
    start, last = int(part[1]), int(part[2] or size - 1)
    return start, min(last + 1, size, start + _MOST_BYTES)


def pieces(key):
    for piece in bucket.store.get(key).stream():
        yield bytes(piece)


def at_work(video):
    headers = {"Content-Type": "application/json", "Retry-After": "2"}
    return 202, headers, json.dumps({"id": video, "status": "at work"})


def missing(what):
    document = {"type": "urn:video-pipeline:not-found", "status": 404, "detail": f"no {what} here"}
    headers = {"Content-Type": "application/problem+json"}
    return 404, headers, json.dumps(document)
