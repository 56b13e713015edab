"""A checkpointed program on a real S3 server that fails in between."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.checkpoint_store import Buckets, s3_buckets
from tests.support.checkpoint_victim import ended, kill, output, records, start
from tests.support.servers.gate import Answer, Gate, Silence, gate_to
from tests.support.servers.versitygw import needs_versitygw

pytestmark = needs_versitygw


@pytest.fixture(scope="module")
def buckets() -> Iterator[Buckets]:
    with s3_buckets() as found:
        yield found


@pytest.fixture
def gate(buckets: Buckets) -> Iterator[Gate]:
    with gate_to(buckets.server.url) as found:
        yield found


def environment(buckets: Buckets, gate: Gate, url: str) -> dict[str, str]:
    return {**buckets.options(AWS_ENDPOINT_URL=gate.url), "TORPOR_CHECKPOINT": url}


def test_killed_between_an_object_and_its_record_the_unit_is_made_again(
    buckets: Buckets, gate: Gate, tmp_path: Path
) -> None:
    url = buckets.new()
    surroundings = environment(buckets, gate, url)
    silence = Silence(threading.Event())
    gate.rule = lambda method, path: (
        silence if method == "PUT" and path.endswith("/001.json") else None
    )
    program = start(tmp_path, {"units": 3}, surroundings)
    gate.wait_hindered(1)
    kill(program)
    silence.end.set()
    gate.open()
    store = buckets.store(url)
    assert [entry.key for entry in store.list("work/seg/0/001-")] != []
    assert list(records(store, 3)) == ["000"]
    code, said, _ = ended(start(tmp_path, {"units": 3}, surroundings))
    assert (code, re.findall(r"begun (\d+)", said)) == (0, ["001", "002"])
    assert list(records(store, 3)) == ["000", "001", "002"]
    assert len(store.list("work/seg/")) == 6


def test_a_store_that_is_away_for_a_while_is_waited_for(
    buckets: Buckets, gate: Gate, tmp_path: Path
) -> None:
    url = buckets.new()
    gate.rule = lambda method, path: Answer(503, "SlowDown") if "seg" in path else None
    program = start(tmp_path, {"units": 3}, environment(buckets, gate, url))
    gate.wait_hindered(5)
    gate.open()
    code, _, said = ended(program)
    assert (code, output(tmp_path)) == (0, {"done": 3})
    assert "503 SlowDown" in said
    assert list(records(buckets.store(url), 3)) == ["000", "001", "002"]


def test_stopped_while_the_store_is_away_it_ends_within_its_grace(
    buckets: Buckets, gate: Gate, tmp_path: Path
) -> None:
    url = buckets.new()
    gate.rule = lambda method, path: Answer(503, "SlowDown") if "seg" in path else None
    surroundings = environment(buckets, gate, url)
    program = start(tmp_path, {"units": 3}, {**surroundings, "TORPOR_GRACE_SECONDS": "2"})
    gate.wait_hindered(1)
    began = time.monotonic()
    program.send_signal(signal.SIGTERM)
    assert ended(program)[0] == 143
    assert time.monotonic() - began < 2


def test_two_at_once_make_the_same(buckets: Buckets, gate: Gate, tmp_path: Path) -> None:
    url = buckets.new()
    surroundings = environment(buckets, gate, url)
    with ExitStack() as stack:
        programs: list[subprocess.Popen[str]] = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            programs.append(start(folder, {"units": 12}, surroundings))
            stack.callback(programs[-1].wait)
        codes = [ended(program)[0] for program in programs]
    store = buckets.store(url)
    assert codes == [0, 0]
    assert len(records(store, 12)) == 12
    assert len(store.list("work/seg/")) == 24


def test_wrong_credentials_end_it_with_the_reason(
    buckets: Buckets, gate: Gate, tmp_path: Path
) -> None:
    surroundings = environment(buckets, gate, buckets.new())
    wrong = {**surroundings, "AWS_SECRET_ACCESS_KEY": "wrong-secret"}
    code, _, said = ended(start(tmp_path, {"units": 1}, wrong))
    assert code == 1
    assert "check the credentials" in output(tmp_path)["error"]
    assert "wrong-secret" not in said + (tmp_path / "output").read_text()


def test_clocks_that_differ_are_told(buckets: Buckets, gate: Gate, tmp_path: Path) -> None:
    gate.rule = lambda method, path: Answer(403, "RequestTimeTooSkewed")
    surroundings = environment(buckets, gate, buckets.new())
    assert ended(start(tmp_path, {"units": 1}, surroundings))[0] == 1
    assert "set this machine's" in output(tmp_path)["error"]
