"""Cold starts are counted once, and gateways that are long gone are forgotten."""

from torpor.functions.cold_starts import MOST_GATEWAYS, ColdStartLog
from torpor.resources.load import ColdStart, GatewayLoad
from torpor.resources.names import FunctionKey

KEY = FunctionKey("default", "hello")


def answer(gateway: str, *sequences: int) -> GatewayLoad:
    starts = [ColdStart(KEY, number, {"start": 5.0}, 10.0) for number in sequences]
    return GatewayLoad(gateway=gateway, boot="b", functions={}, cold_starts=tuple(starts))


def counted(log: ColdStartLog) -> int:
    found = log.of(KEY)
    return found.count if found else 0


def test_a_cold_start_that_is_told_again_is_counted_once() -> None:
    log = ColdStartLog()
    log.take([answer("a", 0, 1)])
    log.take([answer("a", 0, 1, 2), answer("b", 0)])
    assert counted(log) == 4


def test_of_more_gateways_than_there_can_be_the_latest_are_remembered() -> None:
    log = ColdStartLog()
    log.take([answer("stays", 0)])
    for number in range(MOST_GATEWAYS):
        log.take([answer("stays", 0), answer(f"gone-{number}")])
    assert counted(log) == 1
