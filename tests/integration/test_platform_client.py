"""The client against a server that answers, refuses, is slow and is away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.fake_api import FakeApi, Refusal
from tests.support.platform_rig import LIMITS, client_of, deployment, serving
from torpor import errors
from torpor.platform.kubernetes import Limits, Selection
from torpor.platform.kubernetes.config import TokenFile
from torpor.platform.kubernetes.resources import CONFIG_MAPS, DEPLOYMENTS, FUNCTIONS


def wanted(**data: str) -> dict[str, object]:
    return {"metadata": {"namespace": "shop", "name": "code"}, "data": data}


async def test_applying_the_same_again_keeps_the_version_and_changes_nothing() -> None:
    async with serving() as (fake, api):
        first = await api.apply(CONFIG_MAPS, wanted(a="1"), manager="one")
        again = await api.apply(CONFIG_MAPS, wanted(a="1"), manager="one")
        assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert fake.changes == 1


async def test_apply_removes_what_its_manager_no_longer_sends_and_spares_others() -> None:
    async with serving() as (_, api):
        await api.apply(CONFIG_MAPS, wanted(a="1", b="2"), manager="one")
        await api.apply(CONFIG_MAPS, wanted(c="3"), manager="two")
        after = await api.apply(CONFIG_MAPS, wanted(b="2"), manager="one")
        assert after["data"] == {"b": "2", "c": "3"}


async def test_applying_a_deployment_leaves_the_replicas_that_scale_set() -> None:
    async with serving() as (fake, api):
        body = {
            "metadata": {"namespace": "shop", "name": "hello"},
            "spec": {"template": {"spec": {"containers": [{"name": "function", "image": "a"}]}}},
        }
        await api.apply(DEPLOYMENTS, body, manager="controller")
        await api.set_scale(DEPLOYMENTS, "shop", "hello", 7, manager="autoscaler")
        body["spec"]["template"]["spec"]["containers"][0]["image"] = "b"  # type: ignore[index]
        after = await api.apply(DEPLOYMENTS, body, manager="controller")
        assert after["spec"]["replicas"] == 7
        assert after["spec"]["template"]["spec"]["containers"] == [
            {"name": "function", "image": "b"}
        ]
        assert fake.changes == 3


async def test_status_is_written_only_through_its_subresource() -> None:
    async with serving() as (fake, api):
        meta = {"namespace": "shop", "name": "hello"}
        await api.apply(
            FUNCTIONS, {"metadata": meta, "spec": {"image": "a"}, "status": {"x": 1}}, manager="c"
        )
        assert "status" not in (fake.find("functions", "shop", "hello") or {})
        told = await api.apply_status(
            FUNCTIONS, {"metadata": meta, "spec": {"image": "b"}, "status": {"x": 2}}, manager="s"
        )
        assert (told["spec"]["image"], told["status"]) == ("a", {"x": 2})


async def test_scale_of_zero_is_zero_and_an_old_version_conflicts() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment(replicas=0))
        asleep = await api.get_scale(DEPLOYMENTS, "shop", "hello")
        assert asleep.replicas == 0
        awake = await api.set_scale(
            DEPLOYMENTS, "shop", "hello", 1, manager="gateway", version=asleep.version
        )
        assert awake.replicas == 1
        with pytest.raises(errors.ApiConflict):
            await api.set_scale(
                DEPLOYMENTS, "shop", "hello", 5, manager="gateway", version=asleep.version
            )
        assert (await api.get_scale(DEPLOYMENTS, "shop", "hello")).replicas == 1


async def test_lists_come_whole_in_chunks_and_by_selector() -> None:
    async with serving() as (fake, api):
        for number in range(1203):
            fake.put("deployments", deployment(f"d{number}", parity=str(number % 2)))
        everything = await api.list(Selection(DEPLOYMENTS))
        assert len({item["metadata"]["name"] for item in everything.items}) == 1203
        assert fake.requests["LIST", "deployments"] == 3
        odd = await api.list(Selection(DEPLOYMENTS, "shop", labels="parity=1"))
        assert len(odd.items) == 601
        assert not (await api.list(Selection(DEPLOYMENTS, "other"))).items


async def test_a_list_that_outlives_its_snapshot_is_read_in_one_piece() -> None:
    async with serving() as (fake, api):
        for number in range(700):
            fake.put("deployments", deployment(f"d{number}"))
        pages = api.pages(Selection(DEPLOYMENTS))
        await anext(pages)
        fake.compact()
        with pytest.raises(errors.ApiGone):
            await anext(pages)
        assert len((await api.list(Selection(DEPLOYMENTS))).items) == 700


async def test_metadata_only_brings_no_spec() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment())
        page = await api.list(Selection(DEPLOYMENTS, metadata_only=True))
        assert page.items[0]["metadata"]["name"] == "hello"
        assert "spec" not in page.items[0]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_passing_refusals_are_repeated(status: int) -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment())
        fake.refuse("GET", Refusal(status), times=2)
        assert (await api.get(DEPLOYMENTS, "shop", "hello"))["metadata"]["name"] == "hello"
        assert fake.requests["GET", "deployments"] == 3


async def test_the_servers_wish_to_be_left_alone_is_honoured() -> None:
    async with serving() as (fake, api):
        fake.put("deployments", deployment())
        fake.refuse("GET", Refusal(429, retry_after=1))
        began = time.monotonic()
        await api.get(DEPLOYMENTS, "shop", "hello")
        assert time.monotonic() - began >= 1.0


async def test_refusals_that_do_not_pass_become_unavailable() -> None:
    async with serving() as (fake, api):
        fake.refuse("GET", Refusal(503), times=9)
        with pytest.raises(errors.ApiUnavailable) as caught:
            await api.get(DEPLOYMENTS, "shop", "hello")
        assert caught.value.status == 503
        assert fake.requests["GET", "deployments"] == LIMITS.attempts


async def test_a_create_whose_answer_is_lost_is_not_repeated() -> None:
    async with serving() as (fake, api):
        fake.refuse("POST", Refusal(500, applied=True))
        with pytest.raises(errors.ApiUnavailable):
            await api.create(DEPLOYMENTS, "shop", deployment())
        assert fake.requests["POST", "deployments"] == 1
        fake.refuse("POST", Refusal(429))
        await api.create(DEPLOYMENTS, "shop", deployment("other"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, errors.ApiError),
        (404, errors.ApiNotFound),
        (409, errors.ApiConflict),
        (410, errors.ApiGone),
    ],
)
async def test_other_refusals_are_typed_and_not_repeated(
    status: int, error: type[errors.ApiError]
) -> None:
    async with serving() as (fake, api):
        fake.refuse("GET", Refusal(status))
        with pytest.raises(error) as caught:
            await api.get(DEPLOYMENTS, "shop", "hello")
        assert type(caught.value) is error
        assert (caught.value.status, caught.value.reason) == (status, "Injected")
        assert fake.requests["GET", "deployments"] == 1


async def test_a_slow_server_is_given_up_within_the_deadline() -> None:
    async with serving() as (fake, _):
        fake.slow_seconds = 3.0
        hurried = Limits(attempt_seconds=0.1, total_seconds=0.5, attempts=100)
        async with client_of(fake, hurried) as api:
            began = time.monotonic()
            with pytest.raises(errors.ApiUnavailable):
                await api.get(DEPLOYMENTS, "shop", "hello")
            assert time.monotonic() - began < 1.5


async def test_a_server_that_is_away_for_a_while_is_waited_for() -> None:
    async with serving() as (fake, _):
        fake.put("deployments", deployment())
        await fake.stop()
        async with client_of(fake, Limits(attempts=1000, backoff=LIMITS.backoff)) as api:
            call = asyncio.create_task(api.create(DEPLOYMENTS, "shop", deployment("new")))
            await asyncio.sleep(0.2)
            assert not call.done()
            await fake.start()
            async with asyncio.timeout(5):
                assert (await call)["metadata"]["name"] == "new"


async def test_a_token_that_was_rotated_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    fake = FakeApi(accepted_token="old")
    await fake.start()
    try:
        fake.put("deployments", deployment())
        async with client_of(fake, credentials=TokenFile(file)) as api:
            await api.get(DEPLOYMENTS, "shop", "hello")
            fake.accepted_token = "new"
            file.write_text("new\n")
            await api.get(DEPLOYMENTS, "shop", "hello")
            assert fake.tokens == ["Bearer old", "Bearer old", "Bearer new"]
            fake.accepted_token = "neither"
            with pytest.raises(errors.ApiError, match="401"):
                await api.get(DEPLOYMENTS, "shop", "hello")
    finally:
        await fake.stop()
