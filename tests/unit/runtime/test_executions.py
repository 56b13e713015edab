"""Time-outs come whatever happened to the thread that tells them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from torpor_runtime.executions import Executions, Turn
from torpor_runtime.limits import Limits

TIMEOUT_SECONDS = 0.05


def executions() -> Executions:
    return Executions(Limits(TIMEOUT_SECONDS, 1, TIMEOUT_SECONDS), lambda reason: None)


def turn(overtaken: Callable[[], None]) -> Turn:
    return Turn(time.monotonic() + TIMEOUT_SECONDS, overtaken)


@pytest.mark.parametrize("missing", ["time-outs", "graces"])
def test_without_a_thread_nothing_is_executed_and_the_next_turn_is_watched(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    start = threading.Thread.start

    def refuses(thread: threading.Thread) -> None:
        if thread.name == missing:
            raise RuntimeError("can't start new thread")
        start(thread)

    some, first_told, second_told = executions(), threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuses)
        with pytest.raises(RuntimeError, match="new thread"):
            some.enter(turn(first_told.set))
    second = turn(second_told.set)
    assert some.enter(second)
    assert second_told.wait(5)
    assert not some.leave(second)
    assert not first_told.is_set()


def test_a_turn_that_cannot_be_told_is_logged_and_cancelled_and_the_next_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise OSError("no such client")

    some, cancelled, told = executions(), threading.Event(), threading.Event()
    first = turn(fails)
    assert some.enter(first)
    first.cancel_by(cancelled.set)
    assert cancelled.wait(5)
    assert not some.leave(first)
    second = turn(told.set)
    assert some.enter(second)
    assert told.wait(5)
    assert not some.leave(second)
    assert "no such client" in capsys.readouterr().err


def test_a_log_that_takes_nothing_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

    def fails() -> None:
        raise OSError("no such client")

    some, told = executions(), threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", Closed())
        first = turn(fails)
        assert some.enter(first)
        cancelled = threading.Event()
        first.cancel_by(cancelled.set)
        assert cancelled.wait(5)
        assert not some.leave(first)
        second = turn(told.set)
        assert some.enter(second)
        assert told.wait(5)
        assert not some.leave(second)


def test_who_waits_is_told_before_the_time_is_up() -> None:
    some = Executions(Limits(2.0, 1, 5.0), lambda reason: None)
    told: list[float] = []
    first, second = (
        Turn(time.monotonic() + 2.0, lambda: told.append(time.monotonic())) for _ in range(2)
    )
    assert some.enter(first)
    assert not some.enter(second)
    assert len(told) == 1
    assert 0 < second.deadline - told[0] <= 0.25
    assert not second.runs
    assert some.leave(first)
