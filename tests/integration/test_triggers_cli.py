"""`torpor trigger|publish|dlq|replay|audit` against the whole events role."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.events_role import KEY, Role, called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import needs_nats, until
from torpor.cli.main import main
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token

pytestmark = needs_nats
ORDERS = FunctionKey("shop", "orders")
SPEC = {
    "source": {"bus": {"name": "b"}},
    "filter": {"pattern": {"type": ["order"]}},
    "target": {"function": {"name": "handler"}},
}
MANIFEST: dict[str, Any] = {
    "apiVersion": "torpor.dev/v1alpha1",
    "kind": "Trigger",
    "metadata": {"name": "new"},
    "spec": SPEC,
}


@pytest.fixture
def torpor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Awaitable[tuple[int, str, str]]]:
    """Run a command against a role; gives exit status, stdout and stderr."""
    monkeypatch.setenv("TORPOR_EVENTS_TOKEN", internal_token(KEY))

    async def run(at: Role, *words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("TORPOR_EVENTS", f"http://127.0.0.1:{at.settings.api_port}")
        monkeypatch.setenv("TORPOR_EVENTS_ADMIN", f"127.0.0.1:{at.settings.internal_port}")
        status = await asyncio.to_thread(main, [*words, "-n", "shop"])
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


async def test_an_event_is_published_and_the_trigger_seen_paused_and_resumed(torpor: Any) -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        status, out, _ = await torpor(at, "publish", "b", "--type", "order", "--id", "7")
        assert (status, out) == (0, "7\n")
        _, out, _ = await torpor(at, "publish", "b", "--type", "order", "--id", "7")
        assert out == "7 (it was there already)\n"
        await until(called(to, 1))
        _, out, _ = await torpor(at, "trigger", "list")
        assert out.splitlines()[1].split()[:4] == ["orders", "True", "bus", "function/handler"]
        assert (await torpor(at, "trigger", "pause", "orders"))[0] == 0
        _, out, _ = await torpor(at, "trigger", "show", "orders")
        assert "ready         False  Suspended" in out
        await torpor(at, "publish", "b", "--type", "order", "--id", "8")
        _, out, _ = await torpor(at, "trigger", "list", "-o", "json")
        assert json.loads(out)["items"][0]["spec"]["suspend"] is True
        assert (await torpor(at, "trigger", "resume", "orders"))[0] == 0
        await until(called(to, 2))
        missing = await torpor(at, "trigger", "show", "nothing")
    assert missing[0] == 1
    assert "there is no Trigger shop/nothing" in missing[2]


async def test_a_trigger_is_tried_by_name_and_from_a_file(torpor: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "t.yaml"
    transform = {"transform": {"jsonata": "{'id': data.n}"}}
    obj = {**MANIFEST, "spec": {**SPEC, **transform}}
    manifest.write_text(yaml.safe_dump(obj))
    event = {"specversion": "1.0", "id": "1", "source": "/", "type": "order", "data": {"n": 3}}
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        no = await torpor(at, "trigger", "test", "orders", "-d", '{"n": 1}')
        yes = await torpor(at, "trigger", "test", "orders", "-d", json.dumps(event))
        words = ("trigger", "test", "-f", str(manifest), "-o", "json", "-d", json.dumps(event))
        new = await torpor(at, *words)
        obj["spec"] = {**SPEC, "filter": {"pattern": {"type": "order"}}}
        manifest.write_text(yaml.safe_dump(obj))
        wrong = await torpor(at, *words)
    assert no[:2] == (1, "it does not match: function/handler is sent nothing\n")
    assert yes[0] == 0
    assert "ce-type: order" in yes[1]
    assert json.loads(new[1])["sent"] == {"id": 3}
    assert wrong[0] == 1
    assert "must be an object or an array" in wrong[2]


async def test_a_fifo_queue_is_published_to_and_read_by_its_own_name(torpor: Any) -> None:
    spec = {**SPEC, "source": {"queue": {"name": "Orders.fifo"}}, "filter": {}}
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, spec)
        for number in range(3):
            event = {"specversion": "1.0", "id": str(number), "source": "/s", "type": "order"}
            given = json.dumps({**event, "partitionkey": "a"})
            status, out, _ = await torpor(at, "publish", "Orders.fifo", "--queue", "--event", given)
            assert (status, out) == (0, f"{number}\n")
        await until(called(to, 3))
        _, out, _ = await torpor(at, "trigger", "list")
    assert to.ids == ["0", "1", "2"]
    assert out.splitlines()[1].split()[:4] == ["orders", "True", "queue", "function/handler"]


async def test_dead_letters_are_handled(torpor: Any) -> None:
    status = [422]
    async with functions(lambda _: status[0]) as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        for number in range(3):
            await torpor(at, "publish", "b", "--type", "order", "--id", str(number))

        async def dead() -> bool:
            return (await at.standings.survey())[0].dead_letters == 3

        await until(dead)
        _, out, err = await torpor(at, "dlq", "list", "orders", "--limit", "2")
        assert (len(out.splitlines()), "there are more than these 2" in err) == (3, True)
        _, out, err = await torpor(at, "dlq", "list", "orders", "--limit", "3")
        assert err == ""
        assert [line.split()[2] for line in out.splitlines()[1:]] == ["0", "1", "2"]
        number = out.splitlines()[1].split()[0]
        _, out, _ = await torpor(at, "dlq", "list", "orders", "-o", "name")
        assert out.splitlines()[0] == number
        _, out, _ = await torpor(at, "dlq", "show", number)
        assert "error     status 422" in out
        _, out, _ = await torpor(at, "dlq", "redrive", "--dry-run", "--error", "STATUS 422")
        assert out == "3 would be delivered again\n"
        status[0] = 200
        assert (await torpor(at, "dlq", "redrive", "orders", "--limit", "2"))[1] == (
            "2 are delivered again\n"
        )
        await until(called(to, 5))
        unknown = [await torpor(at, "dlq", verb, "nope") for verb in ("list", "redrive", "purge")]
        dry = await torpor(at, "dlq", "purge", "nope", "--dry-run")
        assert (await torpor(at, "dlq", "purge", "--since", "1h"))[1] == "1 deleted\n"
        nothing = await torpor(at, "dlq", "list", "-A")
    assert nothing == (0, "", "torpor dlq: no dead letters\n")
    for status_told, out, err in (*unknown, dry):
        assert (status_told, out) == (1, "")
        assert "there is no Trigger shop/nope, and no dead letter of it" in err


async def test_data_beside_a_dead_letter_is_written_into_a_file(
    torpor: Any, tmp_path: Path
) -> None:
    file = tmp_path / "data"
    async with functions(lambda _: 422) as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        large = {"pad": "x" * 700_000}

        async def dead(count: int) -> bool:
            return (await at.standings.survey())[0].dead_letters == count

        for number, data in ((1, large), (2, {})):
            await at.publish(number, type="order", data=data)
            await until(partial(dead, number))
        told = await torpor(at, "dlq", "show", "1", "--data", str(file))
        small = await torpor(at, "dlq", "show", "2", "--data", str(tmp_path / "none"))
    assert told[0] == 0
    assert json.loads(file.read_bytes()) == large
    assert small[0] == 1
    assert "no dead letter 2 with data kept beside it" in small[2]


async def test_a_bus_is_replayed_and_audited(torpor: Any) -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        for number in range(3):
            data = json.dumps({"n": number})
            await torpor(at, "publish", "b", "--type", "order", "--id", str(number), "-d", data)
        await until(called(to, 3))
        pattern = '{"data": {"n": [1, 2]}}'
        replayed = await torpor(at, "replay", "b", "--from", "1h", "--pattern", pattern)
        await until(called(to, 5))
        old = await torpor(at, "replay", "b", "--to", "2020-01-01T00:00:00Z")
        bad = await torpor(at, "replay", "b", "--to", "yesterday")
        audited = await torpor(at, "audit", "--days", "0", "-o", "json")
    assert replayed[1] == "2 events are delivered again, in 2 deliveries\n"
    assert sorted(to.ids[3:]) == ["1", "2"]
    assert old[1] == "0 events are delivered again, in 0 deliveries\n"
    assert (bad[0], "is no time" in bad[2]) == (1, True)
    assert [each["trigger"] for each in json.loads(audited[1])["findings"]] == ["shop/orders"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("replay", "nosuch"), "there is no bus shop/nosuch"),
        (("replay", "b", "--trigger", "nope"), "the bus shop/b has no Trigger 'nope' in force"),
        (("replay", "b", "--rate", "0"), ": rate must be above 0"),
        (("dlq", "redrive", "orders", "--rate", "0"), ": rate must be above 0"),
    ],
)
async def test_what_cannot_be_delivered_again_is_told(
    torpor: Any, words: tuple[str, ...], says: str
) -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        status, out, err = await torpor(at, *words)
    assert (status, out) == (1, "")
    assert says in err
    assert "Error" not in err


async def test_a_replay_that_ends_early_tells_where_to_go_on(torpor: Any) -> None:
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        for number in range(12):
            await at.publish(number, type="order")
        await until(called(to, 12))
        replaying = asyncio.create_task(torpor(at, "replay", "b", "--rate", "4"), name="replay")
        await until(called(to, 21))
        await asyncio.to_thread(at.nats.kill)
        status, out, err = await replaying
        await asyncio.to_thread(at.nats.start)
        await until(at.is_ready, 20)
        rest = await torpor(at, "replay", "b", "--after", "8")
        await until(called(to, 25))
    assert (status, "delivered again" in out) == (1, False)
    assert "8 events were delivered again, and up to 8 more may have been" in err
    assert "--after 8 goes on" in err
    assert rest[1] == "4 events are delivered again, in 4 deliveries\n"
    assert set(to.ids[12:]) == {str(number) for number in range(12)}


async def test_a_replay_of_which_nothing_is_known_tells_it(
    torpor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torpor.cli.eventsreach.ANSWER_SECONDS", 0.5)
    async with functions() as to, role(to) as at:
        await at.put(ORDERS, SPEC)
        for number in range(2):
            await at.publish(number, type="order")
        status, out, err = await torpor(at, "replay", "b", "--rate", "1")
    assert (status, out) == (1, "")
    assert "not within 0.5 s: 0 events were delivered again, and up to 2 more may have been" in err
    assert "the same command begins anew" in err


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"fliter": {}}, "spec.fliter: unknown field; did you mean filter?"),
        ({"batch": {"size": 0}}, "spec.batch.size: must be at least 1"),
        ({"filter": {"pattern": {"type": ["a"]}, "cesql": "TRUE"}}, "spec.filter"),
        ({"transform": {"jsonata": "1", "input": {}}}, "spec.transform"),
        ({"source": {"schedule": {"cron": "* * * * *", "every": "1s"}}}, "exactly one of cron"),
        ({"source": {"http": {"path": "/a/../b", "async": True}}}, "must not have . or .."),
        ({"dedupe": {"key": ""}}, "spec.dedupe.key"),
        ({"target": {}}, "spec.target"),
    ],
)
async def test_a_file_is_refused_as_the_cluster_would(
    torpor: Any, tmp_path: Path, spec: dict[str, Any], says: str
) -> None:
    manifest = tmp_path / "t.yaml"
    manifest.write_text(yaml.safe_dump({**MANIFEST, "spec": {**SPEC, **spec}}))
    async with functions() as to, role(to) as at:
        status, _, err = await torpor(at, "trigger", "test", "-f", str(manifest), "-d", "{}")
    assert status == 1
    assert says in err


async def test_an_instant_in_a_file_needs_no_quotes(torpor: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "t.yaml"
    schedule = "{schedule: {at: 2027-01-31T09:00:00Z}}"
    manifest.write_text(
        "apiVersion: torpor.dev/v1alpha1\nkind: Trigger\nmetadata: {name: new}\n"
        f"spec:\n  source: {schedule}\n  target: {{function: {{name: handler}}}}\n"
    )
    async with functions() as to, role(to) as at:
        status, out, err = await torpor(at, "trigger", "test", "-f", str(manifest), "-d", "{}")
    assert (status, err) == (0, "")
    assert "ce-type: dev.torpor.test" in out


async def test_without_the_token_the_internal_api_says_no(
    torpor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with functions() as to, role(to) as at:
        monkeypatch.setenv("TORPOR_EVENTS_TOKEN", "wrong")
        refused = await torpor(at, "dlq", "list")
    assert refused[0] == 1
    assert "the internal token is missing" in refused[2]
