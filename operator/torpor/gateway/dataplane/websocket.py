"""A WebSocket between a client and one server: messages pass, each leg keeps itself alive."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientWebSocketResponse,
    ClientWSTimeout,
    WSMsgType,
    WSServerHandshakeError,
    web,
)
from multidict import CIMultiDict, CIMultiDictProxy

from torpor.gateway.dataplane import forwarding, problems
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.exchange import Call, Unreached, url_of
from torpor.resources.names import HEADER_REQUEST_ID

_Socket = ClientWebSocketResponse | web.WebSocketResponse
_CLOSE_SECONDS = 5.0


def is_upgrade(request: web.BaseRequest) -> bool:
    """Return whether the request asks to become a WebSocket (RFC 6455 section 4.1)."""
    asked = request.headers.get("Upgrade", "").lower() == "websocket"
    return asked and "Sec-WebSocket-Key" in request.headers


async def tunnel(session: ClientSession, call: Call, server: Server) -> web.StreamResponse:
    """Open the server's side first, then the client's, and pass messages until either ends."""
    asked = call.request.headers.get("Sec-WebSocket-Protocol", "")
    try:
        upstream = await session.ws_connect(
            url_of(server, call.target),
            headers=forwarding.without_handshake(call.headers),
            protocols=[name.strip() for name in asked.split(",") if name.strip()],
            timeout=ClientWSTimeout(ws_close=_CLOSE_SECONDS),
            max_msg_size=0,
        )
    except ClientConnectorError as error:
        raise Unreached from error
    except WSServerHandshakeError as error:
        return _refused(call, error)
    except ClientError:
        return problems.problem(problems.BROKEN, call.request_id)
    async with upstream:
        return await _pass(call, upstream)


def _refused(call: Call, error: WSServerHandshakeError) -> web.StreamResponse:
    """Return the function's refusal, without its body, which the client library has dropped."""
    if error.status < HTTPStatus.MULTIPLE_CHOICES:
        return problems.problem(problems.NO_WEBSOCKET, call.request_id)
    said = CIMultiDict(error.headers or {})
    kept = forwarding.to_client(CIMultiDictProxy(said))
    for name in ("Content-Length", "Content-Type", "Content-Encoding"):
        kept.popall(name, None)
    kept[HEADER_REQUEST_ID] = call.request_id
    return web.Response(status=error.status, headers=kept)


async def _pass(call: Call, upstream: ClientWebSocketResponse) -> web.WebSocketResponse:
    chosen = (upstream.protocol,) if upstream.protocol else ()
    client = web.WebSocketResponse(
        protocols=chosen, compress=False, max_msg_size=0, timeout=_CLOSE_SECONDS
    )
    client.headers.update({**call.extra, HEADER_REQUEST_ID: call.request_id})
    await client.prepare(call.request)
    async with asyncio.TaskGroup() as legs:
        legs.create_task(_pump(client, upstream), name="websocket to function")
        legs.create_task(_pump(upstream, client), name="websocket to client")
    return client


async def _pump(source: _Socket, sink: _Socket) -> None:
    async for message in source:
        if sink.closed:
            break
        if message.type is WSMsgType.TEXT:
            await sink.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await sink.send_bytes(message.data)
    code = source.close_code or 1000
    await sink.close(code=code if code not in (1005, 1006) else 1000)
