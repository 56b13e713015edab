"""A proxy as one would write it with aiohttp; run as a module with PORT and TARGET."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from aiohttp import ClientSession, TCPConnector, web
from multidict import CIMultiDict

_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length")


class Proxy:
    """Streams each request to the target and each answer back."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._session: ClientSession | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on."""
        if self._session is None:
            self._session = ClientSession(
                connector=TCPConnector(limit=0), auto_decompress=False, raise_for_status=False
            )
        async with self._session.request(
            request.method,
            self._target + request.path_qs,
            headers=_end_to_end(request.headers),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            sent = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
            sent.content_length = answer.content_length
            await sent.prepare(request)
            async for part in answer.content.iter_any():
                await sent.write(part)
            await sent.write_eof()
            return sent


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def main() -> None:
    """Serve until killed."""
    port, target = sys.argv[1:]
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Proxy(target).serve)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    main()
