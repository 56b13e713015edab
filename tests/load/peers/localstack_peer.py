"""LocalStack's Step Functions interpreter, parser and evaluation in this process, no server.

Runs in a Python environment of its own. Reads a JSON command a line and answers with a JSON line:
`{"definition": …, "input": …, "seconds": …}` -> `{"wall": …, "cpu": …}`, transitions a second of
each kind of time. A definition is parsed once, outside the measured time.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from typing import Any

from localstack.services.stepfunctions.asl.eval.environment import (  # type: ignore[import-not-found]
    Environment,
)
from localstack.services.stepfunctions.asl.eval.evaluation_details import (  # type: ignore[import-not-found]
    AWSExecutionDetails,
)
from localstack.services.stepfunctions.asl.eval.event.event_manager import (  # type: ignore[import-not-found]
    EventHistoryContext,
)
from localstack.services.stepfunctions.asl.eval.program_state import (  # type: ignore[import-not-found]
    ProgramEnded,
)
from localstack.services.stepfunctions.asl.parse.asl_parser import (  # type: ignore[import-not-found]
    AmazonStateLanguageParser,
)

ROLE = "arn:aws:iam::111111111111:role/r"


def environment(argument: Any) -> Any:
    execution = {
        "Id": "arn:e",
        "Input": argument,
        "Name": "e",
        "RoleArn": ROLE,
        "StartTime": "2026-01-01T00:00:00.000Z",
    }
    return Environment(
        aws_execution_details=AWSExecutionDetails("111111111111", "us-east-1", ROLE),
        execution_type="STANDARD",
        context={"Execution": execution, "StateMachine": {"Id": "arn:m", "Name": "m"}},
        event_history_context=EventHistoryContext.of_program_start(),
        cloud_watch_logging_session=None,
        activity_store={},
    )


def run_once(program: Any, argument: Any) -> int:
    """One execution; returns how many states it entered."""
    world = environment(argument)
    program.eval(world)
    state = world.program_state()
    assert isinstance(state, ProgramEnded), state
    events = world.event_manager.get_event_history()
    return sum(event["type"].endswith("StateEntered") for event in events)


def rates(definition: Any, argument: Any, seconds: float) -> dict[str, float]:
    program = AmazonStateLanguageParser.parse(json.dumps(definition))[0]
    run_once(program, argument)
    entered, begun, begun_cpu = 0, time.perf_counter(), time.process_time()
    while (taken := time.perf_counter() - begun) < seconds:
        entered += run_once(program, argument)
    return {"wall": entered / taken, "cpu": entered / (time.process_time() - begun_cpu)}


def main() -> None:
    print(json.dumps({"python": platform.python_version()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        found = rates(asked["definition"], asked["input"], asked["seconds"])
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
