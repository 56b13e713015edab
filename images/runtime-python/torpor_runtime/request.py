"""One request: the handler runs in its turn, and is answered for when the time is up first."""

from __future__ import annotations

import os
import time

from torpor_runtime import logs, wire
from torpor_runtime.answer import Answer, problem
from torpor_runtime.event import Context, Event
from torpor_runtime.executions import Turn
from torpor_runtime.payload import BadPayload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torpor_runtime.answer import Stream
    from torpor_runtime.connection import Connection
    from torpor_runtime.parts import Parts
    from torpor_runtime.server import Server
    from torpor_runtime.tail import Tail

_NO_BODY = (204, 304)
_OURS = ("connection", "transfer-encoding", "content-length")
_A_WAIT_SECONDS = 0.001


def render(answer: Answer, connection: str = "", *, body_wanted: bool = True) -> bytes:
    """Return an answer with a whole body as bytes; `connection` is that field's value."""
    assert isinstance(answer.body, bytes)
    headers = _fields(answer, connection)
    if answer.status in _NO_BODY:
        return wire.render_head(answer.status, headers)
    headers.append(("Content-Length", str(len(answer.body))))
    return wire.render_head(answer.status, headers) + (answer.body if body_wanted else b"")


def request_id_of(head: wire.Head | None) -> str:
    """Return the id that the request came with, or else a new one."""
    return (head.headers.get("x-request-id") if head else None) or os.urandom(16).hex()


def _fields(answer: Answer, connection: str) -> list[tuple[str, str]]:
    headers = [(name, value) for name, value in answer.headers if name.lower() not in _OURS]
    return [*headers, ("Connection", connection)] if connection else headers


class Request:
    """Answers one request on its connection."""

    def __init__(self, head: wire.Head, connection: Connection, server: Server) -> None:
        self._head = head
        self._connection = connection
        self._server = server
        self._executions = server.executions
        self._begun = False
        self._parts: Parts | None = None
        self._tail: Tail | None = None
        self._proof = head.headers.pop("torpor-detail", "")  # not for the handler to see
        self._error = ""
        self._place = server.spans.begin(head.headers) if server.spans else None
        trace = head.headers.get("traceparent", "").split("-")
        self._context = Context(
            function=server.function,
            request_id=request_id_of(head),
            trace_id=trace[1] if len(trace) == 4 else os.urandom(16).hex(),
            deadline=time.monotonic() + server.limits.timeout_seconds,
        )

    def answer(self, body: bytes) -> bool:
        """Answer it; return whether the connection goes on."""
        context, head = self._context, self._head
        logs.request_fields.set({"requestId": context.request_id, "traceId": context.trace_id})
        self._tail = self._wanted_tail()
        self._turn = Turn(context.deadline, self._overtaken)
        arrived = time.monotonic()
        if not self._executions.enter(self._turn):
            return False
        try:
            if time.monotonic() - arrived >= _A_WAIT_SECONDS and self._connection.has_left:
                return False
            answer = self._called(Event(head.method, head.target, head.headers, body))
            if self._parts:
                return self._send_stream(answer, self._parts)
        finally:
            wanted = self._executions.leave(self._turn)
        if not wanted:
            return False
        self._tell_log(answer)
        whole = render(answer, self._closing(), body_wanted=head.method != "HEAD")
        try:
            self._connection.send(whole)
        finally:
            self._tell_span(answer.status)
        return not self._closing()

    def _called(self, event: Event) -> Answer:
        try:
            given, context, answer_of = self._server.payload(event, self._context, self._is_proven)
            answer = answer_of(self._server.caller.call(given, context, self._turn))
            if not isinstance(answer.body, bytes):
                self._begin(answer, answer.body)
            return answer
        except BadPayload as error:
            return problem(400, str(error), self._context.request_id)
        except BaseException as error:  # also SystemExit: it ends this request, not the instance
            self._log("the handler failed", error)
            self._error = type(error).__name__
            members = self._told(error)
        if self._parts:
            self._parts.drop()
            self._parts = None
        detail = "the function failed; its log has the reason under this request id"
        return problem(500, detail, self._context.request_id, **members)

    def _told(self, error: BaseException) -> dict[str, str | list[str]]:
        """Return what of an error this caller may know."""
        members: dict[str, str | list[str]] = {"errorType": type(error).__name__}
        if self._is_proven():
            from torpor_runtime.failure import details_of

            members.update(details_of(error))
        return members

    def _is_proven(self) -> bool:
        """Return whether the caller belongs to the installation."""
        if not self._proof:
            return False
        from torpor_runtime.proof import proves

        return proves(self._proof, self._server.detail_token)

    def _wanted_tail(self) -> Tail | None:
        """Return where the end of the log is kept, if this caller may see it and asks for it."""
        if self._head.headers.get("x-amz-log-type") != "Tail" or not self._is_proven():
            return None
        from torpor_runtime.tail import begin

        return begin()

    def _tell_log(self, answer: Answer) -> None:
        if self._tail:
            answer.headers.append(self._tail.field(answer.headers))

    def _tell_span(self, status: int) -> None:
        """Tell of the request once: who overtook it has done so."""
        place, self._place = self._place, None
        if place and self._server.spans:
            self._server.spans.end(place, self._context.request_id, status, self._error)

    def _begin(self, answer: Answer, stream: Stream) -> None:
        """Fetch the stream's first part, so that what fails before it is no 200 that is cut off."""
        from torpor_runtime.parts import Parts

        pieces = self._server.caller.pieces(stream, self._turn)
        self._parts = Parts(pieces, self._turn, self._executions, self._log)
        if self._wants_body(answer):
            self._parts.begin()

    def _wants_body(self, answer: Answer) -> bool:
        return answer.status not in _NO_BODY and self._head.method != "HEAD"

    def _send_stream(self, answer: Answer, parts: Parts) -> bool:
        try:
            if not self._executions.pause(self._turn):
                return False
            self._begun = True
            return self._sent(answer, parts)
        finally:
            self._tell_span(answer.status)
            parts.close()

    def _sent(self, answer: Answer, parts: Parts) -> bool:
        from torpor_runtime.parts import Broken

        chunked = self._head.version == "HTTP/1.1"
        closing = self._closing() or ("" if chunked else "close")
        headers = _fields(answer, closing)
        if chunked and answer.status not in _NO_BODY:
            headers.append(("Transfer-Encoding", "chunked"))
        self._connection.send(wire.render_head(answer.status, headers))
        if not self._wants_body(answer):
            return not closing
        try:
            for data in parts:
                self._connection.send(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
        except Broken:
            self._error = self._error or "stream"
            self._connection.abort()
            return False
        if chunked:
            self._connection.send(b"0\r\n\r\n")
        return not closing

    def _overtaken(self) -> None:
        """Answer instead of the handler: the time is up."""
        limits = self._server.limits
        self._error = "timeout" if self._turn.runs else "unavailable"
        if self._begun:
            message = f"the stream was silent for {limits.timeout_seconds:g} s and is cut"
            logs.write_line("error", message, **(self._turn.fields or {}))
            self._connection.cut(b"")
            self._tell_span(200)
            return
        if self._turn.runs:
            reason = f"the function did not answer in {limits.timeout_seconds:g} s"
            status, detail = 504, "The function did not answer in time."  # as a gateway says it
        else:
            reason = f"this instance's {limits.concurrency} executions are all taken"
            status, detail = 503, reason
        logs.write_line("error", reason, **(self._turn.fields or {}))
        answer = problem(status, detail, self._context.request_id)
        self._tell_log(answer)
        self._tell_span(status)
        self._connection.cut(render(answer, "close", body_wanted=self._head.method != "HEAD"))

    def _closing(self) -> str:
        return "close" if self._server.is_ending or not self._head.keep_alive else ""

    def _log(self, message: str, error: BaseException) -> None:
        if self._turn.is_late and type(error).__name__ == "CancelledError":
            return  # that was us, and the time-out is logged
        logs.write_failure(message, error)
