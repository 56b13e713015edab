"""Names and ARNs of what a template makes, as they are here. Pure.

A name that the template gives is kept as far as Kubernetes can have it; else it is made of the
logical id: GetItemFunction is get-item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REGION = "us-east-1"
ACCOUNT = "000000000000"
_MOST = 52
_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHERS = re.compile(r"[^a-z0-9]+")
_SUFFIXES = ("-function", "-state-machine")
_FIFO = ".fifo"
NAME_PROPERTIES: Mapping[str, str] = {
    "AWS::Serverless::Function": "FunctionName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::Events::EventBus": "Name",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::Serverless::SimpleTable": "TableName",
    "AWS::Serverless::StateMachine": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
_KEPT = frozenset({"AWS::DynamoDB::Table", "AWS::Serverless::SimpleTable", "AWS::S3::Bucket"})
"""Their servers are not Kubernetes: a name is passed on as it is."""
_ARNS: Mapping[str, str] = {
    "AWS::Serverless::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{name}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{name}",
    "AWS::SNS::Topic": "sns:{region}:{account}:{name}",
    "AWS::S3::Bucket": "s3:::{bare}",
    "AWS::Events::EventBus": "events:{region}:{account}:event-bus/{name}",
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{bare}",
    "AWS::Serverless::SimpleTable": "dynamodb:{region}:{account}:table/{bare}",
    "AWS::Serverless::StateMachine": "states:{region}:{account}:stateMachine:{name}",
    "AWS::StepFunctions::StateMachine": "states:{region}:{account}:stateMachine:{name}",
}


def kubernetes_name(text: str) -> str:
    """Return a text as a name that an object, a queue or a bus can have."""
    fifo = _FIFO if text.endswith(_FIFO) else ""
    words = _OTHERS.sub("-", _BORDER.sub("-", text.removesuffix(_FIFO)).lower()).strip("-")
    for suffix in _SUFFIXES:
        words = words.removesuffix(suffix) or words
    words = words if words[:1].isalpha() else f"x-{words}".rstrip("-")
    return words[:_MOST].rstrip("-") + fifo


@dataclass(frozen=True, slots=True)
class Named:
    """A resource's name here; `namespace` is empty for that of whoever applies it."""

    type: str
    name: str
    namespace: str = ""

    @property
    def spoken(self) -> str:
        """The name as AWS's clients say it: with the namespace where that is not the default."""
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    @property
    def arn(self) -> str | None:
        """The ARN; None for what has none here."""
        form = _ARNS.get(self.type)
        if form is None:
            return None
        text = form.format(region=REGION, account=ACCOUNT, name=self.spoken, bare=self.name)
        return f"arn:aws:{text}"

    def reference(self, events_url: str) -> str:
        """Return what Ref gives: a queue's URL, an ARN, or the name."""
        if self.type == "AWS::SQS::Queue":
            return f"{events_url}/{ACCOUNT}/{self.spoken}"
        if self.type in ("AWS::SNS::Topic", "AWS::Serverless::StateMachine"):
            return self.arn or self.name
        if self.type == "AWS::StepFunctions::StateMachine":
            return self.arn or self.name
        return self.name


def named(logical_id: str, type_: str, given: Any, namespace: str) -> Named:
    """Return how a resource is called; `given` is the name that the template asks for, if any."""
    text = given if isinstance(given, str) and given else logical_id
    if type_ in _KEPT:
        bare = text if text == given else kubernetes_name(text)
        return Named(type_, bare, namespace)
    return Named(type_, kubernetes_name(text), namespace)


def name_in(arn: str) -> str:
    """Return the name at the end of an ARN or a URL, without its namespace."""
    last = re.split(r"[:/]", arn)[-1]
    plain = last.removesuffix(_FIFO)
    return kubernetes_name(plain.rpartition(".")[2] + last[len(plain) :])
