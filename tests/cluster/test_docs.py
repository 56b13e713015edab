"""The commands of README and docs/ that need a cluster do what is shown, and all YAML is accepted.

A document's commands run in the test's namespace instead of `default`: their kubeconfig names it.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest
import yaml

from tests.cluster.harness import SETTINGS, Lab, command, kubeconfig
from tests.cluster.traffic import GATEWAY
from tests.docs.blocks import Place
from tests.docs.library import blocks_of, documents, runnable
from tests.docs.running import Terminal, copy_checkout

ON_CLUSTER = runnable(Place.CLUSTER)
WITH_YAML = [
    str(path)
    for path in documents()
    if any(block.language in ("yaml", "yml") for block in blocks_of(path))
]

OTHER_NAMESPACE = re.compile(r"(metadata: \{[^}]*namespace: )[a-z0-9-]+")
"""A namespace that a document names, and that need not be there."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("document", ON_CLUSTER)
async def test_commands_do_what_is_shown(lab: Lab, document: str, tmp_path: Path) -> None:
    terminal = Terminal(
        copy_checkout(tmp_path / "torpor"),
        environment(own_kubeconfig(lab, tmp_path)),
        words(lab),
    )
    await asyncio.to_thread(terminal.follow, ON_CLUSTER[document])


@pytest.mark.parametrize("document", WITH_YAML)
async def test_the_api_server_accepts_the_yaml(lab: Lab, document: str, tmp_path: Path) -> None:
    for block in blocks_of(Path(document)):
        if block.language not in ("yaml", "yml"):
            continue
        file = tmp_path / f"line-{block.line}.yaml"
        file.write_text(OTHER_NAMESPACE.sub(rf"\g<1>{lab.namespace}", block.text))
        apply = ("apply", "--dry-run=server", "-f", str(file))
        done = await asyncio.to_thread(command, "kubectl", "-n", lab.namespace, *apply)
        print(f"{block}: {done.stdout}")
        assert done.returncode == 0, f"{block}: {done.stderr}"


def words(lab: Lab) -> dict[str, str]:
    """Return what the documents say, and what is so in this test instead."""
    return {
        "default/hello": f"{lab.namespace}/hello",
        "hello.default.": f"hello.{lab.namespace}.",
        "127.0.0.1:18080": GATEWAY,
    }


def own_kubeconfig(lab: Lab, folder: Path) -> Path:
    """Return a copy of the kubeconfig whose current context is in the test's namespace."""
    config = yaml.safe_load(kubeconfig().read_text())
    for item in config["contexts"]:
        item["context"]["namespace"] = lab.namespace
    copy = folder / "kubeconfig"
    copy.write_text(yaml.safe_dump(config))
    copy.chmod(0o600)
    return copy


def environment(config: Path) -> dict[str, str]:
    """Return the environment of a terminal that uses this kubeconfig, also after cluster-env."""
    path = f"{SETTINGS.binaries}:{os.environ['PATH']}"
    existing = {"TORPOR_TEST_CLUSTER": "existing", "KUBECONFIG": str(config)}
    return {**os.environ, "PATH": path, **existing}
