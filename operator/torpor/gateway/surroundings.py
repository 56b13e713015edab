"""What all gates of a gateway share."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from torpor.gateway.announcements import Announcements
from torpor.gateway.coldstart import ColdStarts
from torpor.gateway.dataplane.base import DataPlane
from torpor.gateway.probe import Prober
from torpor.gateway.sampling import Sampler
from torpor.platform.base import Platform


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One of each for the whole gateway."""

    platform: Platform
    plane: DataPlane
    prober: Prober
    random: Random
    announcements: Announcements
    cold_starts: ColdStarts
    sampler: Sampler
