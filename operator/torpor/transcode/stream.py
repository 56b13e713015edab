"""One ffmpeg for a run of units (mode B): it goes on encoding while closed units are committed.

It tells each file that it has closed on a pipe of its own. Frame for frame the result is that of
one ffmpeg a unit, and it costs no more than one for all; killed and resumed, it is not the same
bytes, as an encoder remembers what came before.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import TracebackType

from torpor.transcode.check import UnitWrong, check_unit
from torpor.transcode.command import CUTS, FIRST, LIST, TARGET, fill
from torpor.transcode.encode import Bench, OnFrames, check_source, why
from torpor.transcode.model import UnitPlan, Variant
from torpor.transcode.process import Ended
from torpor.transcode.running import run_ffmpeg


@dataclass(frozen=True, slots=True)
class Stretch:
    """Units of one variant that follow each other without a gap."""

    variant: Variant
    units: tuple[UnitPlan, ...]


class Stream:
    """A running encode of a stretch; leaving its context kills what still runs."""

    def __init__(self, bench: Bench, stretch: Stretch, folder: Path, on_frames: OnFrames) -> None:
        self._bench = bench
        self._stretch = stretch
        self._folder = folder
        self._on_frames = on_frames
        self._reader = asyncio.StreamReader()

    async def __aenter__(self) -> Stream:
        told, tells = os.pipe()
        loop = asyncio.get_running_loop()
        reading = asyncio.StreamReaderProtocol(self._reader)
        pipe = os.fdopen(told, "rb")
        self._transport, _ = await loop.connect_read_pipe(lambda: reading, pipe)
        self._encode = asyncio.create_task(self._run(tells), name=f"encode {self._name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._encode.cancel()
        await asyncio.gather(self._encode, return_exceptions=True)
        self._transport.close()

    async def closed(self, unit: UnitPlan) -> Path:
        """Return the file of the next unit, checked, once ffmpeg has closed it.

        The last one is returned when ffmpeg has ended well. Raises as `encode_unit` does.
        """
        line = (await self._reader.readline()).decode()
        if not line:
            raise await self._failure(await self._encode, unit)
        path = self._folder / line.partition(",")[0]
        if path.name != _file(unit.index):
            raise UnitWrong(f"{self._name}: ffmpeg closed {path.name}, not unit {unit.index}")
        if unit is self._stretch.units[-1]:
            ended = await self._encode
            if ended.code != 0:
                raise await self._failure(ended, unit)
        try:
            planned = self._bench.planned(self._stretch.variant, unit)
            await check_unit(self._bench.tools, path, planned)
        except UnitWrong:
            await check_source(self._bench, unit)
            raise
        return path

    async def _run(self, tells: int) -> Ended:
        try:
            argv = self._command(tells)
            return await run_ffmpeg(argv, self._on_frames, pass_fds=(tells,))
        finally:
            os.close(tells)

    def _command(self, tells: int) -> list[str]:
        units, folder = self._stretch.units, str(self._folder.absolute()).replace("%", "%%")
        ends = list(accumulate(unit.frames for unit in units))
        values = {
            **self._bench.values(units[0], ends[-1], self._folder),
            CUTS: ",".join(map(str, ends)),
            FIRST: str(units[0].index),
            LIST: f"pipe:{tells}",
            TARGET: f"file:{folder}/%05d.mp4",
        }
        return fill(self._stretch.variant.args, self._bench.tools.ffmpeg, values)

    async def _failure(self, ended: Ended, unit: UnitPlan) -> Exception:
        if ended.code != 0:
            return await why(self._bench, self._stretch.variant, unit, ended)
        await check_source(self._bench, unit)
        return UnitWrong(f"{self._name}: ffmpeg ended without unit {unit.index}")

    @property
    def _name(self) -> str:
        return self._stretch.variant.name


def _file(index: int) -> str:
    return f"{index:05d}.mp4"
