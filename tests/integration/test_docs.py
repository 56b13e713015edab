"""The commands of README, CONTRIBUTING and docs/ that need no cluster do what is shown."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import Place
from tests.docs.library import runnable
from tests.docs.running import Terminal, copy_checkout

LOCAL = runnable(Place.LOCAL)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: the tutorial calls functions with it")
    checkout = copy_checkout(tmp_path / "torpor")
    return Terminal(checkout, {**os.environ, "KUBECONFIG": "/dev/null"}, {})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", LOCAL)
def test_local_commands_do_what_is_shown(document: str, terminal: Terminal) -> None:
    terminal.follow(LOCAL[document])
