"""The context object of AWS Lambda's Python runtime, with what there is of it here."""

from __future__ import annotations

import os

from torpor_runtime.lambda_environment import ACCOUNT
from torpor_runtime.payload import BadPayload, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from torpor_runtime.event import Context

_MIB = 1024 * 1024


class Identity:
    """Who the caller is to Amazon Cognito: nobody here."""

    cognito_identity_id = None
    cognito_identity_pool_id = None


class Client:
    """The mobile client that the caller says it is; what it does not say is None."""

    def __init__(self, fields: dict[str, Any]) -> None:
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code"):
            setattr(self, name, fields.get(name))
        self.app_package_name = fields.get("app_package_name")


class ClientContext:
    """What the caller gave as ClientContext."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.custom = fields.get("custom")
        self.env = fields.get("env")
        client = fields.get("client")
        self.client = Client(client) if isinstance(client, dict) else None


class LambdaContext:
    """Names are those that Lambda gives; the ARN has the Function as `namespace.name`."""

    function_version = "$LATEST"

    def __init__(self, context: Context, client_context: ClientContext | None = None) -> None:
        namespace, _, name = context.function.partition("/")
        region = os.environ["AWS_REGION"]
        self.function_name = name
        self.invoked_function_arn = f"arn:aws:lambda:{region}:{ACCOUNT}:function:{namespace}.{name}"
        self.aws_request_id = context.request_id
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = Identity()
        self.client_context = client_context
        self._context = context

    @property
    def memory_limit_in_mb(self) -> str:
        """The memory that the function may use in MiB, as text; the machine's without a limit."""
        told = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        return told or str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left until the invocation ends with a time-out."""
        return self._context.remaining_ms()


def client_context_of(header: str | None) -> ClientContext | None:
    """Return what `X-Amz-Client-Context` holds: a JSON object in base64. BadPayload if not."""
    if not header:
        return None
    from binascii import Error, a2b_base64

    try:
        text = a2b_base64(header)
    except Error:
        text = b""
    fields = parsed(text, "the client context")
    if not isinstance(fields, dict):
        raise BadPayload("the client context must be a JSON object")
    return ClientContext(fields)
