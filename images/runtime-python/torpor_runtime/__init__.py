"""The Python runtime of Torpor: serves one `handler(event, context)` over HTTP on $PORT.

It stands alone (standard library only). Every import is paid on every cold start, so what serving
a plain request does not need is imported where it is first needed: `asyncio` for handlers that are
async, `json` for JSON, `logging` for who logs. `_socket` is what `socket` wraps in enumerations
that take longer to build than the interpreter takes to start.
"""
