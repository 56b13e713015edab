"""What is said to HAProxy and understood from it: files, command lines, answers, hold lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from torpor.errors import SlotsExhausted
from torpor.gateway.dataplane.base import Refused, Server
from torpor.gateway.dataplane.haproxy import answers, stats
from torpor.gateway.dataplane.haproxy.config import render_config, render_map
from torpor.gateway.dataplane.haproxy.holdserver import (
    Kind,
    Question,
    Released,
    format_answer,
    parse_question,
)
from torpor.gateway.dataplane.haproxy.layout import Options
from torpor.gateway.dataplane.haproxy.runtime import lines_of
from torpor.gateway.dataplane.haproxy.slots import QUARANTINE_SECONDS, SlotPool
from torpor.gateway.dataplane.haproxy.steps import leave_servers, set_map, take_servers
from torpor.gateway.heldspans import Trace
from torpor.resources.names import FunctionKey

OPTIONS = Options(Path("/run/t"), public_fd=3, peer_fd=4, slots=3, peers=2)
CSV = """\
# pxname,svname,qcur,qmax,scur,smax,slim,stot,status,
b0,_again,0,0,2,2,,3,no check,
b0,s1,0,0,1,1,5,4,{s1},
b0,s2,0,0,0,1,5,4,DRAIN,
b0,BACKEND,7,7,10,9,100,11,UP,
"""


def test_every_slot_and_peer_has_a_way_back() -> None:
    config = render_config(OPTIONS, {"b1": ["s1 10.0.0.1:80 maxconn 2"]})
    backends = [part.split()[0] for part in config.split("\nbackend ")[1:]]
    assert backends == ["p0", "p1", "b0", "b1", "b2", "lambda", "async", "present"]
    assert config.count("server _again unix@/run/t/again.sock backup") == 5
    assert config.count("server s1 10.0.0.1:80 maxconn 2") == 1
    assert "nbthread 1" in config


def test_a_map_is_one_entry_a_line() -> None:
    assert render_map({"a/b": "b0", "c/d": "b1"}) == "a/b b0\nc/d b1\n"


def test_hold_lines() -> None:
    key = FunctionKey("shop", "cart")
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    assert parse_question(f"again shop/cart id-1 {trace} given\n".encode()) == Question(
        Kind.AGAIN, key, "id-1", Trace(trace, begun=False)
    )
    assert format_answer(Released("b7", True), "id-1") == b"go b7 cold\n"
    line = format_answer(Refused(503, "hold-full", "two\nlines", 3), "id-1").decode()
    assert line.startswith("no 503 3 {")
    assert line.count("\n") == 1
    assert json.loads(line.split(" ", 3)[3])["requestId"] == "id-1"


@pytest.mark.parametrize(
    "line", [b"", b"first shop/cart\n", b"other a/b c - given\n", b"first ab c - given\n"]
)
def test_a_strange_hold_line_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_question(line)


@pytest.mark.parametrize(("status", "usable"), [("UP", True), ("no check", True), ("DOWN", False)])
def test_stats_of_a_backend(status: str, usable: bool) -> None:
    seen = stats.parse(CSV.format(s1=status))
    assert seen == stats.BackendStats(7, 10, 11, usable, {"_again": 2, "s1": 1, "s2": 0})


def test_stats_of_no_backend() -> None:
    assert stats.parse("Can't find specified proxy.\n") is None


def test_commands_are_sent_many_to_a_line_within_haproxys_buffer() -> None:
    commands = [f"add map /run/t/host.map host{index} ns/fn" for index in range(1000)]
    lines = lines_of(commands)
    assert sum(count for _, count in lines) == 1000
    assert max(len(line) for line, _ in lines) < 8000
    assert b"".join(line for line, _ in lines).replace(b"\n", b";").count(b";") == 1000


def test_a_map_is_brought_to_what_is_wanted_by_its_differences() -> None:
    shown = {"same": "1", "changed": "1", "gone": "1"}
    steps = list(set_map(shown, Path("/m"), {"same": "1", "changed": "2", "new": "1"}))
    assert [step.command for step in steps] == [
        "set map /m changed 2",
        "add map /m new 1",
        "del map /m gone",
    ]
    for step in steps:
        step.done()
    assert shown == {"same": "1", "changed": "2", "new": "1"}


def test_servers_come_change_leave_and_come_back() -> None:
    slot = SlotPool[str](["b0"]).bind("fn")
    one, two = Server("one", "10.0.0.1", 80, 1), Server("two", "10.0.0.2", 80, 1, h2c=True)
    steps = take_servers(slot, [one], lambda: "s1")
    assert steps[0].command.startswith("add server b0/s1 10.0.0.1:80 maxconn 1 check")
    for step in steps:
        step.done()
    assert take_servers(slot, [one], lambda: "s2") == []
    assert "proto h2" in take_servers(slot, [two], lambda: "s2")[0].command
    [wider] = take_servers(slot, [Server("one", "10.0.0.1", 80, 4)], lambda: "s2")
    assert wider.command == "set maxconn server b0/s1 4"
    drain, unanswered, bump = leave_servers(slot, [], deadline=9.0)
    assert drain.command == "set server b0/s1 state drain"
    assert unanswered.command == "set server b0/s2 state drain"
    assert bump.command.startswith("set maxconn server b0/_again")
    drain.done()
    unanswered.done()
    assert [step.command for step in take_servers(slot, [one], lambda: "s2")] == [
        "set server b0/s1 state ready"
    ]
    assert leave_servers(slot, [], deadline=9.0) == []


def test_a_slot_rests_before_another_owner_has_it() -> None:
    pool = SlotPool[str](["b0"])
    slot = pool.bind("one")
    slot.requests(5)
    pool.give_back("one", now=10.0)
    assert pool.find("one") is None
    with pytest.raises(SlotsExhausted):
        pool.bind("two")
    assert not slot.is_free(current=1, now=100.0)
    assert not slot.is_free(current=0, now=10.0 + QUARANTINE_SECONDS)
    assert slot.is_free(current=0, now=10.1 + QUARANTINE_SECONDS)
    assert pool.bind("one") is slot
    pool.give_back("one", now=20.0)
    pool.release("one")
    assert pool.bind("two") is slot
    assert slot.requests(6) == 1


def test_requests_go_on_counting_when_haproxy_is_started_again() -> None:
    pool = SlotPool[str](["b0"])
    slot = pool.bind("one")
    assert slot.requests(5) == 5
    pool.restarted()
    assert slot.requests(2) == 7


def test_what_haproxy_answered_by_itself_is_counted_by_code() -> None:
    shown = {
        "proc.own_unknown_function": "proc.own_unknown_function: type=sint value=<3>",
        "proc.own_bad_gateway": "proc.own_bad_gateway: type=sint value=<2>",
        "proc.own_hold_full": "proc.own_hold_full: type=sint value=<5>",
        "in": "# pxname,svname,dreq,ereq,\nin,FRONTEND,1,4,\n",
        "peer": "# pxname,svname,dreq,ereq,\npeer,FRONTEND,,1,\n",
    }
    said = [shown.get(command.split()[2], "not found") for command in answers.count_commands()]
    seen = answers.counts(said)
    assert {code: count for code, count in seen.items() if count} == {
        "unknown-function": 3,
        "bad-gateway": 2,
        "hold-full": 5,
        "bad-request": 6,
    }


def test_every_counter_is_begun_counted_and_asked_for() -> None:
    config = render_config(OPTIONS, {})
    asked = [line.split()[2] for line in answers.count_commands() if line.startswith("get var")]
    assert len(asked) == len(set(asked)) == 7
    for name in asked:
        assert f"  set-var {name} int(0)\n" in config
        assert config.count(f"set-var({name}) var({name}),add(1)") == 3


def test_haproxys_own_answers_are_problems_in_one_line() -> None:
    for answer in answers.ERRORS:
        body = json.loads(answer.text())
        assert (body["status"], body["code"]) == (answer.status, answer.code)
        assert body["requestId"] == answers.ID
        assert "'" not in answer.text()
