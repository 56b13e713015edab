"""The Python runtime of Torpor: serves one `handler(event, context)` over HTTP on $PORT.

It stands alone (standard library only) and starts in the order that a cold start wants: load the
code, listen, announce, and only then import what serving needs while the first request travels.
"""
