"""The Python handlers that articles print run under `payload: lambda` as they are printed.

What they import and is not installed here (pandas, numpy, scikit-learn) is stood in for by empty
modules. boto3 is the real one; their DynamoDB table is only made an object of, as nothing here
serves DynamoDB, and they do not call it.
"""

from __future__ import annotations

import json
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.conformance.articles import lines_with
from tests.integration.runtimes import PYTHON, running

_TOKEN = "t0ken"
_BEFORE = "# BEFORE: Slow cold start"
_AFTER = "# AFTER: Optimized cold start"
_END = "# 4. "
_INSIDE = "    "
_STAND_INS = {
    "pandas.py": "",
    "numpy.py": "",
    "sklearn/__init__.py": "",
    "sklearn/ensemble.py": "RandomForestClassifier = object",
}


def _between(begin: str, end: str) -> str:
    lines = dropwhile(lambda line: not line.startswith(begin), lines_with(begin))
    return _indented(list(takewhile(lambda line: not line.startswith(end), lines)))


def _indented(lines: list[str]) -> str:
    """Put back what the print of a page lost: the space before the lines of a body.

    A body begins below `def` or `if` and a function's ends with `...`.
    """
    found: list[str] = []
    depth = 0
    for line in lines:
        if line.startswith("#") and found and found[-1].strip().startswith("import") and depth > 1:
            depth -= 1
        found.append(_INSIDE * depth + line)
        if line.rstrip().endswith(":") and not line.startswith("#"):
            depth += 1
        elif line == "...":
            depth = 0
    return "\n".join([*found, ""])


async def _invoked(folder: Path, code: str, event: object) -> tuple[int, object]:
    given = {
        "TORPOR_PAYLOAD": "lambda",
        "TORPOR_DETAIL_TOKEN": _TOKEN,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }
    async with (
        running(folder, "main.handler", code, PYTHON, **given) as runtime,
        ClientSession() as session,
        session.post(runtime.url, json=event, headers={"Torpor-Detail": _TOKEN}) as answer,
    ):
        return answer.status, json.loads(await answer.read())


def _stand_in(folder: Path) -> None:
    for name, text in _STAND_INS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


async def test_the_slow_one_runs(tmp_path: Path) -> None:
    _stand_in(tmp_path)
    code = _between(_BEFORE, _AFTER)
    assert "def handler" in code
    assert await _invoked(tmp_path, code, {}) == (200, None)


@pytest.mark.parametrize("needs_ml", [False, True])
async def test_the_one_that_imports_late_and_keeps_its_connection_runs(
    tmp_path: Path, needs_ml: bool
) -> None:
    if needs_ml:
        _stand_in(tmp_path)
    code = _between(_AFTER, _END)
    assert "boto3.resource('dynamodb')" in code
    assert await _invoked(tmp_path, code, {"needs_ml": needs_ml}) == (200, None)


async def test_what_it_imports_late_is_missed_only_then(tmp_path: Path) -> None:
    status, problem = await _invoked(tmp_path, _between(_AFTER, _END), {"needs_ml": True})
    assert status == 500
    assert isinstance(problem, dict)
    assert problem["errorType"] == "ModuleNotFoundError"
