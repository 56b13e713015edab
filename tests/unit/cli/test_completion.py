"""Completion of command lines, asked of the shells themselves; kubectl finds us as its plugin."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from torpor.cli.complete.tree import commands
from torpor.cli.main import VERBS, main

LISTED = "function.torpor.dev/mail\\nfunction.torpor.dev/thumb\\n"
NAMESPACES = "namespace/default\\nnamespace/shop\\n"
CASES = [
    ("torpor do", ["doctor"]),
    ("torpor fn l", ["list", "load", "logs"]),
    ("torpor fn show ", ["mail", "thumb"]),
    ("torpor fn show -n shop t", ["thumb"]),
    ("torpor fn show thumb ", []),
    ("torpor run c", ["cancel"]),
    ("torpor run list --function m", ["mail"]),
    ("torpor fn list -n s", ["shop"]),
    ("torpor workflow list -o ", ["json", "name", "table", "wide", "yaml"]),
    ("torpor workflow signal s", ["success"]),
    ("torpor fn load --rp", ["--rps"]),
    ("torpor dev here", ["here.yaml"]),
    ("torpor trigger test -f her", ["here.yaml"]),
    ("torpor completion z", ["zsh"]),
]
BASH = """
source ./script
read -ra COMP_WORDS <<< "$LINE"
[[ $LINE == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_torpor
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
compdef() { : }
source ./script
_describe() { print -rl -- ${(M)${(@P)2%%:*}:#$words[CURRENT]*} }
compadd() { shift; print -rl -- ${(M)@:#$words[CURRENT]*} }
_files() { print -rl -- $words[CURRENT]*(N) }
words=(${=LINE})
[[ $LINE == *' ' ]] && words+=("")
CURRENT=${#words}
_torpor
"""
FISH = "source ./script; complete -C $LINE"
SHELLS = {
    "bash": ["bash", "-c", BASH],
    "zsh": ["zsh", "-f", "-c", ZSH],
    "fish": ["fish", "-c", FISH],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to work in, with a torpor and a kubectl on the PATH that list two things each."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program(programs / "torpor", f'case $* in "fn list -o name"*) printf "{LISTED}" ;; esac')
    program(programs / "kubectl", f'printf "{NAMESPACES}"')
    work = tmp_path / "work"
    work.mkdir()
    (work / "here.yaml").touch()
    return work


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def environment(folder: Path) -> dict[str, str]:
    path = f"{folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(folder.parent)}


def run(words: list[str], folder: Path, **more: str) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env={**environment(folder), **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_a_shell_completes(
    shell: str, line: str, expected: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    (folder / "script").write_text(capsys.readouterr().out)
    told = run(SHELLS[shell], folder, LINE=line).splitlines()
    assert sorted(re.split("[\t:]", word)[0] for word in told if word) == expected


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_has_us_as_a_plugin_that_calls_itself_so(tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-torpor"
    plugin.write_text(
        f"#!{sys.executable}\nfrom torpor.cli.main import main\nraise SystemExit(main())"
    )
    plugin.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    words = ["kubectl", "torpor", "fn", "wait", "--help"]
    done = subprocess.run(
        words,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("usage: kubectl torpor fn wait ")


def test_the_program_for_kubectl_tells_words_and_that_no_files_are_meant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "kubectl"]) == 0
    script = folder / "kubectl_complete-torpor"
    script.write_text(capsys.readouterr().out)
    script.chmod(0o755)
    assert run([str(script), "fn", "w"], folder) == "wait\n:4\n"
    assert run([str(script), "fn", "show", ""], folder) == "mail\nthumb\n:4\n"


def test_every_verb_is_known_to_completion() -> None:
    known = {command.path for command in commands()}
    assert {verb.name for verb in VERBS} <= known
    assert {"fn wait", "workflow graph", "dlq redrive"} <= known
