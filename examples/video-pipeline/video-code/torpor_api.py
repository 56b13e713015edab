"""Torpor's own APIs, by the few calls that the pipeline makes: SQS, Step Functions, CloudEvents."""

import json
import os
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

NAMESPACE = os.environ["TORPOR_FUNCTION"].partition("/")[0]
_ANSWER_SECONDS = 10


class Refused(Exception):
    """An API refused a call; `code` is its word for why."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


def waiting_in(queue):
    """Return how many messages of a queue nobody is done with."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    asked = {"QueueUrl": f"{NAMESPACE}.{queue}", "AttributeNames": names}
    try:
        found = _aws("TORPOR_EVENTS", "AmazonSQS.GetQueueAttributes", asked)["Attributes"]
    except Refused as error:
        if "QueueDoesNotExist" in error.code or "NonExistentQueue" in error.code:
            return 0  # it is made by the first message
        raise
    return sum(int(found[name]) for name in names)


def start_execution(workflow, name, given, traceparent):
    """Start an execution, once for a name; return its ARN."""
    machine = _machine(f"{NAMESPACE}.{workflow}")
    asked = {"stateMachineArn": machine, "name": name, "input": json.dumps(given)}
    if traceparent:
        asked["traceHeader"] = traceparent
    try:
        return _states("StartExecution", asked)["executionArn"]
    except Refused as error:
        if error.code != "ExecutionAlreadyExists":
            raise
        return f"{machine.replace(':stateMachine:', ':execution:')}:{name}"


def execution(arn):
    """Return what DescribeExecution tells."""
    return _states("DescribeExecution", {"executionArn": arn})


def publish(bus, kind, event_id, data, traceparent):
    """Publish a CloudEvent; one with the same id counts once."""
    headers = {
        "Content-Type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": kind,
        "ce-source": f"/functions/{os.environ['TORPOR_FUNCTION']}",
    }
    if traceparent:
        headers["traceparent"] = traceparent
    path = f"/v1/namespaces/{NAMESPACE}/buses/{quote(bus)}/events"
    _post(os.environ["TORPOR_EVENTS"] + path, json.dumps(data).encode(), headers)


def _machine(name):
    asked = {}
    while True:
        page = _states("ListStateMachines", asked)
        for machine in page["stateMachines"]:
            if machine["name"] == name:
                return machine["stateMachineArn"]
        if not page.get("nextToken"):
            raise Refused("StateMachineDoesNotExist", name)
        asked = {"nextToken": page["nextToken"]}


def _states(action, asked):
    return _aws("TORPOR_WORKFLOWS", f"AWSStepFunctions.{action}", asked)


def _aws(variable, target, asked):
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
    return _post(os.environ[variable], json.dumps(asked).encode(), headers)


def _post(url, body, headers):
    if not url.startswith(("http://", "https://")):
        raise Refused("NotServed", f"no address of the API to call: {url!r}")
    try:
        request = Request(url, body, headers)  # noqa: S310 - checked above
        with urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310 - checked above
            return json.loads(answer.read() or b"{}")
    except HTTPError as error:
        raise _refused(error) from error


def _refused(error):
    text = error.read(4096).decode(errors="replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = {}
    code = str(told.get("__type") or error.code).rpartition("#")[2]
    return Refused(code, told.get("message") or text[:300])
