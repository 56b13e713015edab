"""The bucket with the videos: of an object store, or a folder where `torpor dev` stands for one."""

import json
import os
from contextlib import suppress

from obstore.exceptions import AlreadyExistsError, NotFoundError
from obstore.store import from_url

URL = os.environ["STORE"].rstrip("/")
store = from_url(URL)


def put_new(key, body, traceparent):
    """Store an object with the trace that it belongs to; return False if it was there already.

    One that was there keeps the trace of who stored it, on a cluster and here.
    """
    options = {"mode": "create", "use_multipart": False}
    try:
        if URL.startswith("file:"):
            # A folder has no metadata: Torpor reads it here, so it is written before the object.
            metadata = json.dumps({"traceparent": traceparent}).encode()
            with suppress(AlreadyExistsError):
                store.put(f".metadata/{key}", metadata, **options)
            store.put(key, body, **options)
        else:
            store.put(key, body, attributes={"traceparent": traceparent}, **options)
    except AlreadyExistsError:
        return False
    return True


def note_taken(video):
    """Remember that a video of this id was taken: the catalog knows it only when it is ready."""
    store.put(f"taken/{video}", b"")


def was_taken(video):
    try:
        store.head(f"taken/{video}")
    except (NotFoundError, FileNotFoundError):
        return False
    return True


def download(key, file):
    """Copy an object into a file, piece by piece."""
    with open(file, "wb") as out:
        for piece in store.get(key).stream():
            out.write(piece)


def url_of(key):
    """Return the address of an object as the transcoder reads it."""
    return f"{URL}/{key}"
