"""What changes in a folder is told, also what changed before anybody looked."""

from __future__ import annotations

import asyncio
from pathlib import Path

from torpor.dev.folder import fingerprint
from torpor.dev.following import follow


async def test_what_was_edited_since_it_was_loaded_is_told(tmp_path: Path) -> None:
    loaded = fingerprint(tmp_path)
    (tmp_path / "all.yaml").write_text("edited while servers start")
    changed = asyncio.Event()

    async def tell() -> None:
        changed.set()

    following = asyncio.create_task(follow(tmp_path, loaded, tell), name="files")
    async with asyncio.timeout(10):
        await changed.wait()
    following.cancel()
    await asyncio.wait((following,))
    assert following.cancelled()
