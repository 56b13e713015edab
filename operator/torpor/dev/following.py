"""Tells when the files of a folder changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from torpor.dev.folder import fingerprint

_LOOK_SECONDS = 0.5


async def follow(
    folder: Path, seen: Mapping[str, tuple[int, int]], changed: Callable[[], Awaitable[None]]
) -> None:
    """Call `changed` after each change, for ever; `seen` is how the files were when loaded."""
    while True:
        now = await asyncio.to_thread(fingerprint, folder)
        if now != seen:
            seen = now
            await changed()
        await asyncio.sleep(_LOOK_SECONDS)
