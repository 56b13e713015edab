"""The branch beside the transcoding: one small picture, a tenth into the video."""

import tempfile
from pathlib import Path

import bucket
import media


def handler(event, context):
    asked = event.json()
    with tempfile.TemporaryDirectory() as folder:
        file, picture = Path(folder) / "video", Path(folder) / "picture.jpg"
        bucket.download(asked["key"], file)
        media.still(str(file), asked["seconds"] / 10, str(picture))
        key = f"pictures/{asked['id']}.jpg"
        bucket.store.put(key, picture.read_bytes())
    return {"key": key}
