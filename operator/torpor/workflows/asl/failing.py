"""How a state fails: it is tried again, the failure is caught, or it rises to the state around."""

from __future__ import annotations

from torpor.workflows.asl import fault
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Phase, Status
from torpor.workflows.asl.jsonpath import write_reference
from torpor.workflows.asl.program import Map, Parallel, State, Working
from torpor.workflows.asl.recovery import Catcher, error_output, find_catcher, find_retrier
from torpor.workflows.asl.run import Ended, Run, present
from torpor.workflows.asl.scope import QueryLanguage
from torpor.workflows.asl.transition import assigned, leave


def fail(run: Run, frame: Frame, failure: Fault) -> None:
    """A state failed: retry it, catch it, or let the failure rise.

    Raises `Fault` when the Catch itself fails; what follows from that is `rise`.
    """
    state = run.state_of(frame)
    if not isinstance(state, Working):
        rise(run, frame, failure)
        return
    if _retried(run, frame, state, failure):
        return
    if isinstance(state, Parallel | Map) and failure.error != fault.RUNTIME:
        run.event(frame, f"{state.kind}StateFailed", {})
    catcher = find_catcher(state.catchers, failure)
    if catcher is None:
        rise(run, frame, failure)
    else:
        _catch(run, frame, state, catcher, failure)


def rise(run: Run, frame: Frame, failure: Fault) -> None:
    """Nothing in this state handles the failure: it is that of the state around."""
    if frame.parent is not None:
        run.ended = Ended(frame, failure)
        return
    details = present(error=failure.error, cause=failure.cause)
    run.event(frame, "ExecutionFailed", details)
    run.end(Status.FAILED, None, failure.error, failure.cause)


def _retried(run: Run, frame: Frame, state: Working, failure: Fault) -> bool:
    """Schedule the next attempt if a retrier allows one."""
    index = find_retrier(state.retriers, failure)
    if index is None:
        return False
    retrier, done = state.retriers[index], frame.retries.get(index, 0)
    if done >= retrier.max_attempts:
        return False
    delay = retrier.delay(done, run.outside.random() if retrier.full_jitter else 0.0)
    run.prune(frame)
    frame.retries[index] = done + 1
    frame.retry_count += 1
    run.wait(frame, Phase.RETRY, run.now + delay)
    return True


def _catch(run: Run, frame: Frame, state: Working, catcher: Catcher, failure: Fault) -> None:
    caught, raw = error_output(failure), frame.input.value
    scope = run.scope(frame, state, error=caught)
    if state.language is QueryLanguage.JSONATA:
        output = caught if catcher.output is None else catcher.output.evaluate(scope, raw)
        variables = assigned(catcher.assign, scope, raw)
    else:
        path = catcher.result_path
        output = raw if path is None else write_reference(path, raw, caught)
        variables = assigned(catcher.assign, scope, caught)
    run.prune(frame)
    leave(run, frame, state, output, variables, catcher.next)


def evaluation_failed(run: Run, frame: Frame, state: State, failure: Fault) -> Fault:
    """The failure of a state's own expressions, named and recorded as AWS does."""
    if failure.error in (fault.TIMEOUT, fault.DATA_LIMIT):
        return failure
    place = (
        f"An error occurred while executing the state '{state.name}' "
        f"(entered at the event id #{frame.entered_event}). "
    )
    named = Fault(failure.error, place + (failure.cause or ""))
    if failure.error == fault.QUERY_EVALUATION:
        details = present(
            error=named.error, cause=named.cause, location=failure.location, state=state.name
        )
        run.event(frame, "EvaluationFailed", details)
    return named
