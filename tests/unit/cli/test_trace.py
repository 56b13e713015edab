"""How a trace is printed, and which lines of a log belong to one."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest

from torpor.cli import trace
from torpor.cli.devlogs import NoDevLogs, logs_of
from torpor.cli.loglines import Belonging
from torpor.cli.traceshow import show
from torpor.resources.names import FunctionKey
from torpor.telemetry.spanstore import SpanStore
from torpor.telemetry.tracing import Kind, Span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROOT, CHILD, LOST = "a" * 16, "b" * 16, "c" * 16
KEY = FunctionKey("shop", "cart")


def told() -> dict[str, object]:
    store = SpanStore()
    spans = (
        Span(
            TRACE, ROOT, None, "shop/cart", Kind.SERVER, 0.0, 2.0, None, {"faas.coldstart": "true"}
        ),
        Span(TRACE, CHILD, ROOT, "Pay", Kind.CLIENT, 1.0, 2.0, "Broken", {"torpor.attempt": 2}),
        Span(TRACE, LOST, "d" * 16, "lost", Kind.CLIENT, 1.5, 1.6),
    )
    for span in spans:
        store.add("one", span)
    tree = store.tree(TRACE)
    assert tree is not None
    return tree.as_json()


def test_a_trace_is_a_tree_with_times_errors_and_bars() -> None:
    assert show(told()).splitlines() == [
        f"shop/cart  {TRACE}",
        "3 spans, 2.00 s, 1 error",
        "",
        "span                     service   time       error",
        f"shop/cart (cold start)   one       2.00 s              {'█' * 32}",
        f"  Pay (attempt 2)        one       1.00 s     Broken   {' ' * 16}{'█' * 16}",
        f"? lost                   one       100.0 ms            {' ' * 24}██",
        "",
        "? 1 span is below one that is not known: it has not ended yet, or nobody told it",
    ]


def test_a_narrow_terminal_has_no_bars_and_no_line_is_longer_than_it() -> None:
    lines = show(told(), 40).splitlines()
    assert "█" not in "".join(lines)
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize("text", [TRACE, TRACE.upper(), f"00-{TRACE}-{ROOT}-01"])
def test_an_id_may_be_a_whole_traceparent(text: str) -> None:
    parser = argparse.ArgumentParser()
    trace.add_arguments(parser)
    assert parser.parse_args([text]).id == TRACE


def test_what_is_no_id_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    trace.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["latest"])
    assert "32 hexadecimal digits" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("belonging", "wanted"),
    [
        (Belonging(), [0, 1, 2, 3]),
        (Belonging(trace=TRACE), [0, 1]),
        (Belonging(request="r-1"), [0]),
        (Belonging(trace=TRACE, request="r-2"), []),
    ],
)
def test_lines_are_found_by_their_ids(belonging: Belonging, wanted: list[int]) -> None:
    lines = [
        json.dumps({"traceId": TRACE, "requestId": "r-1"}),
        json.dumps({"trace_id": TRACE}),
        json.dumps([TRACE]),
        f"no JSON {TRACE}",
    ]
    assert [number for number, line in enumerate(lines) if belonging.covers(line)] == wanted


def test_logs_of_torpor_dev_are_read_from_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(NoDevLogs, match="has it been called yet"):
        logs_of(KEY, Belonging())
    folder = tmp_path / "torpor" / "dev" / "shop-1" / "shop" / "cart" / "logs"
    folder.mkdir(parents=True)
    file = folder / "cart-1.log"
    file.write_text("one\ntwo\nhal")
    out = io.StringIO()
    logs = logs_of(KEY, Belonging())
    logs.print_new(out, tail=1)
    with file.open("a") as more:
        more.write("f\nthree\n")
    logs.print_new(out)
    (folder / "cart-2.log").write_text("four\n")
    logs.print_new(out)
    assert out.getvalue().splitlines() == ["two", "half", "three", "[cart-2] four"]
