"""What is told of resources for which no object is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.importing.sam.notes import Notes

QUEUE = "AWS::SQS::Queue"
_OF_QUEUES = frozenset(
    {"QueueName", "FifoQueue", "VisibilityTimeout", "RedrivePolicy", "MessageRetentionPeriod"}
)
_NO_OBJECT: Mapping[str, str] = {
    "AWS::SNS::Topic": "a bus of its name stands for it, made at its first use",
    "AWS::Events::EventBus": "a bus is made at its first use",
    "AWS::Serverless::Api": "the gateways serve the routes; there is no stage before the path",
    "AWS::Serverless::HttpApi": "the gateways serve the routes",
    "AWS::Lambda::Permission": "nothing needs it: Triggers may invoke Functions of their namespace",
    "AWS::IAM::Role": "what code may do follows from the credentials in its environment",
    "AWS::IAM::Policy": "what code may do follows from the credentials in its environment",
    "AWS::Logs::LogGroup": "logs are those of the pods",
    "AWS::Lambda::Version": "there are no versions: the Function is what was applied last",
    "AWS::Lambda::Alias": "there are no aliases: the Function is what was applied last",
    "AWS::SQS::QueuePolicy": "who may send follows from the events API's own settings",
}
_ELSEWHERE: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "make the table where AWS_ENDPOINT_URL_DYNAMODB leads, and give that "
    "and its credentials to the Functions (--env)",
    "AWS::Serverless::SimpleTable": "make the table where AWS_ENDPOINT_URL_DYNAMODB leads, and "
    "give that and its credentials to the Functions (--env)",
    "AWS::S3::Bucket": "make the bucket in a store that speaks S3, and give AWS_ENDPOINT_URL_S3 "
    "and its credentials to the Functions (--env)",
    "AWS::Serverless::LayerVersion": "put what the layer holds beside the code",
}
_OF_APIS = frozenset({"StageName", "Name"})


def tell(id: str, type_: str, properties: Mapping[str, Any], notes: Notes) -> None:
    """Say what stands for a resource here, and what of it does not."""
    if type_ == QUEUE:
        for name in properties.keys() - _OF_QUEUES:
            notes.left_out(f"{id}.{name}", "queues have no such setting here")
    elif type_ in _NO_OBJECT:
        notes.differs(id, f"{type_}: {_NO_OBJECT[type_]}")
        if type_.startswith("AWS::Serverless::"):
            for name in properties.keys() - _OF_APIS:
                text = "the gateway does not do it: let the handler, or an ingress before it"
                notes.left_out(f"{id}.{name}", text)
    else:
        told = _ELSEWHERE.get(type_, "there is nothing like it here")
        notes.left_out(id, f"{type_}: {told}")
