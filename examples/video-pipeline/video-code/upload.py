"""POST /videos: takes a video, and says where to look for what becomes of it.

What is stored below incoming/ is announced by the bucket, and handled when its turn in the queue
comes. While the queue is long the circuit is open: the video is stored where nobody looks, and its
execution is started and waited for here.
"""

import hashlib
import json
import os
import time
import uuid

import bucket
import torpor_api

MOST_BYTES = int(os.environ.get("MOST_BYTES", 32 * 1024 * 1024))
MOST_WAITING = int(os.environ.get("MOST_WAITING", 20))
LONGEST_WAIT_SECONDS = float(os.environ.get("LONGEST_WAIT_SECONDS", 120))
_LOOK_SECONDS = 0.5
_MAGIC = (
    (4, b"ftyp", "mp4"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (0, b"\x1aE\xdf\xa3", "mkv"),
    (8, b"AVI ", "avi"),
    (0, b"OggS", "ogg"),
    (0, b"FLV\x01", "flv"),
    (0, b"\x00\x00\x01\xba", "mpg"),
)


def handler(event, context):
    if event.path != "/":
        return problem(404, "not-found", "post the video to /videos")
    if not event.body or len(event.body) > MOST_BYTES:
        text = f"send a video of 1 to {MOST_BYTES} bytes; a larger one goes into the bucket itself"
        return problem(413 if event.body else 400, "size", text)
    suffix = kind_of(event.body)
    if suffix is None:
        text = "the body is no video that is known here: send MP4, MOV, Matroska, WebM, AVI, Ogg …"
        return problem(415, "not-a-video", text)
    video = id_of(event.headers.get("idempotency-key"))
    name = f"{video}.{suffix}"
    bucket.note_taken(video)
    waiting = backlog(context)
    if waiting >= MOST_WAITING:
        context.log.warning("%s uploads wait: %s is handled at once", waiting, name)
        return at_once(name, event, context)
    bucket.put_new(f"incoming/{name}", event.body, event.headers.get("traceparent", ""))
    return answer(202, {"status": "waiting", **look_at(name)})


def backlog(context):
    """Return how many uploads wait. One that cannot be counted may wait as well: it is stored."""
    try:
        return torpor_api.waiting_in("uploads")
    except (torpor_api.Refused, OSError) as error:
        context.log.warning("the queue cannot be asked: %s", error)
        return 0


def at_once(name, event, context):
    """Have it made while its sender waits: 200 with the result, or 202 if that takes long."""
    trace = event.headers.get("traceparent", "")
    bucket.put_new(f"direct/{name}", event.body, trace)
    given = {"key": f"direct/{name}"}
    arn = torpor_api.start_execution("pipeline", f"direct-{name.partition('.')[0]}", given, trace)
    until = time.monotonic() + min(LONGEST_WAIT_SECONDS, context.remaining_ms() / 1000 - 2)
    while (found := torpor_api.execution(arn))["status"] == "RUNNING":
        if time.monotonic() > until:
            return answer(202, {"status": "running", "execution": arn, **look_at(name)})
        time.sleep(_LOOK_SECONDS)
    if found["status"] != "SUCCEEDED":
        return problem(422, "not-made", found.get("cause") or found["status"])
    result = json.loads(found["output"])
    return answer(200, {"status": "ready", "execution": arn, **look_at(name), "result": result})


def kind_of(body):
    """Return what a file of these bytes is called; None for what is no video."""
    for offset, magic, suffix in _MAGIC:
        if body[offset : offset + len(magic)] == magic:
            return suffix
    is_ts = len(body) > 376 and body[0] == body[188] == body[376] == 0x47
    return "ts" if is_ts else None


def id_of(key):
    """Return the id of an upload: the same for the same Idempotency-Key."""
    return hashlib.sha256(key.encode()).hexdigest()[:20] if key else uuid.uuid4().hex[:20]


def look_at(name):
    video = name.partition(".")[0]
    return {"id": video, "location": f"/videos/{video}"}


def answer(status, document):
    headers = {"Content-Type": "application/json", "Location": document["location"]}
    return status, headers, json.dumps(document)


def problem(status, code, detail):
    """Return an error as RFC 9457 has it."""
    document = {"type": f"urn:video-pipeline:{code}", "status": status, "detail": detail}
    headers = {"Content-Type": "application/problem+json"}
    return status, headers, json.dumps(document)
