"""The error that a state ends with: an Error Name and a Cause, as Retry and Catch see it."""

from __future__ import annotations

RUNTIME = "States.Runtime"
QUERY_EVALUATION = "States.QueryEvaluationError"
TIMEOUT = "States.Timeout"
HEARTBEAT_TIMEOUT = "States.HeartbeatTimeout"
TASK_FAILED = "States.TaskFailed"
DATA_LIMIT = "States.DataLimitExceeded"
RESULT_PATH_MATCH = "States.ResultPathMatchFailure"
ITEM_READER_FAILED = "States.ItemReaderFailed"
RESULT_WRITER_FAILED = "States.ResultWriterFailed"
EXCEED_TOLERATED_FAILURES = "States.ExceedToleratedFailureThreshold"


class Fault(Exception):
    """A state's failure: `error` is the Error Name (ASL, "Errors"), `cause` a text for people.

    A cause about a state's own evaluation is written without the prefix that names the state and
    its event id ("An error occurred while executing the state ..."): the machine adds it, because
    an expression does not know where it stands. `location` is the field, such as
    `Arguments/Payload`, whose expression failed; None for any other failure.
    """

    def __init__(
        self, error: str | None, cause: str | None = None, location: str | None = None
    ) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause
        self.location = location
