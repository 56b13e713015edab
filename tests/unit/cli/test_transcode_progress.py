"""How far it is: plain lines where nobody looks live, one line that changes in a terminal."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import time
from typing import Any

import pytest

from torpor.cli.transcodeprogress import PlainLines, left, percent, speed

_SHOW = """
import time
from torpor.cli.transcodeprogress import display
with display() as shown:
    for ratio in (0.25, 0.5):
        shown.show({"ratio": ratio, "speed": 84.06, "unit": "frames", "leftSeconds": 62.4,
                    "message": "encoding [h264-720p]"})
        time.sleep(0.3)
"""


def snapshot(**changed: Any) -> dict[str, Any]:
    known = {"ratio": 0.372, "speed": 84.06, "unit": "frames", "leftSeconds": 62.4}
    return {**known, "message": "encoding h264-720p", **changed}


def test_a_line_tells_share_speed_time_left_and_what_is_done() -> None:
    out = io.StringIO()
    PlainLines(out).show(snapshot())
    assert out.getvalue() == "37.2 %  84.1 frames/s  1:02 left  encoding h264-720p\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0, ""), (9.4, "0:09 left"), (3723, "1:02:03 left")]
)
def test_time_left_is_a_clock(seconds: float | None, text: str) -> None:
    assert left(snapshot(leftSeconds=seconds)) == text


def test_what_nobody_knows_is_left_out() -> None:
    unknown = snapshot(ratio=None, speed=None, leftSeconds=None, message="")
    assert (percent(unknown), speed(unknown), left(unknown)) == ("", "", "")
    out = io.StringIO()
    PlainLines(out).show(unknown)
    assert out.getvalue() == ""


def test_lines_come_every_ten_seconds_or_when_something_else_is_done() -> None:
    out, now = io.StringIO(), [100.0]
    lines = PlainLines(out, lambda: now[0])
    for seconds, message in ((0.0, "a"), (9.9, "a"), (10.0, "a"), (10.1, "b"), (12.0, "b")):
        now[0] = 100.0 + seconds
        lines.show(snapshot(message=message))
    assert [line.rsplit("  ", 1)[1] for line in out.getvalue().splitlines()] == ["a", "a", "b"]


def test_in_a_terminal_one_line_changes() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", _SHOW], stderr=theirs, env=environment) as shown:
        os.close(theirs)
        printed = b"".join(read_all(ours)).decode()
        assert shown.wait(20) == 0
    os.close(ours)
    assert "50.0 %" in printed
    assert "1:02 left" in printed
    assert "encoding [h264-720p]" in printed
    assert "\x1b[2K" in printed  # the line is wiped, not repeated


def read_all(terminal: int) -> list[bytes]:
    pieces = []
    deadline = time.monotonic() + 20
    while select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            pieces.append(os.read(terminal, 4096))
        except OSError:  # EIO: the other end is closed
            break
    return pieces
