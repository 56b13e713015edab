"""First of the Workflow: what was uploaded, where its results go, and whether they are there."""

import re
import tempfile

import bucket
import database
import media

_KEY = re.compile(r"(incoming|direct)/([0-9a-z-]{1,64})\.([0-9a-z]{1,5})")


async def handler(event, context):
    key = event.json()["key"]
    found = _KEY.fullmatch(key)
    if found is None:
        raise media.NotAVideo(f"{key!r}: a key must be like incoming/ID.mp4")
    video = found[2]
    row = await database.row(video)
    if row is not None and row["status"] == "ready":
        return {"id": video, "key": key, "known": True}
    with tempfile.NamedTemporaryFile(suffix=f".{found[3]}") as file:
        bucket.download(key, file.name)
        shape = media.probe(file.name)
    return {
        "id": video,
        "key": key,
        "known": False,
        "source": bucket.url_of(key),
        "to": bucket.url_of(f"videos/{video}"),
        **shape,
    }
