"""DBOS on the bench's PostgreSQL: a workflow of three steps, each a call of the same function.

Runs in a Python environment of its own: `dbos_peer.py <DSN> <function's URL>`. Reads a JSON command
a line and answers with a JSON line: `{"at_once": …, "seconds": …}` ->
`{"ms": [time of each workflow], "seconds": …}`. That many threads run one workflow after another.
"""

from __future__ import annotations

import http.client
import json
import platform
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from dbos import DBOS  # type: ignore[import-not-found]

LOCAL = threading.local()
ADDRESS = urlsplit(sys.argv[2])


def post(value: Any) -> Any:
    """Call the function on this thread's kept connection."""
    if not hasattr(LOCAL, "connection"):
        LOCAL.connection = http.client.HTTPConnection(str(ADDRESS.hostname), ADDRESS.port or 80)
        LOCAL.connection.connect()
    LOCAL.connection.request("POST", "/work", json.dumps(value))
    return json.loads(LOCAL.connection.getresponse().read())


@DBOS.step()  # type: ignore[untyped-decorator]
def call(value: Any) -> Any:
    return post(value)


@DBOS.workflow()  # type: ignore[untyped-decorator]
def three_calls(value: Any) -> Any:
    return call(call(call(value)))


def worker(until: float, taken_ms: list[float]) -> None:
    while (begun := time.perf_counter()) < until:
        _ = three_calls({"n": len(taken_ms)})
        taken_ms.append(1e3 * (time.perf_counter() - begun))


def measure(at_once: int, seconds: float) -> dict[str, Any]:
    taken_ms: list[float] = []
    begun = time.perf_counter()
    threads = [
        threading.Thread(target=worker, args=(begun + seconds, taken_ms)) for _ in range(at_once)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"ms": taken_ms, "seconds": time.perf_counter() - begun}


def main() -> None:
    _ = DBOS(
        config={
            "name": "bench",
            "system_database_url": sys.argv[1],
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    _ = measure(1, 0.5)
    print(json.dumps({"python": platform.python_version()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(measure(asked["at_once"], asked["seconds"])), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main()
