"""InvokeWithResponseStream: what the function answers is passed on part by part."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from aiohttp import web

from torpor.gateway.lambda_api import errors, eventstream, results
from torpor.gateway.lambda_api.calls import QUEUE_SECONDS, Call
from torpor.gateway.lambda_api.memory import Room, read_answer
from torpor.gateway.lambda_api.names import LATEST
from torpor.gateway.lambda_api.results import Asked, Result
from torpor.gateway.terms import Terms
from torpor.invoke import Answer, AnswerTooLong, GatewayAway, Invoker, InvokeTimeout, Response
from torpor.resources.names import HEADER_REQUEST_ID

LONGEST_SECONDS = 3600.0
"""How long an answer may go on after the function's time; silence within it ends it earlier."""


class Streaming:
    """Passes answers on; `request` is the caller's, whose answer begins with the function's."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker

    async def answer(
        self, request: web.Request, call: Call, terms: Terms, asked: Asked, room: Room
    ) -> web.StreamResponse:
        """Return the answer, all of it sent; Refused if the function did not get the call."""
        response: web.StreamResponse | None = None
        try:
            async with self._opened(call, terms) as answer:
                if not results.is_plain(answer):
                    return await _at_once(request, call, await _failure(answer, asked, room))
                response = await _begun(request, call)
                async for part in answer.parts():
                    await response.write(eventstream.chunk(part))
            await response.write_eof(eventstream.complete({}))
            return response
        except (GatewayAway, InvokeTimeout) as error:
            if response is None:
                raise errors.unserved(str(error)) from error
            told = {"ErrorCode": "Function.ResponseCut", "ErrorDetails": str(error)}
            with suppress(ConnectionResetError):  # the caller left: nobody is there to tell
                await response.write_eof(eventstream.complete(told))
            return response

    @asynccontextmanager
    async def _opened(self, call: Call, terms: Terms) -> AsyncIterator[Answer]:
        seconds = terms.hold_seconds + terms.timeout_seconds + QUEUE_SECONDS + LONGEST_SECONDS
        headers = {**call.headers, HEADER_REQUEST_ID: call.request_id}
        opened = self._invoker.stream(call.function, "POST", "/", headers, call.payload, seconds)
        async with opened as answer:
            yield answer


async def _failure(answer: Answer, asked: Asked, room: Room) -> Result:
    try:
        body = await read_answer(answer, room)
    except AnswerTooLong:
        return results.too_long()
    return results.result_of(
        Response(answer.status, answer.headers, body, answer.request_id), asked
    )


async def _at_once(request: web.Request, call: Call, result: Result) -> web.StreamResponse:
    response = await _begun(request, call)
    details = result.payload.decode(errors="replace")
    last = {"ErrorCode": results.error_type(result), "ErrorDetails": details}
    await response.write_eof(eventstream.complete(last))
    return response


async def _begun(request: web.Request, call: Call) -> web.StreamResponse:
    response = web.StreamResponse(
        status=HTTPStatus.OK,
        headers={
            "Content-Type": eventstream.CONTENT_TYPE,
            "X-Amz-Executed-Version": LATEST,
            "x-amzn-RequestId": call.request_id,
        },
    )
    response.force_close()  # see LARGE_BYTES: how long it gets is not known
    await response.prepare(request)
    return response
