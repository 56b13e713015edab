"""Which function a request is for: by Host, or by path `/function/<namespace>/<name>/…`. Pure.

What is no address of a function may be the Lambda API's or a Trigger's, see `http_table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torpor.gateway.http_table import EMPTY, Destination, HttpTable, NotAllowed
from torpor.resources.names import FunctionKey

PATH_PREFIX = "/function/"
RESULTS_PREFIX = f"{PATH_PREFIX}@calls/"
"""Behind it namespace and id of an asynchronous call, at every host; `@` begins no namespace."""
LAMBDA = "@lambda"
"""In place of a function's name: the Lambda API."""
LAMBDA_PATTERN = "^/20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]/functions(/|$)"
"""The paths of the Lambda API, those that are not served included; the same in HAProxy's words."""
_LAMBDA = re.compile(LAMBDA_PATTERN)
_RESULT = re.compile(f"{RESULTS_PREFIX}([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class Routes:
    """Every address of every function and Trigger. Hosts are lower case and carry no port.

    A request to one of `jobs` starts a run: it goes to the door for calls that nobody waits for.
    """

    hosts: Mapping[str, FunctionKey]
    keys: frozenset[FunctionKey]
    table: HttpTable = EMPTY
    jobs: frozenset[FunctionKey] = frozenset()

    @classmethod
    def of(
        cls,
        keys: Iterable[FunctionKey],
        domain: str,
        cluster_domain: str,
        table: HttpTable = EMPTY,
        jobs: frozenset[FunctionKey] = frozenset(),
    ) -> Routes:
        """Return the routes of all `keys`: `<name>.<namespace>.<domain>` and the names in DNS."""
        known = frozenset(keys)
        hosts = {host: key for key in known for host in hosts_of(key, domain, cluster_domain)}
        return cls(hosts, known, table, jobs)

    def find(self, host: str, path: str) -> tuple[FunctionKey, str] | None:
        """Return the function and the path that it is to see, or None if there is none.

        A path address wins over the Host, and its prefix is removed.
        """
        if path.startswith(PATH_PREFIX):
            namespace, _, rest = path.removeprefix(PATH_PREFIX).partition("/")
            name, _, tail = rest.partition("/")
            key = FunctionKey(namespace, name)
            return (key, f"/{tail}") if key in self.keys else None
        found = self.hosts.get(host_only(host))
        return (found, path) if found else None

    def find_trigger(self, method: str, host: str, path: str) -> Destination | NotAllowed | None:
        """Return where a request goes that no function has the address of; None for nowhere."""
        if path.startswith(PATH_PREFIX):
            return self._find_result(path)
        return self.table.find(method, host_only(host), path)

    def _find_result(self, path: str) -> Destination | None:
        found = _RESULT.fullmatch(path)
        if found is None or not self.table.events:
            return None
        return Destination(None, None, f"/v1/namespaces/{found[1]}/calls/{found[2]}")


def prefers_async(preferences: Iterable[str]) -> bool:
    """Return whether the values of a request's Prefer ask for `respond-async` (RFC 7240)."""
    wanted = (each.partition(";")[0] for value in preferences for each in value.split(","))
    return any(each.strip().lower() == "respond-async" for each in wanted)


def is_lambda(path: str) -> bool:
    """Return whether a path that is no function's is one of the Lambda API."""
    return _LAMBDA.match(path) is not None


def hosts_of(key: FunctionKey, domain: str, cluster_domain: str) -> tuple[str, ...]:
    """Return the hosts of one function, the public one first."""
    base = f"{key.name}.{key.namespace}"
    return (f"{base}.{domain}", f"{base}.svc.{cluster_domain}", f"{base}.svc", base)


def host_only(host: str) -> str:
    """Return the Host header's value in lower case, without port or trailing dot."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") and ":" in host else host
    return name.lower().rstrip(".")
