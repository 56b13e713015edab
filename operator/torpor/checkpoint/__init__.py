"""Work of hours that can be killed at any time and goes on where it was.

A program divides its work into units, commits each to an object store when it is whole, and when it
is started again makes only what is missing. The package needs the standard library, and obstore
where the store is not a folder, so an image takes it alone.

    from torpor import checkpoint

    def main(run: checkpoint.Run) -> object:
        work = run.checkpoint("totals-" + checkpoint.hash_of(run.input()))
        units = [checkpoint.Unit(f"{number:05d}") for number in range(100)]
        progress = run.progress(len(units), "units", done=len(work.committed(units)))
        while left := run.left(work, units):
            for unit in left:
                with work.claim(unit) as claim:
                    claim.commit(make(unit))
                progress.advance()
        records = run.gather(work, units)
        if records is None:
            return {"waitsFor": "the other indexes"}
        return work.done({"units": len(records)})

    checkpoint.run(main)
"""

from torpor.checkpoint.checkpoint import Checkpoint
from torpor.checkpoint.claim import Claim
from torpor.checkpoint.entry import run
from torpor.checkpoint.environment import Run
from torpor.checkpoint.errors import (
    BadInput,
    CheckpointError,
    NoStore,
    ObjectChanged,
    ObjectMissing,
    PlanDiffers,
    ResultTooLarge,
    Stopped,
    StoreAway,
    StoreRefused,
    UnitDamaged,
)
from torpor.checkpoint.patience import Patience
from torpor.checkpoint.progress import Progress
from torpor.checkpoint.stopping import Stop
from torpor.checkpoint.store import Entry, Store
from torpor.checkpoint.unit import Record, Unit, hash_of

__all__ = [
    "BadInput",
    "Checkpoint",
    "CheckpointError",
    "Claim",
    "Entry",
    "NoStore",
    "ObjectChanged",
    "ObjectMissing",
    "Patience",
    "PlanDiffers",
    "Progress",
    "Record",
    "ResultTooLarge",
    "Run",
    "Stop",
    "Stopped",
    "Store",
    "StoreAway",
    "StoreRefused",
    "Unit",
    "UnitDamaged",
    "hash_of",
    "run",
]
