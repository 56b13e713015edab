"""The dashboard's page in a real browser, over a real `torpor dev`: what people see, and do."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.support.browser import PHONE, Watched, browsing, needs_browser, watched
from tests.support.postgres import needs_postgres
from tests.support.servers.nats import needs_nats

pytestmark = [needs_browser, needs_nats, needs_postgres]

_START_SECONDS = 90
_SETTLE_MILLISECONDS = 20_000
SECTIONS = ("overview", "functions", "executions", "runs", "triggers", "bus", "cost", "traces")
FOLDER = """
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: greet }
spec:
  runtime: python3
  handler: main.handler
  code: { inline: "def handler(event, context): return {'hello': 'world'}" }
  scaling: { idleSeconds: 4, windowSeconds: 2, burstWindowSeconds: 1 }
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: strict }
spec:
  runtime: python3
  handler: main.handler
  code:
    inline: |
      import os

      def handler(event, context):
          if not os.path.exists(MENDED):
              raise ValueError("not <b>today</b>")
          return {}
---
apiVersion: torpor.dev/v1alpha1
kind: Function
metadata: { name: count }
spec:
  workload: Job
  runtime: python3
  handler: main.handler
  code: { inline: "def handler(event, context): return {'counted': 3}" }
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: { name: orders }
spec:
  source: { bus: { name: shop } }
  filter: { pattern: { type: [order.placed] } }
  target: { function: { name: strict } }
  delivery: { maxAttempts: 1 }
---
apiVersion: torpor.dev/v1alpha1
kind: Trigger
metadata: { name: bills }
spec:
  source: { bus: { name: shop } }
  filter: { pattern: { type: [bill.sent] } }
  target: { function: { name: strict } }
  delivery: { maxAttempts: 1 }
---
apiVersion: torpor.dev/v1alpha1
kind: Workflow
metadata: { name: trip }
spec:
  definition:
    StartAt: Begin
    States:
      Begin: { Type: Pass, Next: Both }
      Both:
        Type: Parallel
        Next: Rest
        Branches:
          - StartAt: Call
            States: { Call: { Type: Task, Resource: "arn:aws:lambda:greet", End: true } }
          - StartAt: Note
            States: { Note: { Type: Pass, End: true } }
      Rest: { Type: Wait, SecondsPath: $$.Execution.Input.rest, Next: Done }
      Done: { Type: Succeed }
"""


@dataclass(frozen=True)
class Site:
    """A folder that `torpor dev` serves, with its addresses; `mended` lets `strict` take events."""

    gateway: str
    workflows: str
    events: str
    dashboard: str
    mended: Path

    def call(self, function: str) -> None:
        self.send(f"{self.gateway}/function/default/{function}/", b"{}")

    def publish(self, kind: str, data: Any) -> None:
        event = {"specversion": "1.0", "id": f"{kind}-{time.time_ns()}", "source": "/test"}
        body = json.dumps({**event, "type": kind, "subject": "s1", "data": data}).encode()
        place = f"{self.events}/v1/namespaces/default/buses/shop/events"
        self.send(place, body, "application/cloudevents+json")

    def start(self, name: str, rest_seconds: int) -> str:
        client = boto3.client(
            "stepfunctions",
            endpoint_url=self.workflows,
            region_name="us-east-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",
        )
        machine = "arn:aws:states:us-east-1:000000000000:stateMachine:default.trip"
        given = json.dumps({"rest": rest_seconds})
        try:
            begun = client.start_execution(stateMachineArn=machine, name=name, input=given)
        finally:
            client.close()
        return str(begun["executionArn"])

    def snapshot(self) -> dict[str, Any]:
        with urlopen(f"{self.dashboard}/api/snapshot", timeout=20) as answer:
            return dict(json.load(answer))

    @staticmethod
    def send(place: str, body: bytes, kind: str = "application/json") -> None:
        request = Request(place, data=body, headers={"Content-Type": kind}, method="POST")
        with urlopen(request, timeout=60) as answer:
            assert answer.status < 300


def _ports() -> Iterator[str]:
    """Options for ports that are free, and that no other run takes for its usual ones."""
    with ExitStack() as held:
        for name in ("port", "workflows-port", "events-port", "dashboard-port"):
            place = held.enter_context(socket.create_server(("127.0.0.1", 0)))
            yield f"--{name}={place.getsockname()[1]}"


def _told(output: Path, process: subprocess.Popen[bytes], pattern: str) -> str:
    """What the run said that matches; waits for it."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if found := re.search(pattern, output.read_text()):
            return found[1]
        assert process.poll() is None, output.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no {pattern} in: {output.read_text()}")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as place:
        Path(place).chmod(0o755)  # PostgreSQL enters it as another user where tests run as root
        folder, output, mended = Path(place) / "folder", Path(place) / "output", Path(place) / "yes"
        folder.mkdir()
        (folder / "all.yaml").write_text(FOLDER.replace("MENDED", repr(str(mended))))
        with output.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "torpor.cli.main", "dev", str(folder), *_ports()],
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, "XDG_STATE_HOME": place, "PYTHONUNBUFFERED": "1"},
            )
        try:
            yield _seeded(process, output, mended)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _seeded(process: subprocess.Popen[bytes], output: Path, mended: Path) -> Site:
    """The site once it has a dead letter of each Trigger, an execution, a run and traces."""
    site = Site(
        _told(output, process, r"(http://\S+)/function/default/greet/"),
        _told(output, process, r"TORPOR_WORKFLOWS=(\S+)"),
        _told(output, process, r"TORPOR_EVENTS=(\S+)"),
        _told(output, process, r"TORPOR_DASHBOARD=(http://[^\s)]+)"),
        mended,
    )
    _told(output, process, r"(default/orders trigger Subscribed)")
    _told(output, process, r"(default/bills trigger Subscribed)")
    site.publish("order.placed", {"total": 250})
    site.publish("bill.sent", {"note": "<img src=x onerror=alert(1)>"})
    site.call("greet")
    site.call("count")
    site.start("first", 0)
    _until(site, lambda seen: [each["deadLetters"] for each in seen["triggers"]] == [1, 1])
    _until(site, lambda seen: [each["status"] for each in seen["executions"]] == ["SUCCEEDED"])
    _until(site, lambda seen: [each["state"] for each in seen["runs"]] == ["Succeeded"])
    return site


def _until(site: Site, so: Any) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not so(seen := site.snapshot()):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


@pytest.fixture
def seen(browser: Browser, site: Site) -> Iterator[Watched]:
    """A page that has a snapshot; nothing may have gone wrong on it at the end."""
    with watched(browser, site.dashboard) as found:
        found.goto("")
        live(found.page)
        yield found
        assert found.complaints == []
        assert found.foreign == []


def live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("live", timeout=_SETTLE_MILLISECONDS)
    expect(page.locator("#place")).to_contain_text("torpor dev")


def opened(seen: Watched, section: str) -> Locator:
    """Open a section by its link."""
    seen.page.get_by_role("navigation").get_by_role("link", name=section).click()
    found = seen.page.locator(f"#{section.lower()}")
    expect(found).to_be_visible()
    return found


def row(section: Locator, name: str) -> Locator:
    return section.get_by_role("row").filter(has_text=name)


def test_the_overview_says_what_is_wrong_and_how_events_flow(seen: Watched) -> None:
    overview = seen.page.locator("#overview")
    expect(overview.locator(".tile").filter(has_text="Events waiting")).to_contain_text(
        re.compile("dead letter")
    )
    expect(overview.locator(".tile").filter(has_text="Cost a month")).to_contain_text("$")
    wrong = overview.locator(".wrong-list")
    expect(wrong).to_contain_text("Trigger orders: 1 dead letter")
    expect(overview.locator("svg.path .place-name")).to_have_text(["shop", "strict"])
    expect(overview.locator(".sleepers li")).to_have_text(["count", "greet", "strict"])
    wrong.get_by_role("link", name="Trigger orders").click()
    expect(seen.page.locator("#triggers .letter")).to_have_count(1)


def test_a_function_wakes_and_sleeps_while_one_looks(seen: Watched, site: Site) -> None:
    greet = row(opened(seen, "Functions"), "greet")
    replicas = greet.locator(".dots")
    expect(replicas).to_have_attribute(
        "aria-label", "asleep: no replicas", timeout=_SETTLE_MILLISECONDS
    )
    greet.evaluate("node => { node.same = true }")
    site.call("greet")
    expect(replicas).to_have_attribute("aria-label", re.compile("^1 of 1 replicas ready"))
    expect(greet.locator(".pill")).to_have_text("ready")
    expect(replicas).to_have_attribute(
        "aria-label", "asleep: no replicas", timeout=_SETTLE_MILLISECONDS
    )
    assert greet.evaluate("node => node.same") is True


def test_cold_starts_are_pictures_that_tell_their_numbers(seen: Watched) -> None:
    bar = row(opened(seen, "Functions"), "greet").locator(".bar").first
    expect(bar).to_have_attribute(
        "aria-label", re.compile(r"greet, cold start of .*: decide .*, schedule .*, create .* ms")
    )
    bar.focus()
    tip = seen.page.get_by_role("tooltip")
    expect(tip).to_contain_text(re.compile(r"create.*ms.*start.*ms.*release.*total"))
    seen.page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_an_execution_is_drawn_and_goes_on_while_one_looks(seen: Watched, site: Site) -> None:
    site.start("watched", 4)
    executions = opened(seen, "Executions")
    executions.get_by_role("link", name="watched").click()
    rest = executions.locator("g.node").filter(has_text="Rest").last
    expect(rest).to_have_attribute("data-status", "running")
    expect(executions.locator("g.node.group")).to_have_count(1)
    assert executions.locator("svg.graph").get_attribute("aria-label") == (
        "Begin: done, Both: done, Call: done, Note: done, Rest: runs, Done: not reached"
    )
    rest.evaluate("node => { node.same = true }")
    expect(rest).to_have_attribute("data-status", "succeeded", timeout=_SETTLE_MILLISECONDS)
    assert rest.evaluate("node => node.same") is True
    history = executions.get_by_role("table", name="History")
    expect(row(history, "ExecutionSucceeded")).to_be_visible()
    expect(executions.locator(".json").last).to_contain_text('"hello": "world"')


def test_a_run_says_how_far_it_is(seen: Watched) -> None:
    run = opened(seen, "Runs").get_by_role("listitem").first
    expect(run).to_contain_text("default/count")
    expect(run.locator(".pill")).to_have_text("succeeded")
    expect(run.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(run).to_contain_text(re.compile(r"attempt 1 · .* of pods"))


def test_a_dead_letter_is_read_as_text_and_delivered_again(seen: Watched, site: Site) -> None:
    triggers = opened(seen, "Triggers")
    triggers.get_by_role("link", name="bills").click()
    letter = triggers.locator(".letter")
    expect(letter).to_contain_text("for function/strict · 1 attempt")
    letter.locator("summary").click()
    expect(letter.locator(".json")).to_contain_text("<img src=x onerror=alert(1)>")
    assert letter.locator("img, b b").count() == 0
    site.mended.touch()
    try:
        redrive = triggers.get_by_role("button")
        redrive.click()
        expect(redrive).to_have_text("Deliver all of them again?")
        redrive.click()
        expect(seen.page.locator("#told")).to_have_text("1 dead letter delivered again")
        expect(triggers.locator(".fine")).to_be_visible()
        expect(triggers.get_by_role("heading", name="0 dead letters")).to_be_visible()
    finally:
        site.mended.unlink()
    triggers.get_by_role("link", name="Triggers").click()
    expect(row(triggers, "bills").locator("b")).to_have_text("0", timeout=_SETTLE_MILLISECONDS)


def test_a_redrive_of_several_stretches_ends_with_what_was_there(
    browser: Browser, site: Site
) -> None:
    letter = {"seq": 1, "target": "function/strict", "attempts": 1, "buriedSeconds": 1, "error": ""}
    stretches = [{"moved": 500, "left": 0, "after": 500, "last": 700}] * 2
    answers = iter([*stretches, {"moved": 200, "left": 1, "after": None, "last": 700}])
    asked: list[str] = []

    def redrive(route: Route) -> None:
        asked.append(route.request.url.partition("?")[2])
        route.fulfill(json=next(answers))

    with watched(browser, site.dashboard) as seen:
        seen.page.route("**/dead-letters", lambda it: it.fulfill(json={"letters": [letter]}))
        seen.page.route("**/dead-letters/redrive?*", redrive)
        seen.goto("#triggers/default/bills")
        button = seen.page.get_by_role("button", name="Redrive")
        button.click()
        seen.page.get_by_role("button", name="Deliver all of them again?").click()
        expect(seen.page.locator("#told")).to_have_text(re.compile("^1,200 dead letters delivered"))
    assert asked == ["after=0&last=0", "after=500&last=700", "after=500&last=700"]


def test_events_of_a_bus_appear_as_they_come(seen: Watched, site: Site) -> None:
    bus = opened(seen, "Bus")
    expect(row(bus, "order.placed")).to_have_count(1)
    site.publish("tea.ready", {})
    expect(row(bus, "tea.ready")).to_have_count(1, timeout=_SETTLE_MILLISECONDS)


def test_costs_are_split_and_compared(seen: Watched) -> None:
    cost = opened(seen, "Cost")
    expect(cost.locator(".tile-value").first).to_have_text(re.compile(r"^\$0\.\d+$"))
    bar = row(cost, "default/greet").locator(".bar")
    expect(bar).to_have_attribute("aria-label", re.compile(r"default/greet: .*start \$.*idle \$"))
    verdict = cost.locator(".verdict")
    expect(verdict).to_contain_text("10M requests cost $10.33 serverless and $30.37 always on")
    expect(cost.locator("svg.chart .cross")).to_have_count(1)
    cost.get_by_role("spinbutton", name="Requests a month").fill("100000000")
    expect(verdict).to_contain_text("100M requests cost $103.33 serverless")


def test_a_trace_is_a_tree_that_folds(seen: Watched) -> None:
    traces = opened(seen, "Traces")
    traces.get_by_role("link", name="default.trip").last.click()
    items = traces.get_by_role("treeitem")
    expect(items.first).to_contain_text("default.trip")
    expect(items.filter(has_text="Call").first).to_be_visible()
    everything = items.count()
    items.first.focus()
    expect(seen.page.get_by_role("tooltip")).to_contain_text("torpor.execution.arn")
    seen.page.keyboard.press("ArrowLeft")
    expect(items).to_have_count(1)
    seen.page.keyboard.press("ArrowRight")
    expect(items).to_have_count(everything)
    seen.page.keyboard.press("ArrowDown")
    expect(items.nth(1)).to_be_focused()


def test_the_keyboard_is_enough(seen: Watched) -> None:
    page = seen.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    links = page.get_by_role("navigation").get_by_role("link")
    _tab_to(page, links.nth(2))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Executions")).to_be_focused()
    first = page.locator("#executions").get_by_role("link", name="first")
    _tab_to(page, first)
    page.keyboard.press("Enter")
    expect(page.locator("#executions svg.graph")).to_be_visible()
    _tab_to(page, page.get_by_role("link", name="← Executions"))
    page.keyboard.press("Enter")
    expect(first).to_be_visible()


def _tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus, and let the focus be seen."""
    for _ in range(60):
        if wanted.evaluate("node => node === document.activeElement"):
            outline = wanted.evaluate("node => getComputedStyle(node).outlineStyle")
            assert outline == "solid"
            return
        page.keyboard.press("Tab")
    raise AssertionError("Tab does not lead there")


def _places(site: Site) -> dict[str, str]:
    """Every section, and one of each that can be opened."""
    seen = site.snapshot()
    first = next(each for each in seen["executions"] if each["name"] == "first")
    return {
        **{section: f"#{section}" for section in SECTIONS},
        "execution": f"#executions/{first['arn']}",
        "letters": "#triggers/default/orders",
        "trace": f"#traces/{first['traceId']}",
    }


def _shown(seen: Watched, name: str, place: str) -> None:
    """Go there, and wait until what is asked for then has come."""
    seen.page.evaluate("place => { location.hash = place }", place)
    expect(seen.page.locator(f"section.view{place.partition('/')[0]}")).to_be_visible()
    if name in ("execution", "letters", "trace"):
        content = ".detail:visible :is(svg.graph, .letter, .span-row)"
        expect(seen.page.locator(content).first).to_be_visible()
    if name == "cost":
        expect(seen.page.locator("svg.chart")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_can_be_read_in(
    browser: Browser, site: Site, tmp_path: Path, scheme: str
) -> None:
    with watched(browser, site.dashboard, color_scheme=scheme, reduced_motion="reduce") as seen:
        seen.goto("")
        live(seen.page)
        back = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", back)[0]) > 128) is (scheme == "light")
        for name, place in _places(site).items():
            _shown(seen, name, place)
            assert seen.pale == [], name
            assert seen.keep(f"{scheme} {name}", tmp_path).stat().st_size > 10_000


def test_a_phone_needs_no_scrolling_to_the_side(
    browser: Browser, site: Site, tmp_path: Path
) -> None:
    with watched(browser, site.dashboard, viewport=PHONE, has_touch=True) as seen:
        seen.goto("")
        live(seen.page)
        for name, place in _places(site).items():
            _shown(seen, name, place)
            assert seen.width == PHONE["width"], name
            seen.keep(f"phone {name}", tmp_path)
        assert seen.complaints == []


@pytest.mark.parametrize("width", [1025, 1201], ids=["tables", "navigation"])
def test_what_just_has_room_beside_each_other_fits(
    browser: Browser, site: Site, width: int
) -> None:
    with watched(browser, site.dashboard, viewport={"width": width, "height": 800}) as seen:
        seen.goto("")
        live(seen.page)
        for name, place in _places(site).items():
            _shown(seen, name, place)
            assert seen.width == width, name


def test_the_theme_that_was_chosen_is_kept(seen: Watched) -> None:
    page = seen.page
    button = page.get_by_role("button", name="Theme: system")
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    button.click()
    assert page.evaluate(back) != light
    dark = page.evaluate(back)
    page.reload()
    live(page)
    expect(page.get_by_role("button", name="Theme: dark")).to_be_visible()
    assert page.evaluate(back) == dark


def test_who_wants_no_motion_sees_none(browser: Browser, site: Site) -> None:
    for wish, name in (("reduce", "none"), ("no-preference", "breathe")):
        with watched(browser, site.dashboard, reduced_motion=wish) as seen:
            seen.goto("")
            live(seen.page)
            lamp = "getComputedStyle(document.getElementById('live'), '::before').animationName"
            assert seen.page.evaluate(lamp) == name


def test_a_lost_connection_is_told_and_comes_back(browser: Browser, site: Site) -> None:
    with watched(browser, site.dashboard) as seen:
        seen.page.route("**/events", lambda route: route.abort())
        seen.goto("")
        expect(seen.page.locator("#live")).to_have_text("connection lost")
        seen.page.unroute("**/events")
        live(seen.page)
        assert seen.page.locator("body[data-stale]").count() == 0


def test_a_page_that_nobody_looks_at_stops_listening(browser: Browser, site: Site) -> None:
    def looked_at(page: Page, hidden: str) -> None:
        told = f"{{ get: () => {hidden}, configurable: true }}"
        page.evaluate(f"Object.defineProperty(document, 'hidden', {told})")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    with watched(browser, site.dashboard) as seen:
        seen.page.clock.install()
        seen.goto("")
        live(seen.page)
        looked_at(seen.page, "true")
        seen.page.clock.fast_forward("01:01")
        expect(seen.page.locator("#live")).to_have_text("paused")
        looked_at(seen.page, "false")
        live(seen.page)


def _told_once(page: Page, snapshot: dict[str, Any]) -> None:
    """Have the page be told this in place of what there is."""
    body = f"data: {json.dumps(snapshot)}\n\n"

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/event-stream", body=body)

    page.route("**/events", answer)


def test_an_empty_place_says_how_to_fill_it(browser: Browser, site: Site) -> None:
    nothing = {
        name: [] if isinstance(value, list) else value for name, value in site.snapshot().items()
    }
    with watched(browser, site.dashboard) as seen:
        _told_once(seen.page, {**nothing, "cost": None})
        seen.goto("")
        for section in SECTIONS:
            seen.page.evaluate("id => { location.hash = id }", section)
            command = seen.page.locator(f"#{section} .empty:visible .command")
            expect(command).to_have_text(re.compile(r"^torpor \w+"))


def test_a_hundred_functions_are_searched_and_fifty_executions_listed(
    browser: Browser, site: Site
) -> None:
    there = site.snapshot()
    function, execution = there["functions"][1], there["executions"][0]
    many = [{**function, "name": f"worker-{number:03}"} for number in range(100)]
    fifty = [{**execution, "arn": f"arn:{number}", "name": f"e-{number}"} for number in range(50)]
    with watched(browser, site.dashboard) as seen:
        _told_once(seen.page, {**there, "functions": many, "executions": fifty})
        seen.goto("#functions")
        functions = seen.page.locator("#functions")
        expect(functions.locator("tbody tr")).to_have_count(100)
        functions.get_by_role("searchbox").fill("worker-04")
        expect(functions.locator("tbody tr")).to_have_count(10)
        expect(functions.get_by_role("status")).to_have_text("10 Functions found")
        seen.page.evaluate("location.hash = 'executions'")
        expect(seen.page.locator("#executions tbody tr")).to_have_count(50)


LAYOUT = """
async () => {
  const { layOut } = await import("/static/layout.js");
  const many = (length, make) => Array.from({ length }, (_, number) => make(number));
  const sizes = new Map(many(30, (n) => [`n${n}`, { width: 40 + n * 5, height: 40 }]));
  const label = { width: 60, height: 18 };
  const links = many(60, (n) => (
    { source: `n${(n * 7) % 30}`, target: `n${(n * 11 + 3) % 30}`, label: n % 4 ? null : label }));
  const laid = layOut(sizes, links, "n0");
  return { boxes: [...laid.places.values()], routes: laid.routes.length, width: laid.width };
}
"""


def test_boxes_of_a_graph_with_cycles_do_not_overlap(seen: Watched) -> None:
    laid = seen.page.evaluate(LAYOUT)
    boxes = laid["boxes"]
    apart = [
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
        for number, one in enumerate(boxes)
        for other in boxes[:number]
    ]
    assert len(apart) > 435
    assert all(apart)
    assert laid["routes"] == 60
    assert min(box["x"] for box in boxes) >= 0
    assert max(box["x"] + box["width"] for box in boxes) <= laid["width"]


WRITTEN = {
    "seconds(0.0123)": "12 ms",
    "seconds(9.96)": "10.0 s",
    "seconds(59.7)": "60 s",
    "seconds(61)": "1 min 1 s",
    "seconds(3599.7)": "1 h",
    "seconds(90061)": "1 d 1 h",
    "money(0.0000017)": "$0.0000017",
    "money(10.333)": "$10.33",
    "money(0)": "$0",
    "money(-3)": "$-3.00",
    "count(12345)": "12.3K",
    "percent(0.999)": "100 %",
    "percent(2)": "100 %",
    "ago(10, 10.5)": "now",
    "ago(10, 75)": "1 min 5 s ago",
    "shortened('a-very-long-name', 9)": "a-ve…name",
}


@pytest.mark.parametrize("place", ["#executions/%E0%A4", "#traces/0", "#triggers/default/%2e"])
def test_an_address_of_nothing_says_so(browser: Browser, site: Site, place: str) -> None:
    with watched(browser, site.dashboard) as seen:
        seen.goto(place)
        expect(seen.page.locator(".detail:visible .problem")).to_contain_text(re.compile(r"\w{3}"))
        live(seen.page)
        assert all("status of 4" in each for each in seen.complaints)


def test_numbers_are_written_as_people_read_them(seen: Watched) -> None:
    said = seen.page.evaluate(
        """async (asked) => {
          const told = await import("/static/format.js");
          const { ago, count, money, percent, seconds, shortened } = told;
          const all = { ago, count, money, percent, seconds, shortened };
          return asked.map((text) => {
            const [, name, given] = text.match(/^(\\w+)\\((.*)\\)$/);
            return all[name](...JSON.parse(`[${given.replaceAll("'", '"')}]`));
          });
        }""",
        list(WRITTEN),
    )
    assert dict(zip(WRITTEN, said, strict=True)) == WRITTEN
