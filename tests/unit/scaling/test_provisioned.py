from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from torpor.errors import InvalidResource
from torpor.resources.function import Provisioned
from torpor.scaling.provisioned import ProvisionedFloor, fault

ROME = ZoneInfo("Europe/Rome")


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ROME, fold=fold).timestamp()


def floor(
    schedule: str, duration: int = 3600, replicas: int = 3, zone: str = "Europe/Rome"
) -> ProvisionedFloor:
    return ProvisionedFloor((Provisioned(replicas, schedule, zone, duration),))


def test_no_windows_ask_for_nothing() -> None:
    assert ProvisionedFloor(()).at(at("2026-03-30 08:00")) == 0


def test_opens_on_the_second_and_closes_on_the_second() -> None:
    window = floor("0 8 * * 1-5", duration=36_000)
    moments = ["2026-03-30 07:59:59", "2026-03-30 08:00", "2026-03-30 17:59:59"]
    assert [window.at(at(moment)) for moment in moments] == [0, 3, 3]
    assert window.at(at("2026-03-30 18:00")) == 0
    assert window.at(at("2026-04-04 09:00")) == 0  # a Saturday


def test_the_highest_of_several_counts() -> None:
    both = ProvisionedFloor(
        (
            Provisioned(2, "0 8 * * *", "Europe/Rome", 7200),
            Provisioned(5, "0 9 * * *", "Europe/Rome", 1800),
        )
    )
    moments = ["08:30", "09:10", "09:40", "10:01"]
    assert [both.at(at(f"2026-05-05 {moment}")) for moment in moments] == [2, 5, 2, 0]


def test_windows_that_overlap_themselves_stay_open() -> None:
    window = floor("*/10 * * * *", duration=3600)
    assert {window.at(at("2026-05-05 08:00") + step) for step in range(0, 7200, 60)} == {3}


def test_the_duration_is_real_time_when_the_clock_is_put_forward() -> None:
    window = floor("0 1 * * *", duration=7200)  # 2:00 is 3:00 on that night
    assert window.at(at("2026-03-29 03:59")) == 3
    assert window.at(at("2026-03-29 04:00")) == 0


def test_a_time_that_is_skipped_opens_when_the_hour_after_begins() -> None:
    window = floor("30 2 * * *")
    assert window.at(at("2026-03-29 01:59")) == 0
    assert window.at(at("2026-03-29 03:00")) == 3


def test_opens_once_when_the_clock_is_put_back() -> None:
    window = floor("30 2 * * *")
    assert window.at(at("2026-10-25 02:29")) == 0
    assert window.at(at("2026-10-25 02:30")) == 3
    assert window.at(at("2026-10-25 02:15", fold=1)) == 3  # 45 minutes later
    assert window.at(at("2026-10-25 02:30", fold=1)) == 0
    assert floor("30 2 * * *").at(at("2026-10-25 03:20")) == 0


def test_a_day_that_is_long_in_coming() -> None:
    window = floor("0 0 29 2 *", zone="UTC")
    assert window.at(at("2026-05-05 00:00")) == 0
    assert window.at(at("2028-02-29 01:30")) == 3


@pytest.mark.parametrize(
    ("schedule", "zone", "field"),
    [
        ("0 8 * *", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("61 8 * * *", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("0 25 * * *", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("*/0 * * * *", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("0 0 31 2 *", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("0 0 */30 2 1#5", "UTC", "spec.scaling.provisioned[0].schedule"),
        ("0 8 * * *", "Mars/Phobos", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "Europe/Rome ", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "/etc/passwd", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "UTC+25", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "Europe/Roma", "spec.scaling.provisioned[0].timeZone"),
        ("0 8 * * *", "../etc", "spec.scaling.provisioned[0].timeZone"),
    ],
)
def test_refuses_what_it_does_not_understand(schedule: str, zone: str, field: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        floor(schedule, zone=zone)
    assert refused.value.path == field


def test_the_first_window_that_never_opens_is_named() -> None:
    good = Provisioned(1, "0 8 * * *", "UTC", 60)
    never = Provisioned(1, "0 0 31 2 *", "UTC", 60)
    assert fault((good, good)) is None
    found = fault((good, never))
    assert found is not None
    assert found.path == "spec.scaling.provisioned[1].schedule"
