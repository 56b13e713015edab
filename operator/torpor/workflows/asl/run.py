"""One step of an execution: the moves that every kind of state is made of.

A `Run` lives as long as one call of `advance`. State bodies (`states`, `task`, `fanout`) call its
moves: record an event, finish a state, fail, leave. It holds no clock and does no I/O.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from torpor.workflows.asl import fault
from torpor.workflows.asl.events import Cancel, End, HistoryEvent, Step
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Frontier, Phase, Status
from torpor.workflows.asl.jsonpath import write_reference
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Program, State, Working
from torpor.workflows.asl.recovery import Catcher, error_output, find_catcher, find_retrier
from torpor.workflows.asl.scope import ABSENT, Entropy, Json, QueryLanguage, Scope
from torpor.workflows.asl.template import Template


class Outside(Entropy, Protocol):
    """What a step needs from outside: the time, randomness, and signed task tokens."""

    def task_token(self, frame: int, ticket: int) -> str:
        """The token that SendTask… calls name this wait of this execution by."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas of a program's executions; None: no limit. Sizes in bytes of UTF-8 JSON text."""

    payload_bytes: int | None = None


class Run:
    """The moves of one step. `ready` holds the frames that can go on at once."""

    __slots__ = ("frontier", "limits", "now", "outside", "program", "ready", "step")

    def __init__(
        self, program: Program, frontier: Frontier, outside: Outside, limits: Limits
    ) -> None:
        self.program = program
        self.frontier = frontier
        self.outside = outside
        self.limits = limits
        self.now = outside.now()
        self.ready: deque[Frame] = deque()
        self.step = Step([], [])

    def state_of(self, frame: Frame) -> State:
        """The state that a frame is in."""
        return self.program.blocks[frame.block].states[frame.state]

    def event(self, frame: Frame, type: str, details: dict[str, Any]) -> int:
        """Record a history event that follows the frame's last one; its id becomes the last."""
        id = self.aside(frame, type, details)
        frame.last_event = id
        return id

    def aside(self, frame: Frame, type: str, details: dict[str, Any]) -> int:
        """Record a history event without moving the frame's place in the history."""
        log = frame.log
        id = log.next_id
        log.next_id = id + 1
        self.frontier.touched.add(log.owner)
        self.step.history.append(
            HistoryEvent(id, frame.last_event, type, self.now, details, log.scope)
        )
        return id

    def wait(self, frame: Frame, phase: Phase, due: float | None) -> int:
        """Let a frame wait; returns the ticket that ends this wait."""
        ticket = self.ticket(frame)
        frame.phase = phase
        frame.due = due
        return ticket

    def ticket(self, frame: Frame) -> int:
        """A new ticket for a frame: whatever carries an older one is out of date."""
        ticket = frame.ticket = self.frontier.next_ticket
        self.frontier.next_ticket = ticket + 1
        self.frontier.touched.add(frame.id)
        return ticket

    def scope(
        self,
        frame: Frame,
        state: State,
        result: Json = ABSENT,
        error: Json = ABSENT,
        extra: Mapping[str, Json] | None = None,
    ) -> Scope:
        """What the state's expressions see; `extra` adds members to the context object."""
        context = self.context(frame, state, extra) if state.uses_context else {}
        return Scope(
            frame.input.value, context, frame.scope_variables(), self.outside, result, error
        )

    def context(
        self, frame: Frame, state: State, extra: Mapping[str, Json] | None
    ) -> dict[str, Json]:
        """The context object (ASL, "The Context Object"), with AWS's members."""
        identity = self.frontier.identity
        place: dict[str, Json] = {"Name": state.name, "EnteredTime": instant(frame.entered_at)}
        if isinstance(state, Working):
            place["RetryCount"] = frame.retry_count
        context: dict[str, Json] = {
            "Execution": {
                "Id": identity.execution_arn,
                "Input": identity.input.value,
                "StartTime": instant(identity.started_at),
                "Name": identity.name,
                "RoleArn": identity.role_arn,
                "RedriveCount": self.frontier.redrive_count,
            },
            "StateMachine": {"Id": identity.machine_arn, "Name": identity.machine_name},
            "State": place,
        }
        if frame.item is not None:
            index, value = frame.item
            context["Map"] = {"Item": {"Index": index, "Value": value}}
        if extra:
            context.update(extra)
        return context

    def finish(self, frame: Frame, state: State, scope: Scope, result: Json) -> None:
        """End a state's body: merge its result into the output, assign, and go on."""
        raw = frame.input.value
        if state.language is QueryLanguage.JSONATA:
            ending = Scope(raw, scope.context, scope.variables, scope.entropy, result)
            output = result if state.output is None else state.output.evaluate(ending, raw)
            self.leave(frame, state, output, self.assigned(state.assign, ending, raw))
            return
        assigned = self.assigned(state.assign, scope, result)
        output = result
        path = getattr(state, "result_path", "$")
        if path != "$":
            output = raw if path is None else write_reference(path, raw, result)
        self.leave(frame, state, self.put_out(state, scope, output), assigned)

    def put_out(self, state: State, scope: Scope, output: Json) -> Json:
        """The part of the output that OutputPath selects."""
        path = state.output_path
        return output if path is None else path.read(scope, output)

    def assigned(self, assign: Template | None, scope: Scope, data: Json) -> dict[str, Json] | None:
        """The variables that a state or rule assigns, None for none."""
        if assign is None:
            return None
        values: dict[str, Json] = assign.evaluate(scope, data)
        return values

    def leave(
        self,
        frame: Frame,
        state: State,
        output: Json,
        assigned: dict[str, Json] | None,
        next: str | None = None,
    ) -> None:
        """Exit a state: to the next one, or out of the block."""
        payload = frame.input if output is frame.input.value else Payload(output)
        self.check_size(payload, state.name)
        details: dict[str, Any] = {"name": state.name, "output": payload}
        if assigned:
            details["assignedVariables"] = assigned
            frame.assign(assigned)
        self.event(frame, _EXITED[state.kind], details)
        frame.join = None
        frame.argument = None
        frame.due = None
        self.frontier.touched.add(frame.id)
        target = next or state.next
        if target is None:
            self.end_block(frame, payload)
            return
        frame.state = target
        frame.input = payload
        frame.phase = Phase.READY
        self.ready.appendleft(frame)

    def check_size(self, payload: Payload, name: str) -> None:
        """Fail with States.DataLimitExceeded when a payload is over the quota."""
        limit = self.limits.payload_bytes
        if limit is not None and len(payload.text.encode()) > limit:
            cause = (
                f"The state/task '{name}' returned a result with a size exceeding the maximum "
                "number of bytes service limit."
            )
            raise Fault(fault.DATA_LIMIT, cause)

    def end_block(self, frame: Frame, output: Payload) -> None:
        """A block ran to its end: the execution's, a branch's, or an iteration's."""
        if frame.parent is None:
            self.event(frame, "ExecutionSucceeded", {"output": output})
            self.remove(frame)
            self.end(Status.SUCCEEDED, output, None, None)
            return
        from torpor.workflows.asl.fanout import child_succeeded

        child_succeeded(self, self.frontier.frames[frame.parent], frame, output)

    def end(
        self, status: Status, output: Payload | None, error: str | None, cause: str | None
    ) -> None:
        """End the execution: nothing runs or waits any more.

        The frames of an execution that did not succeed stay, for a redrive.
        """
        frontier = self.frontier
        frontier.status, frontier.output = status, output
        frontier.error, frontier.cause = error, cause
        self.ready.clear()
        for frame in frontier.frames.values():
            self.halt(frame)
        self.step.effects.append(End(status, output, error, cause))

    def halt(self, frame: Frame) -> None:
        """Stop whatever a frame waits for, so that only a redrive sets it going again."""
        if frame.phase in (Phase.TASK, Phase.TOKEN):
            self.step.effects.append(Cancel(frame.id, frame.ticket))
        if frame.phase in (Phase.JOIN, Phase.READY):
            return
        self.wait(frame, Phase.RETRY, None)

    def remove(self, frame: Frame) -> None:
        """Take a frame out of the frontier."""
        del self.frontier.frames[frame.id]
        self.frontier.touched.add(frame.id)

    def prune(self, frame: Frame) -> None:
        """Remove everything below a frame, cancelling what runs there."""
        frame.join = None
        for child in list(self.frontier.children(frame.id)):
            self.prune(child)
            if child.phase in (Phase.TASK, Phase.TOKEN):
                self.step.effects.append(Cancel(child.id, child.ticket))
            if child in self.ready:
                self.ready.remove(child)
            self.remove(child)

    def fail(self, frame: Frame, failure: Fault) -> None:
        """A state failed: retry it, catch it, or let the failure rise to the state around it."""
        from torpor.workflows.asl.fanout import fail_around

        node: Frame | None = frame
        while node is not None:
            state = self.state_of(node)
            if isinstance(state, Working) and self._retry(node, state, failure):
                return
            if node.join is not None and failure.error != fault.RUNTIME:
                self.event(node, f"{state.kind}StateFailed", {})
            if isinstance(state, Working):
                catcher = find_catcher(state.catchers, failure)
                if catcher is not None:
                    self._catch(node, state, catcher, failure)
                    return
            if node.parent is None:
                self.event(node, "ExecutionFailed", _details(failure))
                self.end(Status.FAILED, None, failure.error, failure.cause)
                return
            node = fail_around(self, self.frontier.frames[node.parent], node, failure)

    def _retry(self, frame: Frame, state: Working, failure: Fault) -> bool:
        """Schedule the next attempt when a retrier allows one."""
        index = find_retrier(state.retriers, failure)
        if index is None:
            return False
        retrier, done = state.retriers[index], frame.retries.get(index, 0)
        if done >= retrier.max_attempts:
            return False
        delay = retrier.delay(done, self.outside.random() if retrier.full_jitter else 0.0)
        self.prune(frame)
        frame.retries[index] = done + 1
        frame.retry_count += 1
        self.wait(frame, Phase.RETRY, self.now + delay)
        return True

    def _catch(self, frame: Frame, state: Working, catcher: Catcher, failure: Fault) -> None:
        self.prune(frame)
        caught, raw = error_output(failure), frame.input.value
        scope = self.scope(frame, state, error=caught)
        if state.language is QueryLanguage.JSONATA:
            output = caught if catcher.output is None else catcher.output.evaluate(scope, raw)
            assigned = self.assigned(catcher.assign, scope, raw)
        else:
            path = catcher.result_path
            output = raw if path is None else write_reference(path, raw, caught)
            assigned = self.assigned(catcher.assign, scope, caught)
        self.leave(frame, state, output, assigned, catcher.next)

    def evaluation_failed(self, frame: Frame, state: State, failure: Fault) -> Fault:
        """The failure of a state's own expressions, named and recorded as AWS does."""
        if failure.error in (fault.TIMEOUT, fault.DATA_LIMIT):
            return failure
        prefix = (
            f"An error occurred while executing the state '{state.name}' "
            f"(entered at the event id #{frame.entered_event}). "
        )
        named = Fault(failure.error, prefix + (failure.cause or ""))
        if failure.error == fault.QUERY_EVALUATION:
            details = {**_details(named), "state": state.name}
            self.event(frame, "EvaluationFailed", details)
            if state.kind in ("Map", "Parallel"):
                self.event(frame, f"{state.kind}StateFailed", {})
        return named


def _details(failure: Fault) -> dict[str, Any]:
    details = {"error": failure.error, "cause": failure.cause}
    return {name: value for name, value in details.items() if value is not None}


def instant(seconds: float) -> str:
    """A time as AWS prints it in the context object: ISO 8601 in UTC with milliseconds."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_EXITED = {
    kind: f"{kind}StateExited"
    for kind in ("Task", "Parallel", "Map", "Pass", "Wait", "Choice", "Succeed")
}
