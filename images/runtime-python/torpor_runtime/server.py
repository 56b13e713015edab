"""Connections, requests one after another on each, and an orderly end on SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from torpor_runtime import logs, wire
from torpor_runtime.answer import Answer, answer_of, chunk_of, problem
from torpor_runtime.call import Caller
from torpor_runtime.event import Context, Event
from torpor_runtime.load import Handler

log = logging.getLogger("torpor")
_IDLE_SECONDS = 75.0  # longer than any gateway keeps an idle connection, so that none is cut in use
_BODY_SECONDS = 60.0
_NO_BODY = (204, 304)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take."""

    timeout_seconds: float = 30.0
    body_bytes: int = 32 * 1024 * 1024
    threads: int = 32

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Limits:
        """Return the limits in TORPOR_TIMEOUT_SECONDS, _MAX_BODY_BYTES and _THREADS."""
        return cls(
            float(environment.get("TORPOR_TIMEOUT_SECONDS", cls().timeout_seconds)),
            int(environment.get("TORPOR_MAX_BODY_BYTES", cls().body_bytes)),
            int(environment.get("TORPOR_THREADS", cls().threads)),
        )


def serve(handler: Handler, listener: socket.socket) -> int:
    """Serve until SIGTERM, SIGINT or the end of the lifeline; return the exit status 0."""
    logs.configure()
    limits = Limits.of(os.environ)
    caller = Caller(handler, limits.threads)
    asyncio.run(Server(caller, limits).run(listener))
    caller.end()
    return 0


class Server:
    """Serves one handler on one listening socket."""

    def __init__(self, caller: Caller, limits: Limits) -> None:
        self._caller = caller
        self._limits = limits
        self._function = os.environ.get("TORPOR_FUNCTION", "")
        self._ending = asyncio.Event()
        self._open: set[asyncio.Task[None]] = set()
        self._idle: set[asyncio.StreamWriter] = set()

    async def run(self, listener: socket.socket) -> None:
        """Accept until asked to end, then let the requests that run finish."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ending.set)
        if os.environ.get("TORPOR_LIFELINE") == "stdin":
            loop.add_reader(0, self._on_lifeline)
        server = await asyncio.start_server(
            self._connected, sock=listener, limit=wire.MAX_HEAD_BYTES
        )
        await self._ending.wait()
        server.close()
        for writer in self._idle:
            writer.close()
        if self._open:
            await asyncio.wait(self._open, timeout=self._limits.timeout_seconds + 1)

    def _on_lifeline(self) -> None:
        if not os.read(0, 1024):
            asyncio.get_running_loop().remove_reader(0)
            self._ending.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._requests(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            pass  # the client left or fell silent: nobody is there to be told
        finally:
            self._open.discard(task)
            self._idle.discard(writer)
            writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self._ending.is_set():
            try:
                self._idle.add(writer)
                async with asyncio.timeout(_IDLE_SECONDS):
                    head = await wire.read_head(reader)
                self._idle.discard(writer)
                if head is None:
                    return
                body = await self._body(reader, writer, head)
            except wire.Refusal as refusal:
                answer = problem(refusal.status, "the request is refused", refusal.detail, "")
                await self._send(writer, answer, closing=True, body_wanted=True)
                return
            if not await self._one(writer, head, body):
                return

    async def _body(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: wire.Head
    ) -> bytes:
        if head.expects_continue and (head.length or 0) <= self._limits.body_bytes:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        async with asyncio.timeout(_BODY_SECONDS):
            return await wire.read_body(reader, head, self._limits.body_bytes)

    async def _one(self, writer: asyncio.StreamWriter, head: wire.Head, body: bytes) -> bool:
        """Answer one request; return whether the connection goes on."""
        context = self._context(head)
        logs.request_fields.set({"requestId": context.request_id, "traceId": context.trace_id})
        answer = await self._answer(Event(head.method, head.target, head.headers, body), context)
        closing = self._ending.is_set() or not head.keep_alive
        streamed = not isinstance(answer.body, bytes)
        if streamed and head.version == "HTTP/1.0":
            closing = True
        whole = await self._send(
            writer,
            answer,
            closing=closing,
            body_wanted=head.method != "HEAD",
            chunked=head.version == "HTTP/1.1",
        )
        return whole and not closing

    def _context(self, head: wire.Head) -> Context:
        trace = head.headers.get("traceparent", "").split("-")
        return Context(
            function=self._function,
            request_id=head.headers.get("x-request-id") or secrets.token_hex(16),
            trace_id=trace[1] if len(trace) == 4 else secrets.token_hex(16),
            deadline=time.monotonic() + self._limits.timeout_seconds,
        )

    async def _answer(self, event: Event, context: Context) -> Answer:
        limit = asyncio.timeout(self._limits.timeout_seconds)
        try:
            async with limit:
                return answer_of(await self._caller.call(event, context))
        except Exception:
            log.exception("the handler failed")
        if limit.expired():
            detail = f"the function did not answer in {self._limits.timeout_seconds:g} s"
            return problem(504, "Gateway Timeout", detail, context.request_id)
        detail = "the function failed; its log has the reason under this request id"
        return problem(500, "Internal Server Error", detail, context.request_id)

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        answer: Answer,
        *,
        closing: bool,
        body_wanted: bool,
        chunked: bool = True,
    ) -> bool:
        headers = [
            (name, value)
            for name, value in answer.headers
            if name.lower() not in ("connection", "transfer-encoding", "content-length")
        ]
        if closing:
            headers.append(("Connection", "close"))
        if isinstance(answer.body, bytes):
            if answer.status not in _NO_BODY:
                headers.append(("Content-Length", str(len(answer.body))))
            sendable = body_wanted and answer.status not in _NO_BODY
            writer.write(
                wire.render_head(answer.status, headers) + (answer.body if sendable else b"")
            )
            await writer.drain()
            return True
        if chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        writer.write(wire.render_head(answer.status, headers))
        return await self._stream(writer, answer, body_wanted=body_wanted, chunked=chunked)

    async def _stream(
        self, writer: asyncio.StreamWriter, answer: Answer, *, body_wanted: bool, chunked: bool
    ) -> bool:
        assert not isinstance(answer.body, bytes)
        pieces = self._caller.pieces(answer.body)
        try:
            while body_wanted:
                async with asyncio.timeout(self._limits.timeout_seconds):
                    item = await anext(pieces, None)
                if item is None:
                    break
                if data := chunk_of(item):
                    writer.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
                    await writer.drain()
        except ConnectionError:
            return False
        except Exception:
            log.exception("the stream failed; the connection is cut so that the client notices")
            writer.transport.abort()
            return False
        finally:
            await pieces.aclose()
        if body_wanted and chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
