"""The last step to zero, in which no request may be lost: park everywhere, scale, settle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from torpor.errors import ApiConflict, ApiError
from torpor.functions.gateways import Gateways
from torpor.platform.base import Platform, Scale
from torpor.resources import names
from torpor.resources.load import PARK_SECONDS
from torpor.resources.names import FunctionKey

SCALE_WITHIN_SECONDS = PARK_SECONDS / 2
"""From the beginning of the parking to the answer of the scale call, on the monotonic clock."""
_SETTLE_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Parked:
    """How it ended. `aborted` says why the function serves on; empty: it is at zero."""

    aborted: str = ""
    present: int = 0


async def to_zero(
    key: FunctionKey,
    scale: Scale,
    platform: Platform,
    gateways: Gateways,
    clock: Callable[[], float],
) -> Parked:
    """Scale the function to zero if every gateway is drained; `scale` was read before.

    ApiError when the scale call failed for another reason than a conflict, and may have been
    carried out; the gateways were told then what the platform says of it.
    """
    deadline = clock() + SCALE_WITHIN_SECONDS
    try:
        parked = await _park(key, gateways, deadline, clock)
        if not parked.aborted:
            parked = await _scale(key, scale, platform, max(0.0, deadline - clock()))
    except ApiError:
        await _settle(key, gateways, scaled=await _is_zero(key, platform))
        raise
    except asyncio.CancelledError:
        await _settle(key, gateways, scaled=False)
        raise
    await _settle(key, gateways, scaled=not parked.aborted)
    return parked


async def _park(
    key: FunctionKey, gateways: Gateways, deadline: float, clock: Callable[[], float]
) -> Parked:
    try:
        async with asyncio.timeout(max(0.0, deadline - clock())):
            answers = await gateways.park(key)
    except TimeoutError:
        answers = None
    if not answers:
        return Parked("a gateway did not acknowledge the parking")
    present = sum(answer.present for answer in answers)
    if present:
        return Parked(f"{present} requests came or are still there", present)
    if clock() >= deadline:
        return Parked("the parking took too long")
    return Parked()


async def _scale(key: FunctionKey, scale: Scale, platform: Platform, seconds: float) -> Parked:
    manager = names.MANAGER_AUTOSCALER
    try:
        async with asyncio.timeout(seconds):
            await platform.set_scale(key, 0, manager=manager, version=scale.version)
    except ApiConflict:
        return Parked("somebody else changed the scale")
    except TimeoutError:
        raise ApiError(0, "Timeout", f"scaling {key} to zero took too long") from None
    return Parked()


async def _is_zero(key: FunctionKey, platform: Platform) -> bool:
    """Return whether a scale call that failed was carried out; False when nobody can tell."""
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            return (await platform.scale(key)).replicas == 0
    except (ApiError, TimeoutError):
        return False


async def _settle(key: FunctionKey, gateways: Gateways, *, scaled: bool) -> None:
    try:
        async with asyncio.timeout(_SETTLE_SECONDS):
            await gateways.settle(key, scaled=scaled)
    except TimeoutError:
        return  # a gateway that hears nothing ends the parking by itself
