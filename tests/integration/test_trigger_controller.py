"""The controller as it runs, with Kopf: Triggers go to the events role, its word comes back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.controller_rig import DiscoverableApi, function, running, serving
from tests.support.platform_rig import until
from tests.support.standing_book import StandingBook
from torpor.controller import called, triggers
from torpor.resources.names import FunctionKey
from torpor.triggers import reconcile
from torpor.triggers.idle import IdleInbox

PATIENCE = 20.0
ORDERS = FunctionKey("shop", "orders")
BUS = {"bus": {"name": "b"}}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "SURVEY_SECONDS", 0.1)
    monkeypatch.setattr(triggers, "LAG_SECONDS", 0.1)


def trigger(name: str = "orders", generation: int = 1, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Trigger",
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": f"uid-{name}",
            "generation": generation,
        },
        "spec": {"source": BUS, "target": {"function": {"name": "f"}}, **spec},
    }


def changed(fake: DiscoverableApi, obj: dict[str, Any]) -> None:
    """Apply another spec; the status stays."""
    fake.put("triggers", {**obj, "status": status(fake, obj["metadata"]["name"])})


def status(fake: DiscoverableApi, name: str = "orders") -> dict[str, Any]:
    return dict((fake.find("triggers", "shop", name) or {}).get("status") or {})


def ready(fake: DiscoverableApi, name: str = "orders") -> tuple[str, str]:
    for item in status(fake, name).get("conditions", ()):
        if item["type"] == "Ready":
            return str(item["status"]), str(item["reason"])
    return "", ""


def exists(book: StandingBook) -> bool | None:
    facts = book.wanted[ORDERS].function
    return facts.exists if facts else None


def told(fake: DiscoverableApi, reason: str) -> list[dict[str, Any]]:
    """The Events of a reason."""
    return [event for event in fake.all("events") if event.get("reason") == reason]


def message(fake: DiscoverableApi, name: str = "orders") -> str:
    return str(status(fake, name)["conditions"][0]["message"])


async def test_triggers_of_before_and_after_the_start_are_in_force_and_say_so() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url:
        fake.put("functions", function("f", image="a:1", timeoutSeconds=7))
        fake.put("triggers", trigger("early"))
        async with running(fake, events_url=url):
            await until(lambda: ready(fake, "early") == ("True", "Subscribed"), PATIENCE)
            fake.put("triggers", trigger("late"))
            await until(lambda: ready(fake, "late") == ("True", "Subscribed"), PATIENCE)
            facts = book.wanted[FunctionKey("shop", "late")].function
            assert facts is not None
            assert (facts.exists, facts.timeout_seconds, facts.max_replicas) == (True, 7.0, 20)
            told = status(fake, "late")
            assert (told["source"], told["target"], told["lag"]) == ("bus", "function/f", 0)


async def test_when_nothing_changes_nothing_is_written() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url:
        fake.put("functions", function("f"))
        async with running(fake, events_url=url):
            fake.put("triggers", trigger())
            await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)
            await asyncio.sleep(0.5)
            before, puts = fake.object_writes(), book.puts
            await asyncio.sleep(1.0)
            assert (fake.object_writes(), book.puts) == (before, puts)


async def test_counts_are_written_now_and_then_only(monkeypatch: pytest.MonkeyPatch) -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)
        book.change(ORDERS, lag=5, waiting=2, dead_letters=3)
        await asyncio.sleep(1.0)
        assert status(fake)["lag"] == 0
        monkeypatch.setattr(reconcile, "COUNTS_SECONDS", 0.1)
        await until(lambda: (status(fake)["lag"], status(fake)["deadLetters"]) == (7, 3), PATIENCE)


async def test_a_deleted_trigger_is_in_force_no_more() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("triggers", trigger())
        await until(lambda: ORDERS in book.wanted, PATIENCE)
        fake.remove("triggers", "shop", "orders")
        await until(lambda: not book.wanted, PATIENCE)


async def test_what_was_lost_by_a_deletion_is_told_in_an_event() -> None:
    lost = "the Trigger was deleted, and 7 events that waited for it are dropped"
    book = StandingBook(lost=lost)
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("triggers", trigger())
        await until(lambda: ORDERS in book.wanted, PATIENCE)
        fake.remove("triggers", "shop", "orders")
        await until(lambda: bool(told(fake, "EventsDropped")), PATIENCE)
        (event,) = told(fake, "EventsDropped")
    assert (event["note"], event["type"]) == (lost, "Warning")
    assert (event["regarding"]["name"], event["regarding"]["uid"]) == ("orders", "uid-orders")


async def test_what_was_kept_of_calls_of_deleted_functions_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(called, "LOOK_SECONDS", 0.1)
    gone = FunctionKey("shop", "gone")
    inboxes = {
        name: IdleInbox(FunctionKey("shop", name), function)
        for name, function in (
            ("0-calls-f", FunctionKey("shop", "f")),
            ("0-calls-gone", gone),
            ("0-success-gone", gone),
        )
    }
    book = StandingBook(idle=list(inboxes.values()))
    async with serving() as fake, book.serving() as url:
        fake.put("functions", function("f", image="a:1"))
        async with running(fake, events_url=url):
            await until(lambda: book.idle == [inboxes["0-calls-f"]], PATIENCE)
            fake.remove("functions", "shop", "f")
            await until(lambda: not book.idle, PATIENCE)


async def test_one_that_was_deleted_while_nobody_looked_is_in_force_no_more() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url:
        async with running(fake, events_url=url):
            fake.put("triggers", trigger())
            await until(lambda: ORDERS in book.wanted, PATIENCE)
        fake.remove("triggers", "shop", "orders")
        fake.remove("leases", "torpor-system", "torpor-controller")
        async with running(fake, "controller-b", events_url=url):
            await until(lambda: not book.wanted, PATIENCE)


async def test_a_broker_that_lost_it_gets_it_again() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)
        book.wanted.clear()
        book.standings.clear()
        await until(lambda: ORDERS in book.wanted, PATIENCE)


async def test_a_target_that_is_missing_is_told_and_its_coming_too() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("triggers", trigger())
        fake.put("triggers", trigger("start", target={"workflow": {"name": "w"}}))
        await until(lambda: ready(fake)[1] == ready(fake, "start")[1] == "TargetMissing", PATIENCE)
        assert "events wait for it" in message(fake)
        assert exists(book) is False
        fake.put("functions", function("f"))
        fake.put("workflows", {**trigger("w"), "kind": "Workflow"})
        await until(lambda: ready(fake)[0] == ready(fake, "start")[0] == "True", PATIENCE)
        assert exists(book) is True


async def test_another_timeout_of_the_function_is_told_to_the_events_role() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f", image="a:1", timeoutSeconds=5))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake)[0] == "True", PATIENCE)
        fake.put("functions", function("f", image="a:1", timeoutSeconds=9))

        def timeout() -> float:
            facts = book.wanted[ORDERS].function
            return facts.timeout_seconds if facts else 0.0

        await until(lambda: timeout() == 9.0, PATIENCE)


WRONG = [
    ({"source": {}}, "InvalidSpec", "exactly one of"),
    ({"filter": {"pattern": {"detail": "x"}}}, "InvalidPattern", "pattern"),
    ({"filter": {"cesql": "type ="}}, "InvalidExpression", ""),
    ({"transform": {"jsonata": "$("}}, "InvalidExpression", "spec.transform.jsonata"),
]


@pytest.mark.parametrize(("spec", "reason", "said"), WRONG, ids=[item[1] for item in WRONG])
async def test_what_can_never_work_says_so(spec: dict[str, Any], reason: str, said: str) -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger(**spec))
        await until(lambda: ready(fake) == ("False", reason), PATIENCE)
        assert said in message(fake)
        assert not book.wanted


async def test_what_the_role_says_is_told() -> None:
    book = StandingBook(refusal="spec.source.bus.name: too odd")
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake) == ("False", "InvalidTrigger"), PATIENCE)
        assert message(fake) == "spec.source.bus.name: too odd"
        book.refusal = ""
        changed(fake, trigger(generation=2))
        await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)
        book.change(ORDERS, subscribed=False, reason="SourceAway", message="no route to host")
        await until(lambda: ready(fake) == ("False", "SourceAway"), PATIENCE)
        assert message(fake) == "no route to host"
        book.change(ORDERS, subscribed=True, reason="Subscribed")
        await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)


async def test_an_events_role_that_comes_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "AGAIN_SECONDS", 0.2)
    book = StandingBook(away=True)
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake) == ("False", "EventsAway"), PATIENCE)
        book.away = False
        await until(lambda: ready(fake) == ("True", "Subscribed"), PATIENCE)


async def test_without_an_events_role_only_what_the_gateways_serve_is_ready() -> None:
    async with serving() as fake, running(fake):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger())
        fake.put("triggers", trigger("shop", source={"http": {"host": "shop.example"}}))
        await until(lambda: ready(fake) == ("False", "EventsNotInstalled"), PATIENCE)
        await until(lambda: ready(fake, "shop") == ("True", "Subscribed"), PATIENCE)
        assert status(fake, "shop")["address"] == "http://shop.example/"


async def test_of_two_that_want_the_same_the_older_gets_it() -> None:
    book = StandingBook()
    queue, http = {"queue": {"name": "q"}}, {"http": {"path": "/a", "methods": ["GET"]}}
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        for kind, source in (("queue", queue), ("http", http)):
            for minute, age in enumerate(("old", "young")):
                obj = trigger(f"{kind}-{age}", source=source)
                obj["metadata"]["creationTimestamp"] = f"2026-01-01T00:0{minute}:00Z"
                fake.put("triggers", obj)
        await until(lambda: ready(fake, "queue-young") == ("False", "QueueTaken"), PATIENCE)
        await until(lambda: ready(fake, "http-young") == ("False", "RouteTaken"), PATIENCE)
        await until(lambda: ready(fake, "queue-old")[0] == "True", PATIENCE)
        await until(lambda: ready(fake, "http-old")[0] == "True", PATIENCE)
        assert "shop/http-old" in message(fake, "http-young")
        assert set(book.wanted) == {FunctionKey("shop", "queue-old")}
        fake.remove("triggers", "shop", "queue-old")
        fake.remove("triggers", "shop", "http-old")
        await until(lambda: ready(fake, "queue-young")[0] == "True", PATIENCE)
        await until(lambda: ready(fake, "http-young")[0] == "True", PATIENCE)


async def test_a_suspended_trigger_says_so_and_keeps_its_events() -> None:
    book = StandingBook()
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f"))
        fake.put("triggers", trigger(suspend=True))
        await until(lambda: ready(fake) == ("False", "Suspended"), PATIENCE)
        assert book.wanted[ORDERS].object["spec"]["suspend"] is True


async def test_a_backlog_wakes_the_function_to_as_many_instances_as_it_is_work_for() -> None:
    book = StandingBook()
    scaling = {"windowSeconds": 2, "burstWindowSeconds": 1, "idleSeconds": 1}
    async with serving() as fake, book.serving() as url, running(fake, events_url=url):
        fake.put("functions", function("f", image="a:1", scaling=scaling))
        fake.put("triggers", trigger())
        await until(lambda: ready(fake)[0] == "True", PATIENCE)

        def replicas() -> int | None:
            found = fake.find("deployments", "shop", "f") or {}
            return (found.get("spec") or {}).get("replicas")

        await until(lambda: replicas() == 0, PATIENCE)
        book.lags = {FunctionKey("shop", "f"): {"orders": 120}}
        await until(lambda: replicas() == 3, PATIENCE)
