"""What an API of AWS refuses, whichever service it is of. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_FRAMEWORK = {
    "ValidationException": "com.amazon.coral.validate#",
    "AccessDeniedException": "com.amazon.coral.service#",
    "UnknownOperationException": "com.amazon.coral.service#",
    "SerializationException": "com.amazon.coral.service#",
    "UnrecognizedClientException": "com.amazon.coral.service#",
    "InvalidSignatureException": "com.amazon.coral.service#",
    "MissingAuthenticationTokenException": "com.amazon.coral.service#",
    "IncompleteSignatureException": "com.amazon.coral.service#",
    "InternalFailure": "com.amazon.coral.service#",
    "ServiceUnavailable": "com.amazon.coral.service#",
}


class Refused(Exception):
    """A call that is not done. `code` is AWS's, `status` the HTTP status.

    `query_code` is the code that clients of SQS knew before its JSON protocol, empty where it is
    the same.
    """

    def __init__(self, code: str, message: str, status: int = 400, query_code: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.query_code = query_code

    def type_within(self, model: str) -> str:
        """The qualified name that goes into `__type`; clients drop all before the `#`.

        `model` qualifies the errors that are the service's own, such as `com.amazonaws.sqs#`.
        """
        return _FRAMEWORK.get(self.code, model) + self.code


def validation(message: str) -> Refused:
    """A rule of this call is broken."""
    return Refused("ValidationException", message)


def violations(found: Sequence[str]) -> Refused:
    """Members of the request break their constraints; all of them are told at once."""
    plural = "" if len(found) == 1 else "s"
    return validation(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")
