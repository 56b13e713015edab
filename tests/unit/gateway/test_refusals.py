"""What callers, who may be anyone, are told of a function that cannot start."""

from __future__ import annotations

from torpor.gateway import refusals
from torpor.platform.base import Trouble
from torpor.resources.names import FunctionKey

KEY = FunctionKey("shop", "cart")
SECRET = "OperationalError: cannot connect to postgres://app:hunter2@db/prod"


def test_callers_are_told_the_reason_and_what_of_the_message_is_public() -> None:
    trouble = Trouble("CrashLoopBackOff", SECRET, True, "exit code 1: OperationalError")
    told = "shop/cart cannot start: CrashLoopBackOff: exit code 1: OperationalError"
    assert refusals.cannot_start(KEY, trouble).detail == told


def test_without_a_public_part_they_are_told_the_reason() -> None:
    trouble = Trouble("ImagePullBackOff", "registry.internal/cart:1: not found", final=True)
    assert refusals.cannot_start(KEY, trouble).detail == "shop/cart cannot start: ImagePullBackOff"
