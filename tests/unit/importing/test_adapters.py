"""The files beside imported code: which route a request takes, the same in both languages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

from tests.integration.runtimes import needs_node

ROUTES = [
    ["ANY", "/{proxy+}", "2.0"],
    ["GET", "/pets/{proxy+}", "2.0"],
    ["GET", "/pets/{id}", "2.0"],
    ["ANY", "/pets/mine", "2.0"],
    ["GET", "/pets/mine", "2.0"],
]
EXPECTED = {
    "/pets/mine": ("GET /pets/mine", None),
    "/pets/7": ("GET /pets/{id}", {"id": "7"}),
    "/pets/7/toys": ("GET /pets/{proxy+}", {"proxy": "7/toys"}),
    "/shops/1": ("ANY /{proxy+}", {"proxy": "shops/1"}),
    "/pets/a%20b": ("GET /pets/{id}", {"id": "a b"}),
    "/pets/50%": ("GET /pets/{id}", {"id": "50%"}),
}
PYTHON = "def handler(event, context): return [event['routeKey'], event.get('pathParameters')]"
NODE = "exports.handler = async (event) => [event.routeKey, event.pathParameters ?? null];"
ASK_PYTHON = """
import json, sys, torpor_sam
print(json.dumps([torpor_sam.handler(event, None) for event in json.load(sys.stdin)]))
"""
ASK_NODE = """
import { readFileSync } from 'node:fs';
import { handler } from './torpor_sam.mjs';
const events = JSON.parse(readFileSync(0, 'utf8'));
console.log(JSON.stringify(await Promise.all(events.map((event) => handler(event, {})))));
"""


@pytest.mark.parametrize(
    ("program", "adapter", "own", "asking"),
    [
        ((sys.executable,), "torpor_sam.py", ("own.py", PYTHON), ("ask.py", ASK_PYTHON)),
        pytest.param(
            ("node",),
            "torpor_sam.mjs",
            ("own.cjs", NODE),
            ("ask.mjs", ASK_NODE),
            marks=needs_node,
        ),
    ],
    ids=["python", "node"],
)
def test_a_request_takes_the_most_specific_route(
    tmp_path: Path,
    program: tuple[str],
    adapter: str,
    own: tuple[str, str],
    asking: tuple[str, str],
) -> None:
    source = files("torpor.importing.sam.adapters").joinpath(adapter).read_text()
    for name, text in ((adapter, source), own, asking):
        (tmp_path / name).write_text(text)
    events = [{"rawPath": path, "requestContext": {"http": {"method": "GET"}}} for path in EXPECTED]
    done = subprocess.run(
        [*program, asking[0]],
        cwd=tmp_path,
        env={**os.environ, "_HANDLER": "own.handler", "SAM_ROUTES": json.dumps(ROUTES)},
        input=json.dumps(events),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert dict(zip(EXPECTED, map(tuple, json.loads(done.stdout)), strict=True)) == EXPECTED
