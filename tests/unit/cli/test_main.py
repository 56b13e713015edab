"""The command finds its verbs, and starts without importing them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from torpor.cli.main import PLUGIN, VERBS, main

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_is_a_module_and_in_the_help(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_spec(next(item.module for item in VERBS if item.name == verb))
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert f"\n  {verb} " in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["dev"],
        ["--nonsense"],
        *(["dev", "examples/hello", "--port", port] for port in ("0", "65536", "-1", "http", "³")),
    ],
)
def test_a_command_line_that_cannot_be_read_is_status_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2


def test_no_verb_prints_the_help_and_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "VERB" in capsys.readouterr().err


def test_what_is_wrong_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", "/does/not/exist"]) == 2
    assert capsys.readouterr().err == "torpor dev: /does/not/exist: there is no such folder\n"


@pytest.mark.parametrize(
    "words",
    [["--help"], *([verb.name, "--help"] for verb in VERBS if verb.name != "dev")],
)
def test_help_imports_nothing_that_is_slow(words: list[str]) -> None:
    script = (
        "import sys, torpor.cli.main as m\n"
        f"try: m.main({words})\n"
        "except SystemExit: pass\n"
        "assert not {'aiohttp', 'kopf', 'kubernetes', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_kubectls_plugin_is_the_same_program() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"torpor": "torpor.cli.main:main", PLUGIN: "torpor.cli.main:main"}
