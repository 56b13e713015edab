"""Start: load the handler, listen, announce, serve. Imports here are paid on every cold start.

A run of a Job Function is no server: its handler is called once.
"""

from __future__ import annotations

import os
import sys

from torpor_runtime.announce import announce_in_background
from torpor_runtime.listener import listen
from torpor_runtime.load import load_handler
from torpor_runtime.logs import configure_on_import
from torpor_runtime.prepare import prepare


def main() -> int:
    """Serve until SIGTERM, or do the run that this is; return the exit status.

    1 when the code cannot be loaded or the port is taken.
    """
    configure_on_import()
    try:
        prepare(os.environ)
        handler = load_handler(os.environ)
        if os.environ.get("TORPOR_RUN_ID"):
            from torpor_runtime.job import run

            return run(handler)
        listener = listen(os.environ.get("TORPOR_BIND", ""), int(os.environ.get("PORT", "8080")))
    except BaseException as error:  # user code may raise anything while it is imported
        from torpor_runtime.failure import report_start_failure

        return report_start_failure(error)
    announce_in_background(os.environ, listener.getsockname()[1])

    from torpor_runtime.server import serve  # while the announcement travels

    return serve(handler, listener)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # a handler's thread that never returns must not keep the pod
