"""Does what a document tells: writes its files and runs its commands in a copy of the checkout.

All commands of a document share one terminal's state: the working directory and the environment
pass from each block to the next. A failed command ends the document, as it would stop a reader.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docs.blocks import Block, Step
from tests.docs.expected import missing

ROOT = Path(__file__).resolve().parents[2]
BLOCK_SECONDS = 120.0
EVENTUALLY_SECONDS = 60.0
BACKGROUND_SECONDS = 30.0
ENDED_BY_INTERRUPT = (0, 130)
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__")

_OF_AN_OUTER_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"}
_STAMPS = (".run", ".dev")

_RESTORE = 'if [ -e "{state}" ]; then . "{state}"; cd "$(cat "{folder}")"; fi\n'
_KEEP = '\ndeclare -px > "{state}"; pwd > "{folder}"\n'
_DRY_RUN = """
helm() { command helm "$@" --dry-run=server; }
kubectl() {
  local more=(--dry-run=server)
  if [[ " $* " == *" --server-side "* ]]; then more+=(--force-conflicts); fi
  command kubectl "$@" "${more[@]}"
}
"""


class Untrue(AssertionError):
    """A document says what is not so."""


def copy_checkout(target: Path) -> Path:
    """Copy the checkout to `target` and return the copy's root.

    Its `.venv` is this checkout's by links, with fresh stamps: `make` finds it complete, and never
    installs the copy into it.
    """
    shutil.copytree(ROOT, target, ignore=_LEFT_OUT, symlinks=True)
    installed = ROOT / ".venv"
    if not installed.exists():
        return target
    (target / ".venv").mkdir()
    for entry in installed.iterdir():
        if entry.name not in _STAMPS:
            (target / ".venv" / entry.name).symlink_to(entry)
    for stamp in _STAMPS:
        (target / ".venv" / stamp).touch()
    return target


class Terminal:
    """Where a document's commands run, one block after the other.

    `instead` tells which words, of commands and of what they print, are others in this run.
    """

    def __init__(
        self, checkout: Path, environment: Mapping[str, str], instead: Mapping[str, str]
    ) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        told = {name: environment[name] for name in environment.keys() - _OF_AN_OUTER_MAKE}
        self._environment = {**told, "PATH": path}
        self._checkout = checkout
        self._instead = instead
        names = {"state": f"{checkout}.state", "folder": f"{checkout}.folder"}
        self._restore, self._keep = _RESTORE.format(**names), _KEEP.format(**names)

    def follow(self, wanted: list[Step]) -> None:
        """Do the steps in order; Untrue tells which one does not do what the document says."""
        with ExitStack() as background:
            for step in wanted:
                self._do(step, background)

    def _do(self, step: Step, background: ExitStack) -> None:
        mark = step.block.mark
        assert mark is not None
        if mark.file:
            target = self._checkout / mark.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.block.text)
        elif mark.until:
            background.enter_context(self._beside(step.block, mark.until))
        elif mark.eventually:
            self._repeat(step)
        else:
            self._run(step)

    def _repeat(self, step: Step) -> None:
        deadline = time.monotonic() + EVENTUALLY_SECONDS
        while True:
            try:
                return self._run(step)
            except Untrue:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def _run(self, step: Step) -> None:
        block = step.block
        printed = f"--- {block}\n{block.text}"
        try:
            done = self._bash(block)
        except subprocess.TimeoutExpired as late:
            raise Untrue(f"{printed}did not end within {late.timeout:g} s") from None
        print(printed, done.stdout, sep="")
        if done.returncode != 0:
            raise Untrue(f"{printed}ended with {done.returncode}:\n{done.stdout}")
        line = missing(self._here(step.expected), done.stdout)
        if line is not None:
            raise Untrue(f"{printed}printed:\n{done.stdout}and nothing like: {line}")

    def _here(self, text: str) -> str:
        for word, other in self._instead.items():
            text = text.replace(word, other)
        return text

    def _bash(self, block: Block) -> subprocess.CompletedProcess[str]:
        with self._started(block, subprocess.PIPE) as process:
            output, _ = process.communicate(timeout=BLOCK_SECONDS)
            return subprocess.CompletedProcess(block.text, process.returncode, output)

    @contextmanager
    def _started(self, block: Block, output: int) -> Iterator[subprocess.Popen[str]]:
        """Start the block in a process group of its own; nothing of it outlives the context."""
        assert block.mark is not None
        commands = (_DRY_RUN if block.mark.dry_run else "") + self._here(block.text)
        script = self._restore + commands + self._keep
        process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self._checkout,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_hear_interrupts,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    @contextmanager
    def _beside(self, block: Block, until: str) -> Iterator[None]:
        log = Path(f"{self._checkout}.line-{block.line}.log")
        with log.open("w") as file, self._started(block, file.fileno()) as process:
            deadline = time.monotonic() + BACKGROUND_SECONDS
            while until not in log.read_text():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Untrue(f"--- {block}\n{block.text}never said {until}:\n{log.read_text()}")
                time.sleep(0.1)
            yield
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(BACKGROUND_SECONDS)
        print(f"--- {block}\n{block.text}{log.read_text()}")
        if code not in ENDED_BY_INTERRUPT:
            raise Untrue(f"{block}: after Ctrl-C it ended with {code}:\n{log.read_text()}")


def _hear_interrupts() -> None:
    """Undo an ignored SIGINT: a test run in the background of a shell inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
