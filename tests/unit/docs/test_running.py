"""Commands of a document run in one terminal, and a false document is told so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.docs import running
from tests.docs.blocks import Place, blocks, steps
from tests.docs.running import Terminal, Untrue


def follow(tmp_path: Path, text: str) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir(parents=True)
    found = list(blocks(Path("x.md"), text))
    terminal = Terminal(checkout, os.environ, {"default/hello": "lab/hello"})
    terminal.follow(steps(found, Place.LOCAL))


def sh(text: str, options: str = "", shown: str = "") -> str:
    output = f"```text\n{shown}\n```\n" if shown else ""
    return f"<!-- run: local{options} -->\n```sh\n{text}\n```\n{output}"


def test_files_folder_and_environment_pass_from_block_to_block(tmp_path: Path) -> None:
    file = "<!-- file: a/b.yaml -->\n```yaml\nx: 1\n```\n"
    first = sh('export GREETING="good day"\ncd a')
    follow(tmp_path, file + first + sh('cat b.yaml; echo "$GREETING"', shown="x: 1\ngood day"))


@pytest.mark.parametrize("text", ["false\ntrue", "false | cat", "exit 3"])
def test_a_failed_command_is_untrue(tmp_path: Path, text: str) -> None:
    with pytest.raises(Untrue, match=r"x\.md:2"):
        follow(tmp_path, sh(text))


def test_other_output_than_shown_is_untrue(tmp_path: Path) -> None:
    with pytest.raises(Untrue, match="nothing like: hello Ada"):
        follow(tmp_path, sh("echo hello Bob", shown="hello Ada"))


def test_names_of_this_run_stand_for_those_shown(tmp_path: Path) -> None:
    follow(tmp_path, sh("echo lab/hello 7s; echo default/hello", shown="default/hello 30s"))
    with pytest.raises(Untrue, match="nothing like: hello"):
        follow(tmp_path / "other", sh("echo default/hello | grep -v lab || true", shown="hello"))


def test_eventually_repeats_until_it_is_so(tmp_path: Path) -> None:
    grows = "echo x >> seen; wc -l < seen | tr -d ' '; grep -c x seen | grep -qx 3 && echo enough"
    follow(tmp_path, sh(grows, ", eventually", "enough"))


def test_what_runs_beside_is_there_for_the_next_block_and_gone_after(tmp_path: Path) -> None:
    serve = "echo $$ > pid; echo up; exec sleep 60"
    with pytest.raises(Untrue, match="ended with -2"):  # sleep does not say that it was told to end
        follow(tmp_path, sh(serve, ", background until up") + sh('kill -0 "$(cat pid)"'))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "checkout" / "pid").read_text()), 0)


def test_what_never_begins_beside_is_untrue(tmp_path: Path) -> None:
    with pytest.raises(Untrue, match="never said up"):
        follow(tmp_path, sh("echo down", ", background until up"))


def test_a_block_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "BLOCK_SECONDS", 0.2)
    with pytest.raises(Untrue, match=r"did not end within 0\.2 s"):
        follow(tmp_path, sh("sleep 60"))


def test_a_dry_run_tells_helm_and_kubectl_to_change_nothing(tmp_path: Path) -> None:
    fake = "mkdir bin\nexport PATH=$PWD/bin:$PATH\nfor name in helm kubectl; do\n"
    fake += "printf '#!/bin/sh\\necho \"$0 $@\"\\n' > bin/$name; chmod +x bin/$name; done"
    told = "helm install x --dry-run=server\n…kubectl apply -f y --dry-run=server\n"
    told += "…kubectl apply --server-side -f z --dry-run=server --force-conflicts"
    commands = "helm install x\nkubectl apply -f y\nkubectl apply --server-side -f z"
    follow(tmp_path, sh(fake) + sh(commands, ", dry-run", told))
