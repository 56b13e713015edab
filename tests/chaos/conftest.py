"""Has each chaos test tell of its faults, and prints all of them at the end."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.chaos.report import PROPERTY, Faults, found_in, table

_SILENT = "this test tells of no fault: use the fixture `faults` (tests/chaos/report.py)"


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Faults:
    """Where the test says what it broke, and what was lost by it."""
    return Faults(request.node.user_properties)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test of this folder that passed and told of no fault."""
    report = yield
    told = any(name == PROPERTY for name, _ in item.user_properties)
    if report.when == "call" and report.passed and not told:
        report.outcome, report.longrepr = "failed", _SILENT
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each fault of the tests that passed."""
    passed = terminalreporter.stats.get("passed", [])
    found = [fault for it in passed for fault in found_in(it.nodeid, it.user_properties)]
    if found:
        terminalreporter.section("faults")
        for line in table(found):
            terminalreporter.write_line(line)
