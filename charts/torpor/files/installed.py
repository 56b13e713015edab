"""What `helm test` runs: asks every role and the Kubernetes API whether the installation works.

It changes nothing. Each question is asked again until its answer is right, for a minute at most.
TORPOR_QUESTIONS has the addresses, as `name=URL name=URL`; the kinds are asked of the API server
that every pod is told of, with the pod's own token.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

WITHIN_SECONDS = float(os.environ.get("TORPOR_WITHIN_SECONDS", "60"))
MOST_BYTES = 1 << 20
KINDS = frozenset({"functions", "workflows", "triggers"})
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def answer(
    url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None = None
) -> tuple[int, str]:
    """Return status and body, of failures too; OSError where nobody answers."""
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=5, context=tls) as found:  # noqa: S310
            return found.status, found.read(MOST_BYTES).decode(errors="replace")
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(MOST_BYTES).decode(errors="replace")


def not_ready(url: str) -> str | None:
    """Return what a role says is wrong with it; None if nothing is."""
    status, body = answer(url, {})
    return None if status == 200 else f"{status}: {body.strip()}"


def no_gateway(url: str) -> str | None:
    """Return what is answered for a host that no function has, if not what a gateway answers."""
    status, body = answer(url, {"Host": "nobody.nowhere.invalid"})
    if status == 404 and json.loads(body).get("code") == "unknown-function":
        return None
    return f"{status}: {body[:200]}"


def no_kinds() -> str | None:
    """Return which of Torpor's kinds the API server does not know; None if it knows all."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    status, body = answer(f"https://{host}:{port}/apis/torpor.dev/v1alpha1", headers, tls)
    served = {item["name"] for item in json.loads(body).get("resources", ())}
    missing = ", ".join(sorted(KINDS - served))
    return f"{status}: no {missing}: install the chart torpor-crds" if missing else None


def settled(ask: Callable[[], str | None]) -> str | None:
    """Ask until nothing is wrong, and return what still is when the time is over."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while True:
        try:
            wrong = ask()
        except (OSError, ValueError) as error:
            wrong = str(error)
        if wrong is None or time.monotonic() > deadline:
            return wrong
        time.sleep(1)


def main() -> int:
    """Print a line for each question; return 1 if one was not answered as it has to be."""
    questions: dict[str, Callable[[], str | None]] = {"kinds": no_kinds}
    for item in os.environ["TORPOR_QUESTIONS"].split():
        name, url = item.split("=", 1)
        questions[name] = partial(no_gateway if name == "gateway" else not_ready, url)
    found = {name: settled(ask) for name, ask in questions.items()}
    for name, wrong in found.items():
        print(f"{name}: {wrong or 'ok'}", flush=True)
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
