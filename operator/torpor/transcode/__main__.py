"""`python -m torpor.transcode`: the container of a transcoding Function."""

from __future__ import annotations

from torpor.checkpoint import run
from torpor.transcode.worker import main

if __name__ == "__main__":
    run(main)
