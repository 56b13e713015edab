"""The command line against a real API server: call, load, await, show, delete, and the doctor.

Nothing of an installation is broken here: others test on the same one. What the doctor says of a
broken one is in tests/unit/cli/test_doctor.py; here it meets a true one, with true CRDs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import until
from tests.cluster.harness import IMAGE, SCALING_QUICK, SETTINGS, SYSTEM, Lab, kubeconfig
from tests.cluster.traffic import GATEWAY

pytestmark = pytest.mark.timeout(240)
PLACE = ("--torpor-namespace", SYSTEM)
COMMAND = "from torpor.cli.main import main; raise SystemExit(main())"


async def torpor(*words: str, gateway: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as a person would, with the cluster's kubeconfig."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig()), "TORPOR_GATEWAY": gateway}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMAND, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def printed(*words: str, gateway: str = "") -> str:
    done = await torpor(*words, gateway=gateway)
    assert done.returncode == 0, f"torpor {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


async def test_a_functions_life_by_the_command_line(lab: Lab) -> None:
    await lab.api.apply(lab.function("echo", scaling={"minReplicas": 0, **SCALING_QUICK}))
    name = f"{lab.namespace}/echo"
    assert await printed("fn", "wait", name) == f"{name} is ready\n"
    assert await printed("fn", "list", "-n", lab.namespace, "-o", "name") == (
        "function.torpor.dev/echo\n"
    )
    invoked = await printed("fn", "invoke", name, "-i", *PLACE)
    assert invoked.startswith("HTTP/1.1 200")
    assert "X-Torpor-Cold-Start" in invoked
    await printed("fn", "wait", name, "--for", "zero", "--timeout", "90")

    shown = await until("the decisions in words", lambda: _shown(name), within=30)
    print(shown)
    for word in ("last decision", "0 -> 1 replicas", "1 -> 0 replicas", "cold starts: 1 seen"):
        assert word in shown, shown
    wide = await printed("fn", "list", "-n", lab.namespace, "-o", "wide")
    assert f"image {IMAGE}" in wide

    assert "is deleted" in await printed("fn", "delete", name, "--yes")
    gone = await torpor("fn", "show", name)
    assert gone.returncode == 1
    assert "torpor fn list -A" in gone.stderr


async def _shown(name: str) -> str | None:
    text = await printed("fn", "show", name)
    return text if "1 -> 0 replicas" in text and "cold starts: 1 seen" in text else None


async def test_load_sees_cold_starts_and_replicas(lab: Lab) -> None:
    await lab.make("echo", scaling={"minReplicas": 0, **SCALING_QUICK})
    words = ("fn", "load", f"{lab.namespace}/echo", "--rps", "50", "--seconds", "6", "-o", "json")
    told = json.loads(await printed(*words, gateway=f"http://{GATEWAY}"))
    print(told)
    assert told["statuses"] == {"200": 300}
    assert told["coldStarts"]["count"] >= 1
    assert told["latencyMilliseconds"]["max"] >= max(told["coldStarts"]["milliseconds"])
    assert told["replicas"][0]["ready"] == 0
    assert max(it["ready"] for it in told["replicas"]) >= 1


async def test_wait_and_show_say_why_and_what_to_do(lab: Lab) -> None:
    await lab.api.apply(
        lab.function("broken", runtime="cobol", handler="a.b", code={"inline": "x"})
    )
    name = f"{lab.namespace}/broken"
    await printed("fn", "wait", name, "--for", "condition=Stalled")
    late = await torpor("fn", "wait", name, "--timeout", "1")
    assert late.returncode == 1
    assert "UnknownRuntime" in late.stderr
    assert "helm upgrade torpor" in (await printed("fn", "show", name)).split("what to do")[1]
    findings = await _findings()
    told = [it for it in findings if f"Function {name}: UnknownRuntime" in it["what"]]
    assert [it["grade"] for it in told] == ["problem"], findings


async def test_the_doctor_finds_the_kinds_and_roles_of_this_checkout_sound(lab: Lab) -> None:
    findings = await _findings()
    print(json.dumps(findings, indent=2))
    ours = ("cluster", "kinds", "leader", "key", "gateway", "clock", "rights")
    wrong = [it for it in findings if it["check"] in ours]
    assert wrong == []
    roles = [it["what"] for it in findings if it["check"] == "roles"]
    assert not [what for what in roles if "torpor-controller" in what or "torpor-gateway" in what]


async def _findings() -> list[dict[str, Any]]:
    done = await torpor("doctor", "-o", "json", *PLACE)
    assert done.returncode in (0, 1), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return found


async def test_kubectl_runs_it_as_a_plugin(lab: Lab, tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-torpor"
    plugin.write_text(f"#!{sys.executable}\n{COMMAND}\n")
    await asyncio.to_thread(plugin.chmod, 0o755)
    path = f"{tmp_path}:{SETTINGS.cache / 'bin'}:{os.environ['PATH']}"
    await lab.make("echo")
    done = await asyncio.to_thread(
        subprocess.run,
        ["kubectl", "torpor", "fn", "list", "-n", lab.namespace],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig())},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:2] == ["echo", "True"]
