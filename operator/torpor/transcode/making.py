"""Making a unit: claimed, encoded, checked, committed; or dropped, when there is no time left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torpor.checkpoint import Checkpoint, Claim, Progress, Record, Stop, Unit
from torpor.transcode.encode import Bench, encode_audio, encode_unit
from torpor.transcode.inhand import InHand, unless_stopped
from torpor.transcode.ledger import Ledger
from torpor.transcode.model import AUDIO_UNIT, UnitPlan, Variant
from torpor.transcode.stream import Stream, Stretch

Make = Callable[[], Awaitable[Path]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A unit of the checkpoint, and what is to be made for it."""

    unit: Unit
    variant: Variant
    plan: UnitPlan


class Maker:
    """Makes units into a checkpoint, and tells how far it is.

    Progress counts what is committed and what is in hand: frames of a unit that is lost are taken
    back. Each method raises Stopped when the run is stopped and its unit would take too long.
    """

    def __init__(
        self,
        bench: Bench,
        checkpoint: Checkpoint,
        folder: Path,
        books: Ledger,
        stop: Stop,
        progress: Progress,
        frames_done: int,
    ) -> None:
        self._bench = bench
        self._checkpoint = checkpoint
        self._folder = folder
        self._books = books
        self._stop = stop
        self._progress = progress
        self._frames_done = frames_done

    async def audio(self, unit: Unit) -> None:
        """Make the one unit that holds all audio."""
        audio, target = self._bench.plan.audio, self._folder / f"{AUDIO_UNIT}.mp4"
        assert audio
        hand = InHand(AUDIO_UNIT, 0)
        length_seconds = float(self._bench.plan.source.video.duration_seconds)

        def heard(seconds: float) -> None:
            hand.heard = min(1.0, seconds / length_seconds) if length_seconds else 1.0

        async def make() -> Path:
            await encode_audio(self._bench, audio, target, heard)
            return target

        self._progress.say("encoding the audio")
        await self._one(unit, hand, make, {"codec": audio.codec})

    async def piece(self, piece: Piece) -> None:
        """Make a unit by an ffmpeg of its own."""
        hand = InHand(piece.variant.name, piece.plan.frames)
        target = self._folder / f"{piece.variant.name}-{piece.plan.index:05d}.mp4"

        async def make() -> Path:
            seen = partial(self._seen, hand)
            await encode_unit(self._bench, piece.variant, piece.plan, target, seen)
            return target

        self._progress.say(f"encoding {piece.variant.name}")
        try:
            await self._one(piece.unit, hand, make, _facts(piece))
        finally:
            target.unlink(missing_ok=True)

    async def stretch(self, pieces: Sequence[Piece]) -> None:
        """Make units of one variant that follow each other, by one ffmpeg."""
        stretch = Stretch(pieces[0].variant, tuple(piece.plan for piece in pieces))
        encoded, before = 0, 0
        hand = _hand(pieces[0])

        def seen(frames: int) -> None:
            nonlocal encoded
            encoded = frames
            self._seen(hand, min(encoded - before, hand.frames))

        self._progress.say(f"encoding {stretch.variant.name}")
        async with Stream(self._bench, stretch, self._folder, seen) as stream:
            for piece in pieces:
                hand = _hand(piece)
                seen(encoded)
                await self._one(piece.unit, hand, partial(stream.closed, piece.plan), _facts(piece))
                before += piece.plan.frames

    async def _one(self, unit: Unit, hand: InHand, make: Make, facts: dict[str, Any]) -> None:
        with self._held(hand), self._checkpoint.claim(unit) as claim:
            making = self._committed(claim, hand, make, facts)
            record = await unless_stopped(making, self._stop, hand.left_seconds)
            hand.counts = record.facts.get("worker") == self._books.name
            self._frames_done += hand.frames
            hand.done = 0
        await self._books.save(self._checkpoint)

    async def _committed(
        self, claim: Claim, hand: InHand, make: Make, facts: dict[str, Any]
    ) -> Record:
        path = await make()
        hand.is_encoded = True
        seconds = round(self._books.share_seconds(hand), 3)
        noted = {**facts, "worker": self._books.name, "podSeconds": seconds}
        try:
            return await asyncio.to_thread(partial(claim.commit, path, **noted))
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _held(self, hand: InHand) -> Iterator[None]:
        self._books.take(hand)
        try:
            yield
        finally:
            self._books.drop(hand)
            self._tell()

    def _seen(self, hand: InHand, frames: int) -> None:
        hand.done = frames
        self._tell()

    def _tell(self) -> None:
        in_hand = sum(hand.done for hand in self._books.in_hand)
        self._progress.reach(self._frames_done + in_hand)


def _hand(piece: Piece) -> InHand:
    return InHand(piece.variant.name, piece.plan.frames)


def _facts(piece: Piece) -> dict[str, Any]:
    return {"frames": piece.plan.frames, "encoder": piece.variant.encoder}
