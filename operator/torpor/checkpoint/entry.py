"""The frame around a checkpointed program: signals in, exit code and reason out."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from torpor.checkpoint.environment import Run
from torpor.checkpoint.errors import BadInput, CheckpointError, Stopped, UnitDamaged
from torpor.checkpoint.unit import Unit

_RESERVE_SECONDS = 1.0
"""How long before the end of its grace a program is ended: being killed then would use an attempt.
"""
_LOOK_SECONDS = 0.25


def run(main: Callable[[Run], object]) -> NoReturn:
    """Call `main` with the run's environment, and exit: 0, or what its error says.

    What it returns is the run's result, unless it is None. `main` is called in a thread of its own:
    the main thread hears signals, whatever the program is doing. If it raises UnitDamaged it is
    called again, unless that unit was damaged before. A program that does not end within the grace
    is ended as Stopped, as is one that is sent SIGINT when it was asked to stop already.

    | it ended with | exit | in the output file |
    | --- | --- | --- |
    | a value | 0 | the result |
    | an error whose `exit_code` is 64 | 64: the run fails at once | {"error": reason} |
    | Stopped | 143: no attempt is used | nothing |
    | any other error | 1: an attempt is used | {"error": reason} |
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        this = Run.from_environment()
    except BadInput as error:
        output = os.environ.get("TORPOR_OUTPUT")
        sys.exit(_failed(Run(output_path=Path(output) if output else None), error))
    sys.exit(_watched(this, main))


def _watched(this: Run, main: Callable[[Run], object]) -> int:
    """Return the exit code of `main`, heeding signals meanwhile."""
    codes: list[int] = []
    ended = threading.Event()

    def work() -> None:
        try:
            codes.append(_outcome(this, main))
        finally:
            ended.set()

    this.stop.listen(on_impatience=_leave)
    threading.Thread(target=work, name="main", daemon=True).start()
    while not ended.wait(_LOOK_SECONDS):
        if this.stop.requested and this.stop.left_seconds <= _RESERVE_SECONDS:
            _leave()
    return codes[0] if codes else 1


def _outcome(this: Run, main: Callable[[Run], object]) -> int:
    try:
        value = _whole(this, main)
        if value is not None:
            this.result(value)
    except Stopped as error:
        _say(f"stopped: {error}")
        return error.exit_code
    except CheckpointError as error:
        return _failed(this, error)
    except SystemExit as error:
        return _own(error.code)
    except Exception as error:
        traceback.print_exc()
        return _failed(this, CheckpointError(f"{type(error).__name__}: {error}"))
    return 0


def _whole(this: Run, main: Callable[[Run], object]) -> object:
    """Call `main`, and once more for each unit that it finds damaged: then that is made anew."""
    anew: set[Unit] = set()
    while True:
        try:
            return main(this)
        except UnitDamaged as error:
            if error.unit in anew:
                raise
            anew.add(error.unit)
            _say(f"again: {error}")


def _own(code: object) -> int:
    """Return the exit code that the program chose, as Python has it: text is said, and is 1."""
    if code is None or isinstance(code, int):
        return code or 0
    _say(str(code))
    return 1


def _failed(this: Run, error: CheckpointError) -> int:
    """Say why it failed to who reads the log and to who reads the run's status."""
    _say(f"error: {' '.join(str(error).split())}")
    try:
        this.failed(str(error))
    except OSError as unwritten:
        _say(f"error: the reason cannot be written: {unwritten}")
    return error.exit_code


def _leave() -> None:
    """End at once as Stopped: what is committed is kept, the rest never was."""
    _say("stopped: ended before the work in hand was")
    os._exit(Stopped.exit_code)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
