"""The environment that code written for AWS Lambda reads while it is imported."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

REGION = "us-east-1"
ACCOUNT = "000000000000"
"""The account of every ARN here, as in the ARNs of Workflows."""


def set_environment(environment: MutableMapping[str, str], code_directory: str) -> None:
    """Fill in what Lambda sets; what the user has set stays."""
    _, _, name = environment.get("TORPOR_FUNCTION", "").partition("/")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or REGION
    found = {
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": environment.get("HOSTNAME") or name,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info[0]}.{sys.version_info[1]}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "LAMBDA_TASK_ROOT": code_directory,
        "LAMBDA_RUNTIME_DIR": __file__.rpartition("/")[0],
        "_HANDLER": environment.get("TORPOR_HANDLER", ""),
        "TZ": "UTC",
    }
    for key, value in found.items():
        environment.setdefault(key, value)
    time.tzset()
