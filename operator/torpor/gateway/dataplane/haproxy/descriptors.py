"""How many files this process may have open: one for each request that is held, and HAProxy's two.

Container runtimes give a soft limit far below the hard one, for programs that use select(): 1024
and 524,288 with containerd 2. HAProxy raises its own; Python does not.
"""

from __future__ import annotations

import resource


def raise_limit(wanted: int) -> int:
    """Return how many files may be open, `wanted` at most, after the soft limit was raised to it.

    The limit is never lowered. Processes that are started from here inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _covers(soft, wanted):
        return wanted
    allowed = wanted if _covers(hard, wanted) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed


def _covers(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
